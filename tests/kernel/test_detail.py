"""``--events``: every deed as an event, in the order in which strace saw each thread do it."""

from __future__ import annotations

import errno
import json
import re
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import servers
from sockscope.cli import run as run_command
from sockscope.records.batch import Batch
from sockscope.records.layout import EventKind
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes
from tests.kernel.tracing import load
from tests.straced import whole_calls
from tests.unit.report.traces import arrows_of

pytestmark = pytest.mark.kernel

# descriptors are marked: accept4(5<TCP:[127.0.0.1:80]>, ...) = 7<TCP:[127.0.0.1:80->127.0.0.1:4000]>
_CALL = re.compile(
    r"^(\d+) +(\w+)\((?:\d+<TCP(?:v6)?:\[([^\]]*)\]>)?.*\) += (-?\d+)(?:<[^>]*(?:->[^>]*)?>)?(?: (E\w+))?"
)
_KINDS = {
    **dict.fromkeys(("accept", "accept4"), EventKind.ACCEPT),
    **dict.fromkeys(("read", "readv", "recvfrom", "recvmsg"), EventKind.RECEIVE),
    **dict.fromkeys(("write", "writev", "sendto", "sendmsg"), EventKind.SEND),
    **dict.fromkeys(("epoll_wait", "epoll_pwait", "poll", "ppoll", "select", "pselect6"), EventKind.WOKEN),
}

Deed = tuple[EventKind, int]


def _straced(text: str, port: int) -> dict[int, list[Deed]]:
    """What each thread did, call by call; of accepts only whether it got one."""
    told: dict[int, list[Deed]] = defaultdict(list)
    for line in whole_calls(text):
        call = _CALL.match(line)
        if not call or call[2] not in _KINDS:
            continue
        kind = _KINDS[call[2]]
        if kind is not EventKind.WOKEN and f":{port}" not in (call[3] or "").split("->")[0]:
            continue
        result = -getattr(errno, call[5]) if call[5] else int(call[4])
        told[int(call[1])].append((kind, min(result, 0) if kind is EventKind.ACCEPT else result))
    return told


def _seen(batches: list[Batch]) -> dict[int, list[Deed]]:
    tids = {int(row["id"]): int(row["tid"]) for batch in batches for row in batch.workers}
    seen: dict[int, list[Deed]] = defaultdict(list)
    for batch in batches:
        for row in batch.events:
            kind = EventKind(int(row["kind"]))
            if kind not in (EventKind.WAIT, EventKind.WAKE):
                seen[tids[int(row["worker"])]].append((kind, int(row["result"])))
    return seen


def _between_deeds(connection_io: list[Deed]) -> list[Deed]:
    """From the first deed on a socket to the last: before and after, only one of the two looked."""
    touched = [index for index, (kind, _) in enumerate(connection_io) if kind is not EventKind.WOKEN]
    return connection_io[touched[0] : touched[-1] + 1] if touched else []


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("dispatch", "--workers", "3"), id="dispatch"),
        pytest.param(
            ("shared", "--workers", "2", "--wait", "epoll"), id="shared by epoll", marks=pytest.mark.slow
        ),
    ],
)
def test_each_threads_deeds_are_those_that_strace_saw_in_their_order(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    assert shutil.which("strace"), "apt install strace"
    log = tmp_path / "strace.txt"
    command = ["strace", "-f", "-yy", "-qq", "-e", f"trace={','.join(_KINDS)}", "-o", str(log)]
    command += [sys.executable, "-m", "servers", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().rpartition(":")[2])
        with LiveSession(Target(ports=(port,)), detail=True) as session:
            session.start()
            load(port, "--connections", 100, "--concurrency", 8, "--requests", 3)
            batches = [session.batch()]
            child = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0]
            subprocess.run(["kill", "-TERM", child], check=True)
            server.wait(timeout=20)
            batches.append(session.stop())
    assert batches[-1].health.lost == ()
    truth, seen = _straced(log.read_text(), port), _seen(batches)
    compared = {
        tid: _between_deeds(connection_io)
        for tid, connection_io in truth.items()
        if _between_deeds(connection_io)
    }
    assert sum(connection_io.count((EventKind.ACCEPT, 0)) for connection_io in compared.values()) == 100
    assert {tid: _between_deeds(seen[tid]) for tid in compared} == compared


def _run(model: str, limits: MapSizes, signals: dict[str, str], **options: Any) -> list[Batch]:
    with servers.start(model, **options) as server:
        with LiveSession(Target(ports=(server.port,)), limits, signals, detail=True) as session:
            session.start()
            load(server.port, "--connections", 500, "--concurrency", 16, "--requests", 4)
            batches = [session.batch()]
            server.stop()
            return [*batches, session.stop()]


