"""A tracer in a PID namespace of its own: no process is mistaken for another one of the same number."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

import servers
from tests.kernel.command import begin, one_line, report, run, until_tracing
from tests.kernel.tracing import load

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare of util-linux"),
]
_INSIDE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def test_processes_cannot_be_selected_by_number_or_name(tmp_path: Path) -> None:
    for selection in (("--pid", 1), ("--comm", "nginx")):
        done = run("record", "-o", tmp_path / "x.sockscope", *selection, prefix=_INSIDE)
        one_line(done, 2, "processes cannot be selected from within a PID namespace")


def test_names_and_times_of_other_processes_are_not_shown(tmp_path: Path) -> None:
    out = tmp_path / "run.sockscope"
    with servers.start("shared", workers=2) as server:
        recorder = begin("record", "-o", out, "-d", "4s", "--port", server.port, prefix=_INSIDE)
        until_tracing(recorder)
        load(server.port, "--connections", 100, "--concurrency", 4)
        recorder.send_signal(signal.SIGINT)
        recorder.wait(20)
        seen = report(out)
        acceptors = {row["acceptor"]["pid"] for row in seen["connections"]}
        true = {int(pid) for pid in _children(server.process.pid)}
    assert acceptors
    assert acceptors <= true
    assert any("ran in a PID namespace" in note for note in seen["health"]["notes"])
    assert not any(worker.get("cpu_ns") for worker in seen["workers"])


def _children(pid: int) -> list[str]:
    found = [str(pid)]
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += (task / "children").read_text().split()
    return found
