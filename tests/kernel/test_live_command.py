"""``sockscope live`` in a real terminal, on a real server, traced: the way a person meets it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from tests.conftest import wait_until
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]


class Terminal:
    """A tmux session of our own server, so that nobody else's is touched."""

    def __init__(self, socket: Path, columns: int, rows: int) -> None:
        self._tmux = ["tmux", "-S", str(socket), "-f", "/dev/null"]
        self._open = True
        self.run("new-session", "-d", "-x", str(columns), "-y", str(rows), "env -u COLUMNS -u LINES sh")

    def run(self, *words: str) -> str:
        return subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, check=True, timeout=20
        ).stdout

    def type(self, *keys: str) -> None:
        self.run("send-keys", *keys)

    def text(self) -> str:
        return self.run("capture-pane", "-p")

    def shows(self, *words: str) -> Callable[[], bool]:
        return lambda: all(word in self.text() for word in words)

    def hang_up(self) -> None:
        """Close the terminal on whatever runs in it."""
        self.run("kill-window")
        self._open = False

    def close(self) -> None:
        if self._open:
            self.run("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path / "tmux", 140, 44)
    yield made
    made.close()


def test_the_dashboard_shows_a_traced_server_answers_keys_and_leaves_the_terminal_clean(
    terminal: Terminal, tmp_path: Path
) -> None:
    with servers.start("reuseport", workers=3) as server:
        terminal.type(
            f"cd {tmp_path}; PYTHONPATH={ROOT} {sys.executable} -m sockscope live --port {server.port}; echo left $?",
            "Enter",
        )
        wait_until(terminal.shows("1 Overview", "listen: 3 queues"), 40, "the first frame")
        load(server.port, "--connections", 900, "--concurrency", 16, "--requests", 2)
        wait_until(
            terminal.shows("reuseport", "900 connections", "ss-worker-0", "ss-worker-2"), 20, "the verdict"
        )
        for key, words in (
            ("2", ("expected", "Held by")),
            ("3", ("ss-worker-1", "Accepts")),
            ("4", ("127.0.0.1:", "closed", "Exact")),
            ("5", ("Severity",)),
            ("6", ("Queue wait",)),
        ):
            terminal.type(key)
            wait_until(terminal.shows(*words), 20, f"screen {key}: {words}")
        terminal.type("4")
        wait_until(terminal.shows("Exact"), 20, "the connections")
        terminal.type("Enter")
        wait_until(terminal.shows("established", "accepted", "Time per step"), 20, "one connection's way")
        terminal.type("Escape")  # a key that follows at once would be taken as Alt with it
        wait_until(terminal.shows("Exact", "In queue"), 20, "the way back")
        terminal.type("p")
        wait_until(terminal.shows("paused"), 20, "the pause")
        terminal.type("p")
        terminal.type("r")
        wait_until(lambda: any(tmp_path.glob("*.sockscope")), 20, "the recording")
        load(server.port, "--connections", 100)
        terminal.type("r")
        terminal.type("q")
        wait_until(terminal.shows("left 0"), 20, "the shell's prompt")
    assert "Overview" not in terminal.text()
    (recording,) = tmp_path.glob("*.sockscope")
    done = subprocess.run(
        [sys.executable, "-m", "sockscope", "report", str(recording)],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "reuseport" in done.stdout


def test_a_target_that_ends_is_said_and_what_was_seen_stays_on_the_screen(terminal: Terminal) -> None:
    server = servers.start("single")
    terminal.type(f"cd {ROOT}; {sys.executable} -m sockscope live --pid {server.pid}; echo left $?", "Enter")
    wait_until(terminal.shows("1 Overview", "listen"), 40, "the first frame")
    load(server.port, "--connections", 50)
    server.stop()
    wait_until(terminal.shows("ended"), 20, "the word that the target has ended")
    terminal.type("q")
    wait_until(terminal.shows("left 0"), 20, "the shell's prompt")


def test_without_root_the_dashboard_says_so_before_it_takes_the_screen(terminal: Terminal) -> None:
    terminal.type(f"cd {ROOT}; unshare -U {sys.executable} -m sockscope live; echo left $?", "Enter")
    wait_until(terminal.shows("tracing needs root", "left 1"), 30, "one clear line")
    assert os.geteuid() == 0


def test_a_terminal_that_is_closed_ends_the_dashboard_and_its_tracing(
    terminal: Terminal, tmp_path: Path
) -> None:
    with servers.start("single") as server:
        told = tmp_path / "pid"
        terminal.type(
            f"cd {ROOT}; sh -c 'echo $$ > {told}; exec {sys.executable} -m sockscope live --port {server.port}'",
            "Enter",
        )
        wait_until(terminal.shows("1 Overview", "listen"), 40, "the first frame")
        place = Path("/proc", told.read_text().strip())
        assert place.exists()
        terminal.hang_up()
        wait_until(lambda: not place.exists(), 20, "the dashboard's end")
