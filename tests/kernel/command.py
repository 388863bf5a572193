"""``sockscope`` as a process of its own, as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOCKSCOPE = [sys.executable, "-m", "sockscope"]


def run(*words: object, prefix: tuple[str, ...] = (), **more: Any) -> subprocess.CompletedProcess[str]:
    """To its end."""
    command = [*prefix, *SOCKSCOPE, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False, **more)


def begin(*words: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Started, and left running."""
    command = [*prefix, *SOCKSCOPE, *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def until_tracing(recorder: subprocess.Popen[str]) -> str:
    """The line with which ``record`` says that everything is attached."""
    assert recorder.stderr is not None
    line = recorder.stderr.readline()
    assert "tracing" in line, line + recorder.stderr.read()
    return line


def report(path: Path, *, connections: int | None = None) -> dict[str, Any]:
    """The JSON report of a recording; ``connections``: so many of them at most."""
    more = () if connections is None else ("--connections", connections)
    done = run("report", path, "--format", "json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def one_line(done: subprocess.CompletedProcess[str], status: int, says: str) -> None:
    """It failed as it should: with that status, and one line that says so."""
    assert done.returncode == status, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
