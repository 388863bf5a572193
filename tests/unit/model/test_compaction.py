"""Days of threads, processes and listeners that come and go: few records, and nothing of it forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sockscope.analysis.analyse import analyse
from sockscope.export.openmetrics import Exposition
from sockscope.model.history import History
from sockscope.model.state import State
from sockscope.records.batch import OWNER, THREAD_CPU, WAITING, WAKE, Batch, Meta
from sockscope.records.layout import CONNECTION, LISTENER, WORKER, ConnectionFlag

S = 10**9
KEPT = 50
TICKS, EACH = 40, 20
STARTS = 700
META = Meta(
    host="here",
    kernel="6.18",
    version="1",
    target="",
    command="",
    cpus=2,
    started_ns=S,
    monotonic_offset_ns=0,
    signals=(),
    boot_id="",
)


def _worker(number: int, pid: int, tid: int, parent: int, now: int, **values: int) -> Any:
    record = np.zeros(1, WORKER)
    record["id"], record["pid"], record["tid"], record["parent_pid"] = number, pid, tid, parent
    record["comm"][0, :3] = list(b"srv")
    record["start_ns"] = record["first_seen_ns"] = now
    for name, value in values.items():
        record[name] = value
    return record


def _listener(number: int, now: int, **values: int) -> Any:
    record = np.zeros(1, LISTENER)
    record["id"], record["inode"], record["port"], record["family"], record["netns"] = (
        number,
        number,
        80,
        4,
        1,
    )
    record["address"][0, 10:] = (0xFF, 0xFF, 127, 0, 0, 1)
    record["listened_ns"] = now
    for name, value in values.items():
        record[name] = value
    return record


def _connections(first: int, now: int, listener: int, acceptor: int, readers: list[int]) -> Any:
    records = np.zeros(len(readers), CONNECTION)
    records["id"] = np.arange(first, first + len(readers))
    records["listener"], records["acceptor"] = listener, acceptor
    records["flags"] = int(ConnectionFlag.CLOSED)
    for name, after in (("established_ns", 1), ("accepted_ns", 2), ("first_read_ns", 4), ("closed_ns", 9)):
        records[name] = now + after
    records["io"]["worker"][:, 0] = readers
    records["io"]["reads"][:, 0] = records["io"]["writes"][:, 0] = 1
    records["io"]["bytes_read"][:, 0] = records["io"]["bytes_written"][:, 0] = 5
    return records


def busy_days(how: str) -> Iterator[Batch]:
    """One acceptor; for each connection it begins a ``thread``, or a process (``fork``)."""
    accepted = 0
    for tick in range(1, TICKS + 1):
        now = tick * S
        ended, clocks = [], []
        for each in range(EACH):
            number = accepted + each + 2
            pid, tid = (77, 1000 + number) if how == "thread" else (1000 + number, 1000 + number)
            parent = 1 if how == "thread" else 77
            record = _worker(number, pid, tid, parent, now, reads=1, writes=1, bytes_read=5, bytes_written=5)
            record["ended_ns"], record["stall_max_ns"] = now + 9, number
            record["data_wait"][0, 7] = record["answer"][0, 3] = 1
            ended.append(record)
            clocks.append((pid, tid, 1000, 10, 1))
        readers = [int(record["id"][0]) for record in ended]
        connections = _connections(accepted + 1, now, 1, 1, readers)
        accepted += EACH
        acceptor = _worker(1, 77, 77, 1, S // 2, accepts=accepted)
        yield Batch(
            time_ns=now + 10,
            listeners=_listener(1, S, established=accepted, accepted=accepted),
            workers=np.concatenate([acceptor, *ended]),
            connections=connections,
            threads=np.array(clocks, THREAD_CPU),
            wakes=np.array([(number, 77, 2, 1) for number in readers], WAKE),
            owners=np.array([(1, 1, 77, 3)], OWNER),
        )


def starts_anew(*, elsewhere: bool = False) -> Iterator[Batch]:
    """A server that is started anew every second: a new process, and a new listener at the old address, or
    at another one each time."""
    for tick in range(1, STARTS + 1):
        now = tick * S
        worker = _worker(
            tick, 1000 + tick, 1000 + tick, 1, now, accepts=2, reads=2, writes=2, ended_ns=now + 20
        )
        yield Batch(
            time_ns=now + 30,
            listeners=_listener(
                tick,
                now,
                established=2,
                accepted=2,
                samples=3,
                closed_ns=now + 20,
                port=80 + elsewhere * tick,
            ),
            workers=worker,
            connections=_connections(2 * tick, now, tick, tick, [tick, tick]),
            waiting=np.array([(tick, tick, 3)], WAITING),
        )


def _told(batches: Iterator[Batch], keep: int | None) -> State:
    state = State(keep)
    state.started_at(S)
    for batch in batches:
        state.apply(batch)
    return state


def _sums(state: State) -> dict[str, Any]:
    """What must not depend on how many are told one by one."""
    snapshot = state.snapshot()
    workers, listeners = snapshot.workers.values(), snapshot.listeners
    found: dict[str, Any] = {
        name: sum(getattr(worker, name) for worker in workers)
        for name in (
            "threads",
            "accepts",
            "reads",
            "bytes_read",
            "writes",
            "bytes_written",
            "cpu_ns",
            "cpu_wait_ns",
        )
    }
    found["stall"] = max(worker.stall_max_ns for worker in workers)
    found["data_wait"] = np.sum([worker.data_wait for worker in workers], axis=0).tolist()
    for name in ("sockets", "established", "accepted", "samples"):
        found[name] = sum(getattr(listener, name) for listener in listeners)
    found["connections"] = int(snapshot.role_counts.sum()), snapshot.connections_total
    found["by acceptor"] = sum(snapshot.role_counts[snapshot.roles["acceptor"] > 0].tolist())
    found["parts"] = [int(snapshot.listener_io[name].sum()) for name in ("reads", "bytes_read", "writes")]
    found["looks of them"] = sum(waiting.samples for waiting in snapshot.waiting)
    return found


@pytest.mark.parametrize("how", ["thread", "fork"])
def test_threads_that_ended_long_ago_become_one_record_and_all_sums_stay(how: str) -> None:
    few, all_of_them = _told(busy_days(how), KEPT), _told(busy_days(how), None)
    assert _sums(few) == _sums(all_of_them)
    snapshot = few.snapshot()
    assert len(all_of_them.snapshot().workers) == TICKS * EACH + 1
    assert len(snapshot.workers) <= 1 + 1.1 * KEPT + EACH + 1
    assert len(snapshot.roles) <= 1.1 * KEPT + EACH + 1
    (old,) = [worker for worker in snapshot.workers.values() if worker.threads > 1]
    assert old.number == f"({old.threads} ended)"
    assert (old.tid, old.parent_pid) == (0, 1 if how == "thread" else 77)
    assert {wake.waker for wake in snapshot.wakes} <= snapshot.workers.keys()
    named = {number for number in snapshot.connections["io"]["worker"][:, 0].tolist() if number}
    assert named <= snapshot.workers.keys()  # whoever is told of is known


@pytest.mark.parametrize("how", ["thread", "fork"])
def test_the_verdict_and_the_findings_are_the_same_with_few_records(how: str) -> None:
    few, all_of_them = (analyse(META, _told(busy_days(how), keep).snapshot()) for keep in (KEPT, None))
    (server,), (expected,) = few.servers, all_of_them.servers
    assert (server.model, server.handoff, server.connections) == ("handoff", how, TICKS * EACH)
    assert server.confidence == expected.confidence
    assert server.evidence == expected.evidence
    assert [found.id for found in few.findings] == [found.id for found in all_of_them.findings]


def test_listeners_that_were_closed_long_ago_become_one_of_their_address() -> None:
    few, all_of_them = _told(starts_anew(), KEPT), _told(starts_anew(), None)
    assert _sums(few) == _sums(all_of_them)
    snapshot = few.snapshot()
    assert len(all_of_them.snapshot().listeners) == STARTS
    assert len(snapshot.listeners) < 250
    (server,), (expected,) = (analyse(META, state.snapshot()).servers for state in (few, all_of_them))
    assert (
        (server.model, server.connections) == (expected.model, expected.connections) == ("single", 2 * STARTS)
    )


def test_addresses_where_nobody_listens_any_more_are_forgotten_but_for_the_last() -> None:
    few, all_of_them = _told(starts_anew(elsewhere=True), KEPT), _told(starts_anew(elsewhere=True), None)
    snapshot = few.snapshot()
    assert snapshot.connections_total == all_of_them.snapshot().connections_total == 2 * STARTS
    assert len(snapshot.listeners) < 250
    known = {listener.id for listener in snapshot.listeners}
    for told in (
        snapshot.connections["listener"],
        snapshot.roles["listener"],
        snapshot.listener_io["listener"],
    ):
        assert set(told.tolist()) <= known
    assert {waiting.listener for waiting in snapshot.waiting} <= known
    last, every = analyse(META, snapshot).servers[-1], analyse(META, all_of_them.snapshot()).servers[-1]
    assert (last.group.port, last.model, last.evidence) == (every.group.port, every.model, every.evidence)
    assert sum(worker.accepts for worker in snapshot.workers.values()) == 2 * STARTS


def test_what_is_needed_by_many_open_connections_does_not_make_each_batch_dear() -> None:
    """Threads that ended, and whose connections are open still: they stay, and are looked through seldom."""
    state, looks = State(KEPT), 0
    past = state._ended
    assert past is not None
    together = past.compact

    def counted(*given: Any) -> dict[int, int]:
        nonlocal looks
        looks += 1
        return together(*given)

    past.compact = counted  # type: ignore[method-assign, assignment]
    for tick in range(1, 201):
        worker = _worker(tick, 77, 1000 + tick, 1, tick * S, reads=1, ended_ns=tick * S + 1)
        connections = _connections(tick, tick * S, 1, 1, [tick])
        connections["flags"] = connections["closed_ns"] = 0
        state.apply(Batch(time_ns=tick * S, workers=worker, connections=connections))
    assert len(state.snapshot().workers) == 200
    assert looks < 200 / (KEPT // 10)


def test_processes_of_a_server_that_is_gone_become_one_of_their_parent() -> None:
    def two_lives() -> Iterator[Batch]:
        yield from busy_days("thread")
        last = _worker(1, 77, 77, 1, S, accepts=TICKS * EACH)
        last["ended_ns"] = (TICKS + 1) * S
        yield Batch(time_ns=(TICKS + 1) * S, workers=last)
        for each in range(2 * KEPT):  # others come and go; nobody holds the listener of the first
            now = (TICKS + 2) * S + each
            one = _worker(10_000 + each, 5000, 6000 + each, 1, now, reads=1, ended_ns=now + 1)
            yield Batch(time_ns=now, workers=one, owners=np.array([(1, 1, 5000, 3)], OWNER))

    assert _sums(_told(two_lives(), KEPT)) == _sums(_told(two_lives(), None))
    old = [worker for worker in _told(two_lives(), KEPT).snapshot().workers.values() if worker.threads > 1]
    assert len(old) <= 2


def test_counters_for_prometheus_never_fall() -> None:
    exposition, state = Exposition(8, 12), State(KEPT)
    state.started_at(S)
    totals: list[dict[str, float]] = []
    for batch in busy_days("thread"):
        state.apply(batch)
        text = exposition.render(analyse(META, state.snapshot()))
        found: dict[str, float] = {}
        for name, value in re.findall(
            r"^(sockscope_\w+_(?:total|count))(?:\{[^\n]*\})? (\S+)", text, re.MULTILINE
        ):
            found[name] = found.get(name, 0.0) + float(value)
        totals.append(found)
    assert totals[-1]["sockscope_worker_reads_total"] == TICKS * EACH
    for before, after in pairwise(totals):
        assert all(after[name] >= value for name, value in before.items())


def test_series_are_kept_of_the_latest_that_ended_and_of_all_that_live() -> None:
    history = History(ticks=10, keep_ended=KEPT)
    everything = History(ticks=10, keep_ended=10**6)
    for batch in busy_days("thread"):
        history.apply(batch)
        everything.apply(batch)
    few, known = history.view(), everything.view()
    assert len(few.workers) <= 2 * KEPT + EACH + 1
    assert few.worker("accepts", [1]).tolist() == known.worker("accepts", [1]).tolist()
    latest = sorted(few.workers)[-KEPT:]
    for series in ("reads", "bytes", "cpu"):
        assert few.worker(series, latest).tolist() == known.worker(series, latest).tolist()


def test_a_view_that_was_taken_stays_as_it_was_when_series_are_let_go() -> None:
    history = History(ticks=10, keep_ended=5)
    batches = list(busy_days("thread"))
    for batch in batches[:4]:
        history.apply(batch)
    view = history.view()
    before = view.worker("reads", sorted(view.workers)).tolist()
    for batch in batches[4:]:
        history.apply(batch)
    assert view.worker("reads", sorted(view.workers)).tolist() == before
    assert any(map(any, before))
