"""``sockscope`` without a command: readiness, listeners, and commands that fit both."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sockscope.cli import start_page as start_page_module
from sockscope.cli.doctor import Check
from sockscope.cli.start_page import ListeningPort, group_by_port, start_page
from sockscope.host.overview import overview

ROOT = Path(__file__).resolve().parents[3]
READY = [Check("machine", "ok", "Linux"), Check("privileges", "ok", "root"), Check("bcc", "ok", "0.31")]
WEB = ListeningPort(443, "", queue=7, drops=1234, processes=4, names=("nginx",))
OTHER = ListeningPort(22, "web", queue=0, drops=0, processes=1, names=("sshd",))


def _commands(page: str) -> list[str]:
    """Return the suggested commands of a page, without their purposes."""
    _, _, suggestions = page.partition("Commands to start with:\n")
    return [line.strip().split("  ")[0] for line in suggestions.splitlines()]


def test_commands_name_the_port_with_drops() -> None:
    page = start_page(READY, [WEB, OTHER], None, "")
    assert "Tracing: possible on this machine" in page
    assert "443  nginx (4 processes), 7 in the accept queue, 1,234 drops" in page
    assert "22  sshd, network namespace web" in page
    assert _commands(page) == [
        "sockscope live --port 443",
        "sockscope check --port 443 -d 10s",
        "sockscope record -o 443.sockscope --port 443",
        "sockscope listeners",
        "sockscope --help",
    ]


def test_without_privileges_tracing_commands_use_sudo() -> None:
    checks = [READY[0], Check("privileges", "missing", "not root, without CAP_BPF", "run with sudo")]
    page = start_page(checks, [WEB], None, "sudo ")
    assert "not possible yet: not root, without CAP_BPF" in page
    assert "→ run with sudo" in page
    assert _commands(page)[0] == "sudo sockscope live --port 443"
    assert "sockscope listeners" in _commands(page)


@pytest.mark.parametrize("prefix", ["", "sudo "])
def test_when_tracing_is_impossible_doctor_comes_first_and_no_tracing_command(prefix: str) -> None:
    checks = [*READY[:2], Check("bcc", "missing", "bcc is not installed", "apt-get install python3-bpfcc")]
    page = start_page(checks, [WEB], None, prefix)
    assert "→ apt-get install python3-bpfcc" in page
    assert _commands(page) == ["sockscope doctor", "sockscope listeners", "sockscope --help"]


def test_without_listeners_the_demo_is_suggested() -> None:
    page = start_page(READY, [], None, "")
    assert "Listening TCP ports: none" in page
    assert _commands(page)[0] == "sockscope demo"


def test_the_newest_recording_of_the_directory_is_suggested(tmp_path: Path) -> None:
    for name, modified in (("old.sockscope", 10), ("new.sockscope", 20), ("notes.txt", 30)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (modified, modified))
    newest = start_page_module._newest_recording(tmp_path)
    assert "sockscope report new.sockscope" in _commands(start_page(READY, [WEB], newest, ""))


def test_names_from_the_system_are_printed_without_control_characters() -> None:
    checks = [Check("bcc", "missing", "no \x1b[31mbcc", "install \x07it")]
    page = start_page(checks, [], Path("x\x1b]0;\x07.sockscope"), "")
    assert all(line.isprintable() for line in page.splitlines())


def test_listeners_of_one_port_are_one_line_with_their_sums() -> None:
    with socket.socket() as first, socket.socket() as second:
        for server in (first, second):
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        first.bind(("127.0.0.1", 0))
        second.bind(first.getsockname())
        first.listen()
        second.listen()
        with socket.create_connection(first.getsockname()):
            port = first.getsockname()[1]
            seen = overview([port])
    (found,) = group_by_port(seen.listeners, seen.own)
    comm = Path("/proc/self/comm").read_text().strip()
    assert found == ListeningPort(port, "", queue=1, drops=0, processes=1, names=(comm,))


def test_ports_are_sorted_by_drops_then_queue_then_processes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as idle, socket.create_server(("127.0.0.1", 0)) as queued:
        with socket.create_connection(queued.getsockname()):
            ports = [queued.getsockname()[1], idle.getsockname()[1]]
            seen = overview(ports)
    assert [it.port for it in group_by_port(seen.listeners, seen.own)] == ports


def test_on_a_terminal_no_command_shows_the_page_and_succeeds() -> None:
    controller, terminal = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "sockscope"],
            stdout=terminal,
            stderr=terminal,
            timeout=60,
            cwd=ROOT,
            check=False,
        )
        page = os.read(controller, 1 << 16).decode()
    finally:
        os.close(controller)
        os.close(terminal)
    assert done.returncode == 0, page
    assert "Tracing: " in page
    assert "sockscope --help" in page