def test_events_tell_the_connection_its_thread_and_who_woke_whom() -> None:
    batches = _run("dispatch", MapSizes(), {}, workers=3)
    events = np.concatenate([batch.events for batch in batches])
    connections = {int(row["id"]): row for batch in batches for row in batch.connections}
    workers = {int(row["id"]): row for batch in batches for row in batch.workers}
    for number, connection in connections.items():
        mine = events[events["connection"] == number]
        (accept,) = mine[mine["kind"] == EventKind.ACCEPT]
        assert int(accept["worker"]) == connection["acceptor"]
        assert int(accept["about"]) == connection["listener"]
        assert int(accept["time_ns"]) == connection["accepted_ns"]
        reads = mine[(mine["kind"] == EventKind.RECEIVE) & (mine["result"] > 0)]
        assert len(reads) == connection["io"]["reads"].sum() == 4
        assert reads["time_ns"][0] == connection["first_read_ns"]
        assert reads["result"].sum() == connection["io"]["bytes_read"].sum()
    woken = events[events["kind"] == EventKind.WAKE]
    counted: dict[tuple[int, int], int] = {}
    for batch in batches:
        counted.update({(int(row["waker"]), int(row["wakee"])): int(row["wakes"]) for row in batch.wakes})
    pairs, times = np.unique(woken[["worker", "about"]], return_counts=True)
    assert {(int(a), int(b)): int(n) for (a, b), n in zip(pairs, times, strict=True)} == counted
    for worker in workers:
        phases = events[
            (events["worker"] == worker) & np.isin(events["kind"], (EventKind.WAIT, EventKind.WOKEN))
        ]
        kinds = phases["kind"][np.argsort(phases["time_ns"], kind="stable")]
        assert np.all(kinds[1:] != kinds[:-1]), "it goes to wait and comes back in turns"


def test_with_a_ring_of_one_page_events_lost_and_recorded_add_up() -> None:
    batches = _run("single", MapSizes(events_pages=1), {"wait": "off", "wake": "off"})
    lost = sum(count for what, count in batches[-1].health.lost if what.startswith("detail events"))
    workers = {int(row["id"]): row for batch in batches for row in batch.workers}
    connection_io = (
        "accepts",
        "accepts_eagain",
        "accepts_failed",
        "reads",
        "reads_eagain",
        "eof_reads",
        "writes",
    )
    happened = sum(int(row[name]) for row in workers.values() for name in connection_io)
    assert lost > 0
    assert sum(len(batch.events) for batch in batches) + lost == happened


@pytest.mark.parametrize(
    "processes",
    [pytest.param(False, id="threads", marks=pytest.mark.slow), pytest.param(True, id="processes")],
)
def test_the_timelines_arrows_follow_each_request_from_thread_to_thread(
    processes: bool, tmp_path: Path
) -> None:
    out = tmp_path / "x.sockscope"
    with servers.start("handoff", workers=3, processes=processes, ledger=tmp_path / "ledger") as server:
        command = [sys.executable, "-m", "sockscope", "record", "-o", str(out), "--events"]
        recorder = subprocess.Popen([*command, "--port", str(server.port)], stderr=subprocess.PIPE, text=True)
        try:
            assert recorder.stderr is not None
            assert "tracing" in recorder.stderr.readline()
            load(server.port, "--connections", 200, "--concurrency", 8, "--requests", 3)
            recorder.send_signal(signal.SIGINT)
            recorder.communicate(timeout=20)
        finally:
            recorder.kill()
    ledger = [json.loads(line) for line in (tmp_path / "ledger").read_text().splitlines()]
    assert run_command(["export", str(out), "--format", "timeline", "-o", str(tmp_path / "t.json")]) == 0
    drawn = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    requests = [stops for (kind, _), stops in arrows_of(drawn).items() if kind == "request"]
    assert len(requests) == sum(reads for row in ledger for reads, _ in row["readers"].values()) == 600
    followed: dict[str, list[Any]] = defaultdict(list)
    for stops in sorted(requests, key=lambda stops: stops[0].ts):
        followed[stops[0].facts["remote"]].append(stops)
    assert len(followed) == 200
    for row in ledger:
        first, *others = followed[row["remote"]]
        assert [stop.slice for stop in first] == ["accept", "read", "answer"]
        assert [[stop.slice for stop in stops] for stops in others] == [["read", "answer"]] * 2
        assert first[0].track == tuple(row["acceptor"])
        ((reader, _),) = row["readers"].items()
        assert {stop.track for stops in (first[1:], *others) for stop in stops} == {
            tuple(int(number) for number in reader.split("/"))
        }


def test_without_detail_there_is_no_ring_for_events_and_no_event() -> None:
    with servers.start("single") as server, LiveSession(Target(ports=(server.port,))) as session:
        session.start()
        load(server.port, "--connections", 10)
        assert len(session.stop().events) == 0
        assert "events" not in session._source._program.rings
