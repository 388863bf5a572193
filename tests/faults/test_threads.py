"""Threads that live for one connection, thousands a second, and packets that come by interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Told
from tests.faults.replying import Answer
from tests.faults.stand import lost, network, wrong
from tests.kernel.command import begin, report, until_tracing

pytestmark = pytest.mark.kernel


def _recorded(
    tmp_path: Path, number: int, rate: int, inside: tuple[str, ...] = ()
) -> tuple[dict[str, Any], list[Answer], float]:
    """Record the server of threads.c, asked so often a second (0: as often as it can).

    :return: the report, what the server said itself, and the threads a second that it came to
    """
    out, program = tmp_path / "run.sockscope", tmp_path / "threads"
    source = Path(__file__).with_name("threads.c")
    subprocess.run(["gcc", "-O2", "-pthread", "-o", program, source], check=True, timeout=60)
    command = [*inside, str(program), str(number), "3", str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        where = ("--netns", inside[3]) if inside else ()
        recorder = begin("record", "-o", out, "--port", int(server.stdout.readline()), *where)
        until_tracing(recorder)
        begin_s = time.monotonic()
        said = server.communicate("\n", timeout=120)[0]
        took_s = time.monotonic() - begin_s
    recorder.send_signal(signal.SIGINT)
    recorder.communicate(timeout=60)
    lines = map(str.split, said.splitlines())
    answers = [
        Answer(f"127.0.0.1:{port}", int(pid), int(tid), int(octets)) for port, pid, tid, octets in lines
    ]
    assert len(answers) == number
    return report(out, connections=number), answers, number / took_s


@pytest.mark.slow
def test_threads_that_live_for_one_connection_are_each_told(tmp_path: Path, told: Told) -> None:
    number = 20_000
    seen, answers, rate = _recorded(tmp_path, number, 1500)
    assert rate > 1000
    assert seen["health"]["lost"] == []
    assert wrong(seen, answers) == []
    assert sum(worker["reads"] == 1 for worker in seen["workers"]) == number
    told(f"target: a new thread for each connection, {rate:,.0f} a second", "each told, none lost", number)


@pytest.mark.slow
def test_threads_that_come_faster_than_they_are_read_are_told_or_counted(tmp_path: Path, told: Told) -> None:
    number = 40_000
    seen, answers, rate = _recorded(tmp_path, number, 0)
    assert rate > 1000
    unknown = sum(loss["count"] for loss in seen["health"]["lost"] if loss["what"] == "threads")
    assert sum(worker["reads"] == 1 for worker in seen["workers"]) + unknown == number
    assert len(seen["connections"]) + lost(seen) == number
    nobody = {row["remote"] for row in seen["connections"] if row["readers"][0]["tid"] is None}
    assert len(nobody) <= unknown
    seen["connections"] = [row for row in seen["connections"] if row["remote"] not in nobody]
    assert wrong(seen, [answer for answer in answers if answer.remote not in nobody]) == []
    told(
        f"target: a new thread for each connection, {rate:,.0f} a second",
        f"{number - unknown:,} told, {unknown:,} counted as lost and their deeds told as nobody's",
        number,
    )


@pytest.mark.slow
def test_packets_that_interrupt_what_threads_do_are_told_like_any_other(tmp_path: Path, told: Told) -> None:
    """On loopback the sender delivers.  With receive packet steering another CPU is interrupted to do it, as
    a network card would, amid whatever its threads do: a probe that is at work there does not run twice."""
    number = 3000
    with network() as inside:
        everywhere = sum(1 << cpu for cpu in os.sched_getaffinity(0) if cpu < 32)
        steer = f"echo {everywhere:x} > /sys/class/net/lo/queues/rx-0/rps_cpus"
        subprocess.run([*inside, "sh", "-c", steer], check=True)
        seen, answers, rate = _recorded(tmp_path, number, 0, inside)
    losses = {loss["what"]: loss["count"] for loss in seen["health"]["lost"]}
    assert losses.keys() <= {"accepts", "events"}
    assert all("at most" in loss["where"] for loss in seen["health"]["lost"] if loss["what"] == "events")
    # who takes a connection off the queue before its last step is through may leave it without a record
    unknown = losses.get("accepts", 0)
    missing = {answer.remote for answer in answers} - {row["remote"] for row in seen["connections"]}
    assert len(missing) == unknown < number / 100
    assert wrong(seen, [answer for answer in answers if answer.remote not in missing]) == []
    # one whose beginning or end was not seen is told as that
    assert all(row["queue_wait_ns"] is not None for row in seen["connections"] if row["exact"])
    assert sum(not row["exact"] for row in seen["connections"]) < number / 100
    told(
        f"packets by interrupts, {rate:,.0f} connections a second",
        f"{number - unknown:,} told, each by the very thread; {unknown} counted as accepts without a record",
        number,
    )
