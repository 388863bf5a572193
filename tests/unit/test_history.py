"""Series over time: what they count, that they are bounded, and that a view stays as it was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockscope.model.history import History, HistoryView
from sockscope.records.batch import QUEUE, THREAD_CPU, Batch
from sockscope.records.layout import LISTENER, WORKER, WorkerFlag
from tests.synthetic import Scenario, SyntheticSource

SECOND = 10**9


def worker(number: int, **values: Any) -> Any:
    record = np.zeros(1, WORKER)
    record["id"], record["pid"], record["tid"] = number, 100, 100 + number
    record["flags"] = int(WorkerFlag.IN_WAIT)
    for name, value in values.items():
        record[name] = value
    return record


def history_of(*batches: Batch, ticks: int = 300) -> HistoryView:
    history = History(ticks)
    for batch in batches:
        history.apply(batch)
    return history.view()


def test_the_first_batch_is_what_there_was_before_and_no_tick() -> None:
    view = history_of(Batch(SECOND, workers=worker(1, accepts=500)))
    assert view.ticks == 0
    assert view.worker("accepts", [1]).shape == (1, 0)


def test_a_tick_holds_differences_and_rates_go_by_the_time_of_records() -> None:
    view = history_of(
        Batch(1 * SECOND, workers=worker(1, accepts=500)),
        Batch(3 * SECOND, workers=worker(1, accepts=540)),
        Batch(4 * SECOND, workers=worker(1, accepts=540)),
    )
    assert view.worker("accepts", [1]).tolist() == [[40, 0]]
    assert view.seconds.tolist() == [2, 1]
    assert view.rates("accepts", [1], 3).tolist() == [pytest.approx(40 / 3)]
    assert view.rates("accepts", [1], 1).tolist() == [0]


def test_a_worker_that_comes_later_counts_from_nothing() -> None:
    view = history_of(
        Batch(1 * SECOND, workers=worker(1)),
        Batch(2 * SECOND, workers=worker(2, reads=7)),
        Batch(3 * SECOND),
    )
    assert view.worker("reads", [1, 2, 3]).tolist() == [[0, 0], [7, 0], [0, 0]]


def test_a_worker_that_is_not_in_a_batch_did_nothing() -> None:
    view = history_of(
        Batch(1 * SECOND, workers=worker(1, reads=5)),
        Batch(2 * SECOND),
        Batch(3 * SECOND, workers=worker(1, reads=9)),
    )
    assert view.worker("reads", [1]).tolist() == [[0, 4]]


def test_a_stall_that_is_not_over_is_busy_time_already() -> None:
    stalled = worker(1, flags=0, wait_exit_ns=int(1.5 * SECOND))
    back = worker(1, busy_ns=int(2.2 * SECOND))
    view = history_of(
        Batch(1 * SECOND, workers=worker(1)),
        Batch(2 * SECOND, workers=stalled),
        Batch(3 * SECOND),
        Batch(4 * SECOND, workers=back),
    )
    assert view.worker("busy", [1])[0] == pytest.approx([0.5 * SECOND, SECOND, 0.7 * SECOND])


def test_the_waits_of_a_tick_come_from_the_difference_of_two_histograms() -> None:
    before, after = worker(1), worker(1)
    before["data_wait"][0, 5] = 100
    after["data_wait"][0, 5] = 100
    after["data_wait"][0, 40] = 3
    view = history_of(Batch(SECOND, workers=before), Batch(2 * SECOND, workers=after))
    spectrum = view.spectrum("data_wait")
    assert spectrum.shape == (1, 106)
    assert {int(bucket): spectrum[0, bucket] for bucket in np.flatnonzero(spectrum)} == {40: 3}
    assert view.spectrum("data_wait", [2]).sum() == 0
    assert view.spectrum("stall").sum() == 0
    assert view.worker("data_wait", [1])[0, 0] > 1e6


def test_a_listener_keeps_its_queue_until_told_otherwise_and_its_drops_are_of_the_tick() -> None:
    listener = np.zeros(1, LISTENER)
    listener["id"], listener["inode"], listener["netns"], listener["backlog"] = 3, 77, 9, 128
    queue = np.zeros(1, QUEUE)
    queue["inode"], queue["netns"], queue["queue"], queue["drops"] = 77, 9, 12, 5
    more = listener.copy()
    more["established"], more["queue"] = 50, 4
    view = history_of(
        Batch(1 * SECOND, listeners=listener),
        Batch(2 * SECOND, queues=queue),
        Batch(3 * SECOND),
        Batch(4 * SECOND, listeners=more),
    )
    assert view.listener("queue", [3]).tolist() == [[12, 12, 4]]
    assert view.listener("drops", [3]).tolist() == [[5, 0, 0]]
    assert view.listener("established", [3]).tolist() == [[0, 0, 50]]
    assert view.listener("backlog", [3]).tolist() == [[128, 128, 128]]


def test_cpu_time_is_known_from_the_second_sample_on() -> None:
    def sample(cpu_ns: int) -> Any:
        rows = np.zeros(1, THREAD_CPU)
        rows["pid"], rows["tid"], rows["cpu_ns"] = 100, 101, cpu_ns
        return rows

    view = history_of(
        Batch(1 * SECOND, workers=worker(1)),
        Batch(2 * SECOND, threads=sample(7 * SECOND)),
        Batch(3 * SECOND, threads=sample(7 * SECOND + 250)),
    )
    assert view.worker("cpu", [1]).tolist() == [[0, 250]]


def test_a_view_is_not_changed_by_what_comes_after() -> None:
    source, history = SyntheticSource(Scenario(workers=4)), History(20)
    for batch in source.batches(15):
        history.apply(batch)
    view = history.view()
    before = view.worker("reads", [1, 2, 3, 4]).copy()
    spectrum = view.spectrum("queue_wait").copy()
    for batch in source.batches(200):
        history.apply(batch)
    assert np.array_equal(view.worker("reads", [1, 2, 3, 4]), before)
    assert np.array_equal(view.spectrum("queue_wait"), spectrum)
    with pytest.raises(ValueError, match="read-only"):
        view._worker[0] = 1


def test_only_so_many_ticks_are_kept() -> None:
    source, history = SyntheticSource(Scenario(workers=2)), History(10)
    sizes = set()
    for index, batch in enumerate(source.batches(500)):
        history.apply(batch)
        if index > 50:
            sizes.add(history._worker._rows.shape)
    view = history.view()
    assert view.ticks == 10
    assert len(view.spectrum("data_wait")) == 10
    assert sizes == {(15, 8, 11)}


def test_workers_may_keep_coming() -> None:
    history = History(5)
    for number in range(1, 200):
        history.apply(Batch(number * SECOND, workers=worker(number, reads=number)))
    assert history.view().worker("reads", [199, 198, 150]).sum(axis=1).tolist() == [199, 198, 0]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=2, max_size=30), st.integers(2, 8))
def test_what_a_series_holds_adds_up_to_what_was_counted(steps: list[int], ticks: int) -> None:
    history, total = History(ticks), 0
    for index, step in enumerate(steps):
        total += step
        history.apply(Batch((index + 1) * SECOND, workers=worker(1, writes=total)))
    assert history.view().worker("answers", [1]).sum() == sum(steps[1:][-ticks:])


def test_a_batch_that_is_not_later_is_left_out() -> None:
    batch = Batch(SECOND, workers=worker(1, reads=1))
    view = history_of(batch, replace(batch, workers=worker(1, reads=5)), Batch(2 * SECOND))
    assert view.ticks == 1


@pytest.mark.parametrize("kind", ["single", "handoff", "dispatch", "shared", "reuseport"])
def test_the_synthetic_source_gives_the_same_from_the_same_seed(kind: Any) -> None:
    first, second = (list(SyntheticSource(Scenario(kind, seed=4)).batches(5)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.connections.tobytes() == other.connections.tobytes()
        assert one.workers.tobytes() == other.workers.tobytes()
