"""Findings that were made for faults reported in public: each is found in a frame that has it, and only there."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

from sockscope.analysis.findings import detect_findings
from sockscope.analysis.thresholds import Thresholds
from sockscope.model.snapshot import AcceptError
from sockscope.records.layout import ConnectionFlag

World = Any
MS = 1_000_000
BEFORE = int(ConnectionFlag.OPEN_BEFORE | ConnectionFlag.UNACCEPTED_BEFORE)


def ids(world: World) -> list[str]:
    return [finding.id for finding in world.findings()]


def never_accepted(world: World, samples: int, waiters: int) -> World:
    it = world()
    listener = it.listener(owners=[200])
    it.listeners[0]["samples"], it.listeners[0]["waiters"] = samples, waiters
    it.wait_unaccepted(12, listener, since_ms=4000)
    return it


def test_a_listener_that_no_thread_waits_for_is_orphaned(world: World) -> None:
    (finding,) = never_accepted(world, samples=1, waiters=0).findings()
    assert (finding.id, finding.severity) == ("listener-orphaned", "critical")
    assert finding.evidence["waiting"] == 12
    assert "queue-stuck" in finding.explains
    assert "-p 200" in finding.remedy[0]


def test_a_listener_that_a_thread_waits_for_is_stuck_and_not_orphaned(world: World) -> None:
    (finding,) = never_accepted(world, samples=1, waiters=1).findings()
    assert (finding.id, finding.severity) == ("queue-stuck", "critical")


def test_connections_that_were_queued_before_tracing_have_waited_at_least_since_then(world: World) -> None:
    it = world(seconds=5)
    it.wait_unaccepted(3, it.listener(owners=[200]), since_ms=0)
    for row in it.connections:
        row["established_ns"], row["flags"] = 0, BEFORE
    (finding,) = it.findings()
    assert finding.id == "queue-stuck"
    assert finding.evidence["oldest_ms"] == 5000


def test_a_queue_from_which_connections_are_accepted_is_not_stuck(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200])
    it.wait_unaccepted(3, listener, since_ms=3000)
    it.serve(100, listener, it.worker(pid=200), queue_ms=1)
    assert "queue-stuck" not in ids(it)


def at_limit(world: World, limit: int, **options: Any) -> World:
    """``limit`` connections are open all the time, and four further ones wait in the queue."""
    it = world()
    listener = it.listener(owners=[200])
    it.serve(limit, listener, it.worker(pid=200, load=0.01, **options), is_open=True, until_ms=1000)
    it.wait_unaccepted(4, listener, since_ms=5000)
    return it


def test_a_limit_of_open_connections_is_found(world: World) -> None:
    (finding, *_) = at_limit(world, 10).findings()
    assert (finding.id, finding.severity, finding.evidence["limit"]) == ("accept-paused", "critical", 10)


def test_an_acceptor_that_was_away_all_the_time_has_no_connection_limit(world: World) -> None:
    assert "accept-paused" not in ids(at_limit(world, 10, stall_ms=4900, stall_end_ms=9900))


def test_workers_with_silent_clients_are_blocked(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200, 201])
    for pid in (200, 201):
        worker = it.worker(pid=pid, parent=100)
        it.serve(1, listener, worker, is_open=True, until_ms=1)
        row = it.connections[-1]
        row["first_read_ns"] = row["first_write_ns"] = row["first_data_ns"] = row["readable_ns"] = 0
        row["io"][0] = 0
    it.wait_unaccepted(5, listener, since_ms=6000)
    (finding, *_) = it.findings()
    assert (finding.id, finding.severity) == ("workers-blocked-on-clients", "critical")
    assert finding.evidence["workers"] == 2
    assert finding.evidence["no_request_s"] > 19


def test_workers_that_work_all_the_time_are_not_blocked_on_clients(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200])
    it.serve(20, listener, it.worker(pid=200, load=0.97), service_ms=470, queue_ms=1500)
    assert "workers-blocked-on-clients" not in ids(it)


def lost(world: World, close_ms: float) -> World:
    """Five connections end in the queue at second 8; the listener was closed ``close_ms`` after that."""
    it = world()
    first, second = it.listener(owners=[200], reuseport=True), it.listener(owners=[201], reuseport=True)
    it.serve(50, first, it.worker(pid=200))
    it.wait_unaccepted(5, second, since_ms=6000)
    end = it.start_ns + 8000 * MS
    for row in it.connections[-5:]:
        row["ending_ns"] = row["closed_ns"] = row["touched_ns"] = end
        row["flags"] = int(ConnectionFlag.CLOSED | ConnectionFlag.RESET)
    it.listeners[1]["closed_ns"] = end + close_ms * MS
    return it


def test_connections_that_a_closed_listener_lost_are_found(world: World) -> None:
    (finding, *_) = lost(world, 0).findings()
    assert (finding.id, finding.severity) == ("connections-lost-in-queue", "critical")
    assert (finding.evidence["lost"], finding.evidence["longest_ms"]) == (5, 4000)


def test_clients_that_gave_up_in_the_queue_were_not_lost_by_the_server(world: World) -> None:
    assert "connections-lost-in-queue" not in ids(lost(world, 1500))


def closed_early(world: World, flags: ConnectionFlag, data: bool, number: int = 20) -> World:
    it = world()
    listener, worker = it.listener(owners=[200]), it.worker(pid=200)
    it.serve(50, listener, worker)
    it.serve(number, listener, worker)
    for row in it.connections[-number:]:
        row["first_read_ns"] = row["first_write_ns"] = 0
        row["first_data_ns"] = row["accepted_ns"] if data else 0
        row["ending_ns"] = row["closed_ns"] = row["accepted_ns"] + MS
        row["flags"] = int(ConnectionFlag.CLOSED | flags)
        row["io"][0] = 0
    return it


def test_connections_that_the_server_closes_unread_are_found(world: World) -> None:
    for flags, data in ((ConnectionFlag.WE_CLOSED_FIRST, False), (ConnectionFlag.RESET, True)):
        (finding, *_) = closed_early(world, flags, data).findings()
        assert (finding.id, finding.severity) == ("closed-unanswered", "critical")
        assert (finding.evidence["closed"], finding.evidence["accepted"]) == (20, 70)


def test_health_checks_that_connect_and_reset_are_no_fault(world: World) -> None:
    for flags in (ConnectionFlag.RESET, ConnectionFlag.PEER_CLOSED_FIRST):
        assert "closed-unanswered" not in ids(closed_early(world, flags, data=False))


def half_closed(world: World, unanswered: bool) -> World:
    it = world()
    listener, worker = it.listener(owners=[200]), it.worker(pid=200)
    it.serve(40, listener, worker, is_open=True, until_ms=5000)
    for row in it.connections:
        row["ending_ns"] = row["touched_ns"] = row["first_write_ns"] + MS
        row["flags"] = int(ConnectionFlag.PEER_CLOSED_FIRST)
        row["unanswered_ns"] = row["first_read_ns"] if unanswered else 0
    return it


def test_connections_that_stay_in_close_wait_are_a_leak(world: World) -> None:
    (finding, *_) = half_closed(world, unanswered=False).findings()
    assert (finding.id, finding.evidence["close_wait"]) == ("close-wait-leak", 40)
    assert "process 200" in finding.explanation


def test_connections_whose_requests_are_in_progress_are_no_leak(world: World) -> None:
    assert "close-wait-leak" not in ids(half_closed(world, unanswered=True))


def test_threads_of_one_process_share_a_reuseport_socket_by_design(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200], reuseport=True)
    for tid, number in ((200, 300), (201, 20), (202, 10)):
        it.serve(number, listener, it.worker(pid=200, tid=tid))
    assert "reuseport-unused" not in ids(it)


def test_reloaded_workers_on_two_sockets_are_still_reuseport(world: World) -> None:
    it = world()
    listeners = [it.listener(owners=[100], reuseport=True) for _ in range(2)]
    for generation in range(5):
        for index in range(2):
            worker = it.worker(pid=200 + 2 * generation + index, parent=100)
            row = it.workers[-1]
            row["start_ns"] = row["first_seen_ns"] = it.start_ns + generation * 2000 * MS
            if generation < 4:
                row["ended_ns"] = it.start_ns + (generation + 1) * 2000 * MS
            begin = 2000 * generation
            it.serve(40, listeners[index], worker, from_ms=begin, until_ms=begin + 1900)
    (server,) = it.frame().servers
    assert server.model == "reuseport"


def test_a_straggler_is_not_named_where_all_threads_wait_for_cpus(world: World) -> None:
    for cpu_wait, found in ((0.0, True), (0.5, False)):
        it = world()
        for pid, service in ((200, 9.0), (201, 2.0), (202, 2.0)):
            worker = it.worker(pid=pid, parent=100, cpu=0.3, cpu_wait=cpu_wait)
            it.serve(100, it.listener(owners=[pid], reuseport=True), worker, service_ms=service)
        assert ("straggler" in ids(it)) is found


def test_accept_errors_of_a_full_descriptor_table_are_found(world: World) -> None:
    for error, expected in ((errno.EMFILE, ["accept-failing"]), (errno.EAGAIN, []), (errno.ECONNABORTED, [])):
        it = world()
        listener, worker = it.listener(owners=[200]), it.worker(pid=200)
        it.serve(50, listener, worker)
        frame = it.frame()
        failed = AcceptError(listener, worker, error, 5000, it.start_ns, it.start_ns + 2000 * MS)
        frame = replace(frame, snapshot=replace(frame.snapshot, accept_errors=(failed,)))
        found = detect_findings(frame, Thresholds())
        assert [finding.id for finding in found] == expected
        assert not found or (found[0].evidence["errno"], found[0].evidence["per_second"]) == ("EMFILE", 2500)


def test_processes_that_sleep_in_accept_between_connections_are_not_saturated(world: World) -> None:
    for service_ms, found in ((30, False), (240, True)):
        it = world()
        listener = it.listener(owners=[200, 201, 202])
        for pid in (200, 201, 202):  # away from poll() all the time: it is used with a connection only
            it.serve(
                39,
                listener,
                it.worker(pid=pid, parent=100, load=1.0, last_wait=7),
                service_ms=service_ms,
                queue_ms=90,
            )
        assert ("workers-saturated" in ids(it)) is found


def test_a_dispatcher_that_is_away_while_nobody_waits_long_is_not_saturated(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200])
    front, back = it.worker(pid=200, load=0.99), it.worker(pid=200, tid=201)
    it.serve(11, listener, front, writer=back, data_ms=6, is_open=True)
    assert "dispatcher-saturated" not in ids(it)
