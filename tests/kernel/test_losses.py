"""What could not be recorded is counted: losses and records together are what happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sockscope.tracer import map_defs
from sockscope.tracer.map_defs import MapSizes
from tests.kernel.tracing import essence_of_ledger, essence_of_seen, run_traced

pytestmark = pytest.mark.kernel

LOAD = ("--connections", 3000, "--concurrency", 64, "--requests", 1)


def _lost(seen: dict[str, Any], where: str) -> int:
    return sum(loss["count"] for loss in seen["health"]["lost"] if where in loss["where"])


def test_with_room_for_a_few_open_connections_lost_and_recorded_add_up(tmp_path: Path) -> None:
    run = run_traced(tmp_path, "reuseport", {"workers": 2}, LOAD, limits=MapSizes(connections=8))
    lost = _lost(run.seen, "no room for another open one")
    assert lost > 0
    assert len(run.seen["connections"]) + lost == 3000
    assert sum(listener["established"] for listener in run.seen["listeners"]) == 3000
    # who accepted is still counted, connection by connection, though some have no record
    assert sum(worker["accepts"] for worker in run.seen["workers"]) == 3000
    assert _lost(run.seen, "of connections without a record") == lost


def test_with_a_directory_of_two_buckets_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly every socket and thread is found through the map for those whose buckets are full."""
    monkeypatch.setattr(map_defs, "bucket_count", lambda places: 2)
    monkeypatch.setattr(map_defs, "overflow_capacity", lambda places: places)
    run = run_traced(tmp_path, "handoff", {"workers": 12}, LOAD)
    assert run.seen["health"]["lost"] == []
    assert len(run.seen["connections"]) == 3000
    assert sum(worker["accepts"] for worker in run.seen["workers"]) == 3000
    seen = sorted(map(essence_of_seen, run.seen["connections"]), key=repr)
    assert seen == sorted(map(essence_of_ledger, run.ledger), key=repr)


def test_with_a_ring_of_one_page_lost_and_recorded_add_up(tmp_path: Path) -> None:
    run = run_traced(tmp_path, "single", {}, LOAD, limits=MapSizes(closed_pages=1))
    lost = _lost(run.seen, "closed faster than they were drained")
    assert lost > 0
    assert len(run.seen["connections"]) + lost == 3000
    assert sum(worker["reads"] for worker in run.seen["workers"]) == 3000


def test_with_room_for_one_thread_the_deeds_of_others_are_counted_as_lost(tmp_path: Path) -> None:
    run = run_traced(tmp_path, "shared", {"workers": 3}, LOAD, limits=MapSizes(workers=1))
    lost = _lost(run.seen, "no room for another thread")
    recorded = sum(worker["accepts"] + worker["reads"] + worker["writes"] for worker in run.seen["workers"])
    assert lost >= 3 * 3000 - recorded > 0


def test_with_no_room_for_further_threads_on_a_connection_it_is_marked_inexact(tmp_path: Path) -> None:
    run = run_traced(
        tmp_path, "dispatch", {"workers": 4}, ("--connections", 300, "--concurrency", 32, "--requests", 12),
        limits=MapSizes(io_overflow=2),
    )  # fmt: skip
    lost = _lost(run.seen, "no room for a further thread on a connection")
    assert lost > 0
    written = sum(writer["writes"] for row in run.seen["connections"] for writer in row["writers"])
    assert written + lost == 300 * 12
    inexact = [row for row in run.seen["connections"] if not row["exact"]]
    assert inexact
    assert all("more threads" in row["inexact"][0] for row in inexact)


def test_with_room_for_one_that_waits_for_a_listener_the_others_are_counted(tmp_path: Path) -> None:
    options = {"workers": 3, "wait": "accept"}
    run = run_traced(
        tmp_path, "shared", options, ("--connections", 480, "--concurrency", 1), limits=MapSizes(waiting=1)
    )
    (listener,) = run.seen["listeners"]
    (waited,) = listener["waiting"]
    lost = _lost(run.seen, "no room for a further thread and listener")
    assert lost > 0
    # a thread that is blocked in accept has one entry in the wait queue: each entry is named, or counted as lost
    assert waited["samples"] + lost == listener["waiters"]
