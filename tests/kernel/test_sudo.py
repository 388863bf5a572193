"""With the real sudo, called by a user who has no rights: files are that user's, and so is the dashboard."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
from sockscope.host.privileges import Capability
from tests.conftest import wait_until
from tests.kernel.test_live_command import Terminal
from tests.kernel.test_privileges import FOR_MODULES, NOBODY, masks_of

pytestmark = pytest.mark.kernel

SOCKSCOPE = ["sudo", "-n", sys.executable, "-m", "sockscope"]
AS_NOBODY = ["setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]
RECORDING = Path(__file__).resolve().parents[2] / "docs" / "recordings" / "straggler.sockscope"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of nobody's own, while nobody may run this Python by sudo."""
    made = Path(f"/tmp/sockscope-sudo-{os.getpid()}")
    allowed = Path(f"/etc/sudoers.d/sockscope-test-{os.getpid()}")
    made.mkdir(mode=0o700)
    os.chown(made, NOBODY.pw_uid, NOBODY.pw_gid)
    try:
        allowed.write_text(f"{NOBODY.pw_name} ALL=(root) NOPASSWD: {sys.executable}\n")
        allowed.chmod(0o440)
        yield made
    finally:
        allowed.unlink(missing_ok=True)
        shutil.rmtree(made)


def sudo(folder: Path, *words: object) -> None:
    command = [*AS_NOBODY, *SOCKSCOPE, *map(str, words)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_whatever_is_written_under_sudo_is_the_callers(folder: Path) -> None:
    with servers.start("single") as server:
        sudo(folder, "record", "-o", "run.sockscope", "-d", "1", "--port", server.port)
    sudo(folder, "report", "run.sockscope", "--format", "html", "-o", "page.html")
    sudo(folder, "export", "run.sockscope", "-o", "tables/of/it")
    sudo(folder, "export", "run.sockscope", "--format", "timeline", "-o", "timeline.json")
    found = {path: path.stat().st_uid for path in folder.rglob("*")}
    assert {path.name for path in found} >= {"run.sockscope", "page.html", "it", "connections.parquet"}
    assert set(found.values()) == {NOBODY.pw_uid}, found
    assert not [path.name for path in found if path.name.startswith(".")]


def sockscope_below(pid: int) -> int | None:
    """The outermost process under ``pid`` that is sockscope itself, not the sudo that began it."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
            found = (
                int(child)
                if words[:3] == [sys.executable, "-m", "sockscope"]
                else sockscope_below(int(child))
            )
            if found:
                return found
    return None


@pytest.mark.parametrize("command", ["live", "replay"])
def test_a_dashboard_under_sudo_runs_as_the_caller(command: str, folder: Path) -> None:
    terminal = Terminal(folder / "tmux", 120, 40)
    copy = folder / "run.sockscope"
    shutil.copy(RECORDING, copy)
    copy.chmod(0o600)  # root's: only sudo may open it
    try:
        with servers.start("single") as server:
            what = f"--port {server.port}" if command == "live" else str(copy)
            terminal.type(f"cd {folder}; {' '.join(AS_NOBODY + SOCKSCOPE)} {command} {what}", "Enter")
            wait_until(terminal.shows("1 Overview", "listen"), 40, "the dashboard")
            outer = int(terminal.run("list-panes", "-F", "#{pane_pid}"))
            pid = sockscope_below(outer)
            threads = [masks_of(path / "status") for path in Path(f"/proc/{pid}/task").iterdir()]
            terminal.type("q")
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), what="its end")
    finally:
        terminal.close()
    assert {user for user, _, _ in threads} == {NOBODY.pw_uid}
    held: set[Capability] = set().union(*(permitted for _, _, permitted in threads))
    if command == "replay":
        assert held <= FOR_MODULES
