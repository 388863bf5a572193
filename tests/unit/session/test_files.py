"""One session in several files: together they tell what one file would have told."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockscope.analysis.finding_filter import parse_finding_filter
from sockscope.cli import run as run_command
from sockscope.errors import SockscopeError, UsageError
from sockscope.records.batch import WAITING, Batch, Meta
from sockscope.records.layout import ConnectionFlag
from sockscope.session import flight_recorder as flight_module
from sockscope.session.finding_watcher import FindingWatcher
from sockscope.session.flight_recorder import FlightRecorder
from sockscope.session.frames import frame_of_batches, frame_of_recording
from sockscope.store import Reader
from sockscope.store import recording as recording_module
from sockscope.store import rotation as rotation_module
from sockscope.store.merge_segments import merge_segments
from sockscope.store.recording import RecordingSink, Sink
from sockscope.store.rotation import Rotation, RotationLimit, segment_files
from tests.conftest import wait_until
from tests.synthetic import Scenario, SyntheticSource
from tests.unit.store.recordings import META, assert_all_equal

SECOND = 1_000_000_000
TICKS = 14
COUNTERS = (
    "accepts",
    "reads",
    "bytes_read",
    "writes",
    "bytes_written",
    "waits",
    "wakeups",
    "wakeups_spurious",
)
LOOKS = ("samples", "samples_several", "samples_changed", "waiters", "exclusive")
SCENARIOS = {
    "reuseport": Scenario("reuseport", lost=2),
    "handoff": Scenario("handoff", workers=4),
    "dispatch": Scenario("dispatch", workers=4),
}


def session(name: str, ticks: int = TICKS) -> tuple[Meta, list[Batch]]:
    """A session whose batches all tell everything that is open."""
    source = SyntheticSource(SCENARIOS[name])
    return source.meta, [looked_at(batch) for batch in source.batches(ticks)]


def looked_at(batch: Batch) -> Batch:
    """As if a look at one arrival in sixteen had found the first worker each time."""
    listeners = batch.listeners.copy()
    for looks in LOOKS:
        listeners[looks] = listeners["established"] // 16
    waiting = np.zeros(len(listeners), WAITING)
    waiting["listener"], waiting["worker"], waiting["samples"] = listeners["id"], 1, listeners["samples"]
    return replace(batch, listeners=listeners, waiting=waiting)


def feed(sink: Sink, batches: Iterable[Batch], clock: list[int] | None = None) -> list[int]:
    """As a live session feeds a sink; the numbers of the batches that were to be whole ones."""
    whole = []
    with sink:
        for number, batch in enumerate(batches):
            if clock:
                clock[0] = batch.time_ns
            if sink.wants_whole():
                whole.append(number)
            sink.take(batch)
    return whole


def last(paths: Iterable[Path]) -> list[Batch]:
    """The final state of each file."""
    found = []
    for path in paths:
        with Reader(path) as reader:
            found.append(reader.final_batch())
    return found


def totals(batches: Iterable[Batch]) -> dict[str, Any]:
    """What threads did, in all."""
    found: Counter[Any] = Counter()
    for batch in batches:
        for row in batch.workers:
            for name in COUNTERS:
                found[name, int(row["id"])] += int(row[name])
            for name in ("queue_wait", "data_wait", "answer", "stall"):
                found[name, int(row["id"])] += int(row[name].sum())
        for row in batch.listeners:
            for name in ("established", "accepted", *LOOKS):
                found[name, int(row["id"])] += int(row[name])
        for row in batch.wakes:
            found["wakes", int(row["waker"]), int(row["wakee"])] += int(row["wakes"])
        for row in batch.waiting:
            found["waiting", int(row["listener"]), int(row["worker"])] += int(row["samples"])
        for what, count in batch.health.lost:
            found[what] += count
        found["bytes by connection"] += int(batch.connections["io"]["bytes_read"].sum())
        found["bytes by connection"] += int(batch.io_overflow["bytes_read"].sum())
    return {key: number for key, number in found.items() if number}


@pytest.fixture(autouse=True)
def nobody_sets_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """These sessions are of long ago: their time of day is not this machine's."""
    monkeypatch.setattr(recording_module, "describe_clock_steps", lambda began_ns: "")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A monotonic clock that stands where it is set."""
    now = [0]
    monkeypatch.setattr(rotation_module.time, "monotonic_ns", lambda: now[0])
    return now


@pytest.mark.parametrize(
    "name", ["dispatch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reuseport", "handoff"))]
)
def test_the_counts_of_all_files_together_are_those_of_the_session(name: str, tmp_path: Path) -> None:
    meta, batches = session(name, 4)
    sink = Rotation(tmp_path / "web.sockscope", meta, RotationLimit(octets=1), None)
    assert len(feed(sink, batches)) == 4  # a file each: as small as can be
    paths = sink.written()
    assert len(paths) == 5
    (whole,) = last([_single(tmp_path / "one", meta, batches)])
    assert totals(last(paths)) == totals([whole])
    closed = [
        int(number)
        for batch in last(paths)
        for number in batch.connections["id"][batch.connections["flags"] & int(ConnectionFlag.CLOSED) != 0]
    ]
    assert sorted(closed) == sorted(set(closed))
    assert set(closed) == {
        int(number)
        for number in whole.connections["id"][whole.connections["flags"] & int(ConnectionFlag.CLOSED) != 0]
    }


def test_what_is_accepted_while_the_batch_at_a_cut_is_read_counts_once(tmp_path: Path) -> None:
    meta, batches = session("handoff", 4)
    early = [replace(batch, time_ns=batch.time_ns - 60 * SECOND) for batch in batches]
    sink = Rotation(tmp_path / "web.sockscope", replace(meta, started_ns=0), RotationLimit(octets=1), None)
    feed(sink, early)
    (whole,) = last([_single(tmp_path / "one", meta, batches)])
    connection_io = {"bytes_read": 0, "reads": 0}
    for batch in last(sink.written()):
        for name in connection_io:
            connection_io[name] += int(batch.connections["io"][name].sum() + batch.io_overflow[name].sum())
    assert connection_io == {
        name: int(whole.connections["io"][name].sum() + whole.io_overflow[name].sum())
        for name in connection_io
    }


def _single(path: Path, meta: Meta, batches: Iterable[Batch]) -> Path:
    feed(RecordingSink(path, meta), batches)
    return path


@pytest.mark.parametrize(
    "name", ["handoff", *(pytest.param(name, marks=pytest.mark.slow) for name in ("reuseport", "dispatch"))]
)
def test_each_file_stands_for_itself(name: str, tmp_path: Path) -> None:
    meta, batches = session(name)
    sink = Rotation(tmp_path / "web.sockscope", meta, RotationLimit(octets=600_000), None)
    whole = feed(sink, batches)
    assert 1 <= len(whole) < TICKS
    assert len(sink.written()) == len(whole) + 1
    verdict = frame_of_batches(meta, list(batches)).servers[0].model
    for path, began in zip(sink.written(), [None, *whole], strict=True):
        frame = frame_of_recording(path)
        if began != TICKS - 1:  # that one has nothing but its beginning
            assert [server.model for server in frame.servers] == [verdict], path
        assert frame.snapshot.processes.keys() == {process.pid for process in batches[0].processes}
        if began is not None:
            assert frame.snapshot.started_ns == batches[began].time_ns
            early = frame.snapshot.connections
            known = early[early["accepted_ns"] > 0]
            assert np.all(known["accepted_ns"] >= frame.snapshot.started_ns)
        for worker in frame.snapshot.workers.values():
            assert worker.busy_ns <= frame.snapshot.elapsed_ns + 1000
            assert worker.wait_ns <= frame.snapshot.elapsed_ns + 1000


def test_files_are_named_by_their_time_and_the_oldest_go(tmp_path: Path, clock: list[int]) -> None:
    meta, batches = session("reuseport")
    stray = tmp_path / "web-of-lies.sockscope"
    stray.write_text("not ours")
    for year in (2001, 2099):  # the clock may have been wrong, or is
        _single(tmp_path / f"web-{year}0101T000000Z.sockscope", META, session("reuseport", 1)[1])
    length = (batches[3].time_ns - batches[0].time_ns) // 1
    sink = Rotation(tmp_path / "web.sockscope", meta, RotationLimit(ns=length), 2)
    feed(sink, batches, clock)
    assert len(sink.written()) == 2
    assert sorted(tmp_path.iterdir()) == sorted([stray, *sink.written()])
    started = [Reader(path).meta.started_ns for path in sink.written()]
    assert started == [batches[9].time_ns, batches[12].time_ns]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in sink.written())


def test_files_of_one_second_have_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta, batches = session("reuseport", 1)
    monkeypatch.setattr(rotation_module, "offset_ns", lambda: meta.monotonic_offset_ns)
    sink = Rotation(tmp_path / "x", meta, RotationLimit(octets=1), None)
    feed(sink, [Batch(meta.started_ns, workers=batches[0].workers)] * 3)
    first, *others = sink.written()
    assert [path.name for path in others] == [f"{first.name}-{number}" for number in range(2, 5)]
    assert segment_files(tmp_path / "x") == [first, *others]


def recorder(path: Path, meta: Meta, length: RotationLimit, said: list[str]) -> FlightRecorder:
    return FlightRecorder(path, meta, length, None, None, said.append)


def test_the_flight_recorder_writes_what_it_still_has_and_no_more(tmp_path: Path, clock: list[int]) -> None:
    meta, batches = session("handoff", 16)
    tick = batches[2].time_ns - batches[1].time_ns
    said: list[str] = []
    sink = recorder(tmp_path / "web.sockscope", meta, RotationLimit(ns=8 * tick), said)
    part = max(2 * tick, SECOND) // tick
    for number, batch in enumerate(batches):
        clock[0] = batch.time_ns
        if number == 13:
            sink.ask("SIGUSR1")
        sink.wants_whole()
        sink.take(batch)
        (folder,) = tmp_path.glob(".web.ring.*")
        if number < 13:
            assert len(list(folder.glob("*.sockscope"))) <= 8 / part + 2
    sink.__exit__(None, None, None)
    assert [line.split(":")[0] for line in said] == ["SIGUSR1", "the end"]
    first, final = sink.written()
    with Reader(first) as reader:
        kept = list(reader.batches())
        assert kept[-1].time_ns == batches[13].time_ns
        assert 8 <= len(kept) - 1 <= 8 + part
        assert reader.meta.started_ns == kept[0].time_ns
    begun = 13 - (len(kept) - 1)
    closed = {
        int(number)
        for batch in batches[begun + 1 : 14]
        for number in batch.connections["id"][batch.connections["flags"] & int(ConnectionFlag.CLOSED) != 0]
    }
    shown = frame_of_recording(first).snapshot
    flags = shown.connections["flags"]
    assert {int(n) for n in shown.connections["id"][flags & int(ConnectionFlag.CLOSED) != 0]} == closed
    before = {int(row["id"]): int(row["reads"]) for row in batches[begun].workers}
    after = {int(row["id"]): int(row["reads"]) for row in batches[13].workers}
    assert {n: worker.reads for n, worker in shown.workers.items()} == {
        n: after[n] - before[n] for n in after
    }
    assert frame_of_recording(final).snapshot.time_ns == batches[-1].time_ns
    assert not list(tmp_path.glob(".web.ring.*"))


def test_a_finding_that_comes_up_is_written_once_and_told(tmp_path: Path, clock: list[int]) -> None:
    source = SyntheticSource(Scenario("single", workers=1, overflow=True, rate=1500.0, backlog=64))
    meta, said = source.meta, list[str]()
    batches = list(source.batches(10))
    watch = FindingWatcher(meta, parse_finding_filter(["queue-overflow"], "--on-finding"), 100 * SECOND)
    sink = FlightRecorder(tmp_path / "web", meta, RotationLimit(ns=60 * SECOND), 1, watch, said.append)
    feed(sink, batches, clock)
    assert len(said) == 2
    assert said[0].startswith("queue-overflow on ")
    assert said[1].startswith("the end: ")
    (newest,) = sink.written()  # --keep 1
    assert str(newest) in said[1]
    found = frame_of_recording(newest).findings
    assert "queue-overflow" in {finding.id for finding in found}


def test_findings_that_do_not_reach_the_bar_are_not_written(tmp_path: Path, clock: list[int]) -> None:
    source = SyntheticSource(Scenario("single", workers=1, overflow=True, rate=1500.0, backlog=64))
    said: list[str] = []
    watch = FindingWatcher(source.meta, parse_finding_filter(["thundering-herd"], "--on-finding"), SECOND)
    sink = FlightRecorder(
        tmp_path / "web", source.meta, RotationLimit(ns=60 * SECOND), None, watch, said.append
    )
    feed(sink, source.batches(8), clock)
    assert [line.split(":")[0] for line in said] == ["the end"]


def test_a_session_shorter_than_the_ring_is_written_whole(tmp_path: Path) -> None:
    meta, batches = session("dispatch")
    said: list[str] = []
    sink = recorder(tmp_path / "web", meta, RotationLimit(octets=10**9), said)
    feed(sink, batches)
    (path,) = sink.written()
    with Reader(path) as reader:
        assert reader.meta == meta
        assert_all_equal(reader.batches(), batches)


def test_parts_joined_are_what_one_file_would_have_been(tmp_path: Path) -> None:
    meta, batches = session("reuseport")
    cuts = (0, 5, 9, TICKS)
    parts = []
    for number, (begin, end) in enumerate(itertools.pairwise(cuts)):
        # each begins with the batch that the one before ended with
        parts.append(_single(tmp_path / f"{number}", meta, batches[max(begin - 1, 0) : end]))
    merge_segments(parts, tmp_path / "joined", from_start=True)
    with Reader(tmp_path / "joined") as reader:
        assert_all_equal(reader.batches(), batches)
    with pytest.raises(SockscopeError, match="does not exist"):
        merge_segments([tmp_path / "nothing"], tmp_path / "other", from_start=False)


def test_what_cannot_be_kept_is_said_with_where_it_lies(tmp_path: Path) -> None:
    meta, batches = session("reuseport", 3)
    said: list[str] = []
    sink = recorder(tmp_path / "web", meta, RotationLimit(octets=10**9), said)
    for batch in batches:
        sink.take(batch)
    folder = next(tmp_path.glob(".web.ring.*"))
    (folder / "joined").mkdir()  # what is to be written cannot be
    with pytest.raises(SockscopeError, match="is a directory"):
        sink.__exit__(None, None, None)
    assert str(folder) in said[-1]
    assert frame_of_recording(next(folder.glob("*.sockscope"))).snapshot.time_ns == batches[-1].time_ns


@pytest.mark.parametrize(
    "error", [None, SockscopeError("no space left")], ids=["after none", "after an error"]
)
def test_who_interrupts_the_joining_is_told_where_the_parts_are(
    error: SockscopeError | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And after an error that is what counts: nothing is raised in its place."""
    meta, batches = session("reuseport", 3)
    said: list[str] = []
    sink = recorder(tmp_path / "web", meta, RotationLimit(octets=10**9), said)
    for batch in batches:
        sink.take(batch)
    endless = tmp_path / "endless"
    endless.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    endless.chmod(0o755)
    monkeypatch.setattr(flight_module.sys, "executable", str(endless))

    def impatient(line: str) -> None:
        signal.raise_signal(signal.SIGINT)  # once more
        said.append(line)

    sink._say = impatient
    interrupting = threading.Thread(target=_interrupt_in, args=("communicate", tmp_path / "pid"))
    interrupting.start()
    with nullcontext() if error else pytest.raises(KeyboardInterrupt):
        sink.__exit__(type(error) if error else None, error, None)
    interrupting.join()
    folder = next(tmp_path.glob(".web.ring.*"))
    assert str(folder) in said[-1]
    assert frame_of_recording(next(folder.glob("*.sockscope"))).snapshot.time_ns == batches[-1].time_ns
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def _interrupt_in(function: str, begun: Path) -> None:
    """Ctrl-C for the main thread, once it is in that function and what it waits for has begun."""

    def is_in_it() -> bool:
        frame = sys._current_frames()[threading.main_thread().ident or 0]
        return function in (entry.name for entry in traceback.extract_stack(frame))

    wait_until(lambda: begun.exists() and begun.read_text().strip() and is_in_it())
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("way", ["rotation", "ring"])
def test_a_folder_that_goes_is_said_in_one_line(way: str, tmp_path: Path) -> None:
    meta, batches = session("reuseport", 4)
    folder, said = tmp_path / "gone", list[str]()
    folder.mkdir()
    every = RotationLimit(octets=1)
    sink: Sink = (
        Rotation(folder / "web", meta, every, 3)
        if way == "rotation"
        else recorder(folder / "web", meta, every, said)
    )

    def until_it_is_gone() -> Iterator[Batch]:
        for number, batch in enumerate(batches):
            if number == 2:
                shutil.rmtree(folder)
            yield batch

    with pytest.raises(SockscopeError, match=r"removed|does not exist") as caught:
        feed(sink, until_it_is_gone())
    assert "\n" not in str(caught.value)
    assert said == []
    assert sink.written() == ()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rotate", "x"], "--rotate 'x': neither a duration nor a size"),
        (
            ["--rotate", "1h", "--flight-recorder", "5m"],
            "--rotate and --flight-recorder are mutually exclusive",
        ),
        (["--keep", "3"], "--keep needs --rotate or --flight-recorder"),
        (["--rotate", "1h", "--keep", "0"], "--keep needs --rotate or --flight-recorder"),
        (["--on-finding", "warning"], "--on-finding needs --flight-recorder"),
        (["--flight-recorder", "5m", "--on-finding", "nope"], "unknown severity or finding"),
        (["--flight-recorder", "5m", "--overwrite"], "--overwrite cannot be used with"),
    ],
)
def test_options_that_do_not_go_together_are_told_in_one_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["record", "-o", str(tmp_path / "x"), *words]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("1h", RotationLimit(ns=3600 * SECOND)),
        ("90s", RotationLimit(ns=90 * SECOND)),
        ("5m", RotationLimit(ns=300 * SECOND)),
        ("60", RotationLimit(ns=60 * SECOND)),
        ("500M", RotationLimit(octets=500_000_000)),
        ("1.5GB", RotationLimit(octets=1_500_000_000)),
        ("2GiB", RotationLimit(octets=2**31)),
    ],
)
def test_a_length_is_a_time_or_a_size(text: str, every: RotationLimit) -> None:
    assert RotationLimit.parse(text, "--rotate") == every


@pytest.mark.parametrize("text", ["", "x", "10 apples", "0", "0.5s", "1k", "-5m", "1.M", "5 MB B"])
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--flight-recorder"):
        RotationLimit.parse(text, "--flight-recorder")
