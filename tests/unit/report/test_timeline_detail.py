"""A timeline of a recording with detail: slices that nest, arrows that land."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockscope.export.timeline import events
from sockscope.records.batch import Batch
from sockscope.records.layout import EVENT, WORKER, EventKind
from sockscope.store import Reader
from tests.unit.report.conftest import shown
from tests.unit.report.traces import arrows_of
from tests.unit.store.recordings import META, record

ACCEPT, RECEIVE, SEND, WAIT, WOKEN, WAKE = EventKind
AGAIN = -11


def connection_io(*rows: tuple[Any, ...]) -> Any:
    """(time in µs since tracing began, worker, kind, connection, result, about)."""
    frame, _ = shown("dispatch")
    made = np.zeros(len(rows), EVENT)
    for row, values in zip(made, rows, strict=True):
        at, row["worker"], row["kind"], row["connection"], row["result"], row["about"] = values
        row["time_ns"] = frame.snapshot.started_ns + round(at * 1000)
    return made


def drawn(made: Any) -> list[dict[str, Any]]:
    """What is drawn of these events alone."""
    frame, _ = shown("dispatch")
    return [event for event in events(frame, None, 1, [made]) if event["ph"] in "Xstf"]


def threads() -> list[Any]:
    frame, _ = shown("dispatch")
    return [worker for _, worker in sorted(frame.snapshot.workers.items())]


def test_a_request_is_followed_from_accept_to_read_to_wake_to_answer_across_threads() -> None:
    reader, writer = threads()[:2]
    seen = drawn(
        connection_io(
            (10, reader.id, WOKEN, 0, 1, 232),
            (20, reader.id, ACCEPT, 7, 0, 1),
            (21, reader.id, ACCEPT, 0, AGAIN, 0),
            (30, reader.id, RECEIVE, 7, 50, 0),
            (31, reader.id, WAKE, 0, 0, writer.tid),
            (40, reader.id, WAIT, 0, 0, 232),
            (45, writer.id, SEND, 7, 90, 0),
            (60, reader.id, WOKEN, 0, 1, 232),
            (61, reader.id, RECEIVE, 7, 50, 1),
            (62, reader.id, RECEIVE, 7, 50, 0),
            (63, writer.id, SEND, 7, AGAIN, 0),
            (64, writer.id, SEND, 7, 90, 0),
            (65, reader.id, RECEIVE, 7, 0, 0),
            (70, reader.id, WAIT, 0, 0, 232),
        )
    )
    slices = [(e["tid"], e["name"], e["ts"], e["dur"]) for e in seen if e["ph"] == "X"]
    assert sorted(slices, key=lambda one: (one[2], -one[3])) == [
        (reader.tid, "at work", 10, 30),
        (reader.tid, "accept", 20, 1),
        (reader.tid, "nothing to accept", 21, 1),
        (reader.tid, "read", 30, 1),
        (reader.tid, "wake", 31, 1),
        (reader.tid, "wait", 40, 20),
        (writer.tid, "answer", 45, 1),
        (reader.tid, "at work", 60, 10),
        (reader.tid, "peek", 61, 1),
        (reader.tid, "read", 62, 1),
        (writer.tid, "no room to write", 63, 1),
        (writer.tid, "answer", 64, 1),
        (reader.tid, "end of stream", 65, 1),
        (reader.tid, "wait", 70, 0.001),
    ]
    arrows = arrows_of(seen)
    flows = {
        key[0]: [(stop.phase, stop.slice, stop.track[1]) for stop in stops] for key, stops in arrows.items()
    }
    requests = sorted(stops[0].ts for (kind, _), stops in arrows.items() if kind == "request")
    assert requests == [20, 62]
    first = next(stops for (kind, _), stops in arrows.items() if kind == "request" and stops[0].ts == 20)
    assert [(stop.phase, stop.slice, stop.track[1]) for stop in first] == [
        ("s", "accept", reader.tid),
        ("t", "read", reader.tid),
        ("f", "answer", writer.tid),
    ]
    assert flows["wake"] == [("s", "wake", reader.tid), ("f", "answer", writer.tid)]


def test_a_wake_up_out_of_a_wait_lands_in_the_work_that_follows() -> None:
    one, other = threads()[:2]
    seen = drawn(
        connection_io(
            (1, other.id, WAIT, 0, 0, 232),
            (2, one.id, WAKE, 0, 0, other.tid),
            (3, other.id, WOKEN, 0, 1, 232),
            (9, other.id, WAIT, 0, 0, 232),
        )
    )
    (stops,) = arrows_of(seen).values()
    assert [(stop.slice, stop.track[1]) for stop in stops] == [("wake", one.tid), ("at work", other.tid)]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_slices_nest_and_arrows_land(seed: int) -> None:
    chosen, ids = random.Random(seed), [worker.id for worker in threads()] + [9999]
    tids = [worker.tid for worker in threads()]
    rows: list[tuple[Any, ...]] = []
    now, worker = 1.0, 0
    waiting = dict.fromkeys(ids, chosen.random() < 0.5)
    for _ in range(1500):
        before, worker = worker, chosen.choice(ids)
        # between threads there lies a cache line on its way: never less than some nanoseconds
        now += chosen.choice([0, 0.001, 0.5] if worker == before else [0.05, 0.5, 3])
        if waiting[worker]:
            rows.append((now, worker, WOKEN, 0, chosen.choice([0, 1, -4]), 232))
            waiting[worker] = False
            continue
        kind = chosen.choice([ACCEPT, RECEIVE, RECEIVE, SEND, SEND, WAIT, WAKE])
        waiting[worker] = kind is WAIT
        number = 0 if kind in (WAIT, WAKE) else chosen.randrange(1, 9)
        result = 0 if kind in (WAIT, WAKE) else chosen.choice([0, 5, AGAIN, -104, -9999])
        rows.append(
            (now, worker, kind, number, result, chosen.choice(tids) if kind is WAKE else chosen.randrange(2))
        )
    seen = drawn(connection_io(*rows))
    arrows = arrows_of(seen)
    assert any(len(stops) > 1 for stops in arrows.values())
    moments = [event for event in seen if event["ph"] == "X" and event["cat"] == "operation"]
    assert len(moments) == sum(row[2] not in (WAIT, WOKEN) for row in rows)


def test_a_window_cuts_events_at_its_moments(tmp_path: Path) -> None:
    made = np.zeros(1000, EVENT)
    made["time_ns"] = np.arange(1000) * 10
    batches = [Batch(tick, events=made[tick * 100 : tick * 100 + 100]) for tick in range(10)]
    batches[0] = replace(batches[0], workers=np.zeros(1, WORKER))
    with Reader(record(tmp_path / "x", batches, META)) as reader:
        assert reader.count_events() == 1000
        found = np.concatenate(list(reader.events(2_345, 7_000)))
        assert found["time_ns"].tolist() == list(range(2_350, 7_001, 10))
        assert list(reader.events(100_000, 200_000)) == []
        assert sum(len(chunk) for chunk in reader.events()) == 1000
