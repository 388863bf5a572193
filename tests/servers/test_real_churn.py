"""Tracing comes and goes under load without a trace; servers change under tracing without a mistake."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.conftest import wait_until
from tests.kernel.programs import objects_of
from tests.kernel.tracing import until_all_have_left
from tests.servers.real_clients import Wire, drive, http_once, memcached
from tests.servers.real_servers import REAL, Real, Started, is_listening, program, running
from tests.servers.real_trace import complaints, watch

pytestmark = [pytest.mark.kernel, pytest.mark.servers]


def _real(name: str) -> Real:
    return next(real for real in REAL if real.name == name)


def _alive(kind: str) -> set[tuple[str, int]]:
    done = subprocess.run(["bpftool", kind, "show"], capture_output=True, text=True, timeout=60, check=True)
    return {(kind, int(number)) for number in re.findall(r"^(\d+):", done.stdout, re.M)}


def _left() -> set[tuple[str, int]]:
    return _alive("prog") | _alive("map") | _alive("link")


@pytest.mark.parametrize("cycles", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_attached_and_detached_again_and_again_under_load(cycles: int) -> None:
    """No request is lost, and nothing of a session is left in the kernel when it has closed."""
    used: set[tuple[str, int]] = set()
    until_all_have_left()
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with running(_real("nginx")) as started:
        load = [program("wrk"), "-t1", "-c16", "-d600s", f"http://127.0.0.1:{started.port}/"]
        with subprocess.Popen(load, stdout=subprocess.PIPE, text=True) as wrk:
            try:
                for _ in range(cycles):
                    with LiveSession(Target(ports=(started.port,))) as session:
                        session.start()
                        own = objects_of("self")
                        batch = session.stop()
                    assert len(batch.connections) == 16  # open before, and still
                    assert batch.health.lost == ()
                    assert {kind for kind, _ in own} >= {"prog", "map"}
                    assert len(own) > 20
                    assert not own & used  # every session has programs and maps of its own
                    used.update(own)
                    # the kernel frees a program a moment after its last holder
                    wait_until(lambda: not used & _left(), what="nothing is left")
                assert wrk.poll() is None
            finally:
                wrk.send_signal(signal.SIGINT)  # it stops and tells
                told, _ = wrk.communicate(timeout=20)
    assert "Socket errors" not in told, told
    assert "Non-2xx" not in told, told
    requests = re.search(r"(\d+) requests in", told)
    assert requests
    assert int(requests[1]) > 10 * cycles
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208


def _workers(started: Started) -> set[int]:
    return set(started.pids()) - {started.process.pid}


def test_a_reload_in_the_middle_leaves_every_connection_explained() -> None:
    real = replace(_real("nginx"), talk=http_once)
    with running(real) as started:
        before = _workers(started)
        more = []

        def reload() -> None:
            started.process.send_signal(signal.SIGHUP)
            more.extend(drive(started.port, http_once, 100))  # while workers change over
            wait_until(lambda: not before & _workers(started), what="the old workers are gone")
            more.extend(drive(started.port, http_once, 100))

        run = watch(started, 100, meanwhile=reload)
        after = _workers(started)
    run = replace(run, books=run.books + more)
    assert complaints(run) == []
    acceptors = {row["acceptor"]["pid"] for row in run.seen["connections"]}
    assert acceptors <= before | after
    assert acceptors & before
    assert acceptors & after
    assert run.verdict["model"] == "shared"


def test_a_killed_worker_and_its_successor_are_two() -> None:
    with running(replace(_real("nginx"), talk=http_once)) as started:
        before = _workers(started)
        victim = min(before)
        more = []

        def kill() -> None:
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: len(_workers(started) - {victim}) == 2, what="a new worker")
            more.extend(drive(started.port, http_once, 200))

        run = watch(started, 200, meanwhile=kill)
        (successor,) = _workers(started) - before
    assert complaints(replace(run, books=run.books + more)) == []
    ended = {row["pid"]: row["ended_ns"] for row in run.seen["workers"]}
    assert ended[victim]
    for row in run.seen["connections"]:
        late = row["established_ns"] > ended[victim]
        assert row["acceptor"]["pid"] in (before - {victim} | {successor} if late else before)


def test_a_restart_on_the_same_port_is_another_listener() -> None:
    """Same port, same descriptor numbers: sockets, not numbers, are identities."""
    real = _real("memcached")
    with running(real) as started:
        port, more = started.port, []
        first = started.process

        def restart() -> None:
            first.terminate()
            first.wait(10)
            wait_until(lambda: not is_listening(port), what="the port is free")
            with running(real, port) as again:
                more.append(again.process.pid)
                more.extend(drive(port, memcached, 100))

        run = watch(started, 100, meanwhile=restart)
    second, *books = more
    assert complaints(replace(run, books=run.books + books)) == []
    by_listener: dict[int, set[int]] = {}
    for row in run.seen["connections"]:
        by_listener.setdefault(row["listener"], set()).add(row["acceptor"]["pid"])
    assert sorted(map(sorted, by_listener.values())) == sorted([[first.pid], [second]])
    assert run.verdict["model"] == "handoff"


def _word(wire: Wire) -> None:
    wire.send(b"word")
    assert wire.exactly(4) == b"word"


def test_processes_with_the_same_id_one_after_another_are_as_many_workers(tmp_path: Path) -> None:
    """The same process id, and the same descriptor numbers: who accepted is told by when it lived."""
    binary = tmp_path / "same_pid"
    source = Path(__file__).parent / "same_pid.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", str(binary), str(source)], check=True, timeout=60)
    real = Real("", "", "", (), (), lambda _place, port: [str(binary), str(port), "20"], "", talk=_word)
    with running(real) as started:
        run = watch(started, 100, concurrency=1)
    assert complaints(run) == []
    assert run.verdict["model"] == "single", run.verdict["evidence"]
    lives = sorted(row["ended_ns"] for row in run.seen["workers"] if row["accepts"] and row["ended_ns"])
    assert len(lives) == 5
    assert all(row["accepts"] == 20 for row in run.seen["workers"] if row["accepts"])
    assert len({row["pid"] for row in run.seen["workers"] if row["accepts"]}) < 5  # ids did come again
    by_life: list[set[int]] = [set() for _ in lives]
    for row in run.seen["connections"]:
        by_life[sum(row["established_ns"] > end for end in lives)].add(row["acceptor"]["pid"])
    assert all(len(pids) == 1 for pids in by_life)


def test_connections_that_were_open_before_keep_their_readers() -> None:
    """Attached in the middle: who accepted is not known and not claimed, who reads is."""
    with running(_real("memcached")) as started:
        wires = [Wire(started.port) for _ in range(20)]
        for wire in wires:
            memcached(wire)
        with LiveSession(Target(ports=(started.port,))) as session:
            session.start()
            for wire in wires:
                memcached(wire)
            batch = session.batch()
            for wire in wires:
                wire.close()
        assert len(batch.connections) == 20
        assert not batch.connections["acceptor"].any()
        assert (batch.connections["io"]["reads"].sum(axis=1) > 0).all()
