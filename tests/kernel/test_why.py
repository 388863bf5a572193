"""Where a thread's time went and what blocked it, compared with the server's own ledger."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sockscope.analysis.time_accounting import ThreadTime, TimeAccount, account
from sockscope.tracer.why_tracer import WhyTracer
from tests.kernel.command import run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(sys.version_info[:2] > (3, 13), reason="Python frames of 3.11 to 3.13 are supported"),
]

_STALL_NS = 20_000_000
#: The ledger's entry → class, start of the description, and the function that called.
_EXPECTED = {
    "sleep_in_handler": ("sleep", "clock_nanosleep"),
    "take_lock": ("lock", "futex"),
    "take_file_lock": ("lock", "flock({directory}/app.lock)"),
    "read_pipe": ("pipe", "read(pipe:["),
    "read_client": ("client", "recvfrom(127.0.0.1:"),
    "ask_upstream": ("upstream", "poll(127.0.0.1:{upstream})"),
}


def _trace(directory: Path) -> tuple[TimeAccount, ThreadTime, dict[str, float], int]:
    command = [sys.executable, "-m", "tests.kernel.blocker", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        ports = json.loads(server.stdout.readline())
        with WhyTracer([server.pid], _STALL_NS) as tracer:
            server.stdin.write("begin\n")
            server.stdin.flush()
            ledger = json.loads(server.stdout.readline())
            found = account(tracer.read(), {ports["port"]})
        server.stdin.write("end\n")
        server.stdin.flush()
    thread = next(thread for thread in found.threads if thread.tid == server.pid)
    return found, thread, ledger, ports["upstream"]


def test_classes_add_up_and_every_cause_is_named_with_its_call_object_and_caller(tmp_path: Path) -> None:
    found, thread, ledger, upstream = _trace(tmp_path)
    assert not found.lost
    assert sum(thread.classes.values()) == pytest.approx(found.duration_ns, rel=0.01)
    by_caller = {
        cause.frames[0].split(" ")[0].rpartition(".")[2]: cause for cause in thread.causes if cause.frames
    }
    for caller, (time_class, description) in _EXPECTED.items():
        cause = by_caller[caller]
        expected = description.format(directory=tmp_path, upstream=upstream)
        assert cause.time_class == time_class, caller
        assert cause.description.startswith(expected), caller
        assert cause.count == 4, caller
        # a thread that was woken may wait for a CPU before its clock is read: that is another class
        assert 0.8 * 4 * 60e6 < cause.ns <= ledger[caller] * 1e9 * 1.01, caller
    assert 4 * 95e6 < thread.classes["waiting"] <= ledger["wait_for_work"] * 1e9 + 20e6
    assert thread.classes["running"] > 0.7 * 4 * 60e6
    assert "burn (" in " ".join(frame for frames, _ in thread.hot for frame in frames)


def test_the_command_accounts_for_the_whole_time_of_a_thread() -> None:
    done = run("why", "--pid", os.getpid(), "-d", "300ms", "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (own,) = [thread for thread in document["threads"] if thread["tid"] == os.getpid()]
    assert sum(own["classes"].values()) == own["total_ns"]


def test_a_target_that_does_not_exist_gets_one_line() -> None:
    for words, status in ((("--pid", 2**22 + 1), 2), (("--port", 1), 1), ((), 2)):
        done = run("why", *words)
        assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
