"""Each finding is shown by a frame that has it, and is silent on the same server in good health."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import sockscope.analysis.findings as package
from sockscope.analysis.findings import FINDINGS
from sockscope.analysis.frame import Finding
from sockscope.analysis.severity import SEVERITIES

World = Any


def test_every_file_of_the_package_is_in_the_tuple() -> None:
    folder = Path(package.__file__).parent
    present = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    listed = {type(detector).__module__.rsplit(".", 1)[1] for detector in FINDINGS}
    assert listed == present
    for name in present:
        assert importlib.import_module(f"{package.__name__}.{name}").DETECTOR in FINDINGS


def test_ids_are_kebab_case_and_unique() -> None:
    ids = [detector.id for detector in FINDINGS]
    assert len(set(ids)) == len(ids)
    assert all(name.replace("-", "").isalpha() and name == name.lower() for name in ids)


def shared(world: World, each: list[int], **options: Any) -> World:
    """One socket, a worker for each number of connections."""
    it = world()
    pids = [200 + index for index in range(len(each))]
    listener = it.listener(owners=[100, *pids])
    workers = [it.worker(pid=pid, parent=100, **options) for pid in pids]
    for worker, number in zip(workers, each, strict=True):
        it.serve(number, listener, worker)
    return it


def group(world: World, each: list[int], **options: Any) -> tuple[World, list[int], list[int]]:
    """A SO_REUSEPORT group, a worker and its connections for each number."""
    it = world()
    listeners, workers = [], []
    for index, number in enumerate(each):
        pid = 200 + index
        listeners.append(it.listener(owners=[pid], reuseport=True))
        workers.append(it.worker(pid=pid, parent=100, **options))
        it.serve(number, listeners[-1], workers[-1])
    return it, listeners, workers


def handoff(
    world: World, readers: int = 4, front: dict[str, Any] | None = None, **back: Any
) -> tuple[World, int, int, list[int]]:
    it = world()
    listener = it.listener(owners=[100])
    acceptor = it.worker(pid=100, comm="main", **(front or {}))
    crowd = [it.worker(pid=100, tid=101 + index, comm="reader", **back) for index in range(readers)]
    return it, listener, acceptor, crowd


def dispatch(
    world: World, workers: int = 3, front: dict[str, Any] | None = None
) -> tuple[World, int, int, list[int]]:
    it = world()
    listener = it.listener(owners=[100])
    reader = it.worker(pid=100, comm="dispatch", **(front or {}))
    options = {"comm": "worker", "waits": 0, "last_wait": 202, "flags": 0}
    crowd = [it.worker(pid=100, tid=101 + index, **options) for index in range(workers)]
    return it, listener, reader, crowd


def only(findings: tuple[Finding, ...], least: str = "notice") -> list[str]:
    bar = SEVERITIES.index(least)  # type: ignore[arg-type]
    return [finding.id for finding in findings if SEVERITIES.index(finding.severity) >= bar]


def test_a_shared_queue_that_feeds_one_long_lived_worker_is_found(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100, 200, 201, 202, 203])
    top, *rest = [it.worker(pid=200 + n, parent=100, load=0.7 if not n else 0.05) for n in range(4)]
    it.serve(90, listener, top, is_open=True, reads=20)
    for worker in rest:
        it.serve(4, listener, worker, is_open=True, reads=20)
    findings = it.findings()
    assert only(findings) == ["accept-skew-shared"]
    assert "max/mean 3.53" in findings[0].explanation
    assert findings[0].evidence["accepts"] == "90, 4, 4, 4"


def test_lifo_under_light_load_is_no_more_than_a_remark(world: World) -> None:
    it = shared(world, [381, 302, 163, 154])
    findings = it.findings()
    assert only(findings) == []
    assert [finding.id for finding in findings] == ["accept-skew-shared"]


def test_a_shared_queue_that_starves_all_but_one_worker_counts_the_idle_ones(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100, 200, 201, 202, 203])
    top = it.worker(pid=200, parent=100, comm="worker-0", load=0.95)
    for n in range(1, 4):
        it.worker(pid=200 + n, parent=100, comm=f"worker-{n}", load=0.0)
    it.serve(200, listener, top, data_ms=40)
    (first, *_) = it.findings()
    assert first.id == "accept-skew-shared"
    assert first.severity == "warning"
    assert first.evidence["sharers"] == 4


@pytest.mark.parametrize("each", [[1, 1, 0], [0, 2, 0], [5, 1, 0, 0]])
def test_few_connections_say_nothing(world: World, each: list[int]) -> None:
    assert shared(world, each).findings() == ()
    assert group(world, each)[0].findings() == ()


def test_hash_noise_is_no_finding(world: World) -> None:
    it, _, _ = group(world, [171, 142, 169, 153, 167, 139, 142, 156])
    assert it.findings() == ()


def test_a_group_more_uneven_than_hashing_is_found(world: World) -> None:
    it, _, _ = group(world, [500, 480, 0, 0])
    (finding,) = it.findings()
    assert finding.id == "accept-skew-reuseport"
    assert finding.severity == "warning"
    assert finding.evidence["members_with_none"] == 2


def test_a_member_that_joined_late_is_not_compared_for_the_time_before(world: World) -> None:
    it = world()
    workers = [it.worker(pid=200 + n, parent=100) for n in range(2)]
    for worker in workers:
        it.serve(600, it.listener(owners=[199 + worker], reuseport=True), worker, until_ms=4900)
    late = it.listener(owners=[300], reuseport=True, listened_ms=5000)
    it.serve(10, late, it.worker(pid=300, parent=100), from_ms=6000)
    it.serve(10, 1, workers[0], from_ms=6000)
    it.serve(10, 2, workers[1], from_ms=6000)
    assert only(it.findings()) == []


def test_reuseport_set_on_one_shared_socket_is_found(world: World) -> None:
    it = shared(world, [96, 4, 0, 0, 0])
    it.listeners[0]["reuseport"] = 1
    findings = it.findings()
    assert findings[0].id == "reuseport-unused"
    assert "accept-skew-shared" not in only(findings)


def test_reuseport_set_by_a_single_worker_is_no_finding(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200], reuseport=True)
    it.serve(100, listener, it.worker(pid=200))
    assert it.findings() == ()


def test_a_few_heavy_connections_are_found_where_accepts_are_even(world: World) -> None:
    it = world()
    listeners = [it.listener(owners=[200 + n], reuseport=True) for n in range(4)]
    workers = [it.worker(pid=200 + n, parent=100, load=0.8 if not n else 0.1) for n in range(4)]
    for listener, worker in zip(listeners, workers, strict=True):
        it.serve(50, listener, worker)
    it.serve(3, listeners[0], workers[0], reads=5000, is_open=True)
    findings = it.findings()
    assert only(findings) == ["heavy-connections"]
    assert findings[0].evidence["figure"] == "reads"


def test_heavy_connections_spread_over_all_workers_are_no_finding(world: World) -> None:
    it, listeners, workers = group(world, [50, 50, 50, 50])
    for listener, worker in zip(listeners, workers, strict=True):
        it.serve(1, listener, worker, reads=5000, is_open=True)
    assert it.findings() == ()


def test_open_connections_that_pile_up_are_found_where_accepts_are_even(world: World) -> None:
    it, listeners, workers = group(world, [20, 100, 100, 100])
    it.serve(80, listeners[0], workers[0], is_open=True)
    findings = it.findings()
    assert only(findings) == ["open-connections-skew"]


def test_a_herd_is_found_by_wakeups_for_nothing(world: World) -> None:
    it = shared(world, [1000] * 4, wasted=1500, empty=1500)
    (finding,) = it.findings()
    assert finding.id == "thundering-herd"
    assert finding.severity == "warning"


def test_accept_loops_that_end_with_one_empty_accept_are_no_herd(world: World) -> None:
    assert shared(world, [1000] * 4, wasted=0, empty=1000).findings() == ()


def test_a_herd_with_little_traffic_is_only_a_remark(world: World) -> None:
    assert only(shared(world, [25] * 4, wasted=60, empty=60).findings()) == []


def test_spurious_wakeups_of_readers_are_found(world: World) -> None:
    it = shared(world, [500] * 2, wasted=3000, reads_eagain=3000, waits=4000)
    assert [finding.id for finding in it.findings()] == ["wasted-wakeups"]


def test_waiting_for_an_accept_lock_is_found(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100, 200, 201, 202])
    for n in range(3):
        worker = it.worker(pid=200 + n, parent=100, waits=500, wakeups=100, load=0.3)
        it.serve(50, listener, worker, queue_ms=150)
    findings = it.findings()
    assert only(findings) == ["accept-lock-contention"]
    assert "queue-wait-high" in findings[0].explains


def test_a_group_has_no_accept_lock(world: World) -> None:
    it = world()
    for n in range(3):
        listener = it.listener(owners=[200 + n], reuseport=True)
        it.serve(
            50, listener, it.worker(pid=200 + n, parent=100, waits=500, wakeups=100, load=0.3), queue_ms=150
        )
    assert only(it.findings()) == ["queue-wait-high"]


def test_an_uncontended_accept_lock_is_no_finding(world: World) -> None:
    assert shared(world, [300] * 3, waits=500, wakeups=100).findings() == ()


@pytest.mark.parametrize(("drops", "severity"), [(0, "notice"), (40, "critical")])
def test_a_full_queue_is_found(world: World, drops: int, severity: str) -> None:
    it = world()
    listener = it.listener(owners=[200], backlog=16, queue_max=17, drops=drops)
    it.serve(300, listener, it.worker(pid=200))
    (finding,) = it.findings()
    assert (finding.id, finding.severity) == ("queue-overflow", severity)
    assert "512" in finding.remedy[1]


def test_drops_of_long_ago_are_only_a_remark(world: World) -> None:
    it = world()
    it.serve(300, it.listener(owners=[200], backlog=511, queue_max=3, drops=40), it.worker(pid=200))
    assert only(it.findings()) == []


def test_a_queue_near_its_limit_is_found(world: World) -> None:
    it = world()
    it.serve(300, it.listener(owners=[200], backlog=100, queue_max=85), it.worker(pid=200))
    assert only(it.findings()) == ["queue-near-limit"]


def test_a_backlog_cut_by_somaxconn_explains_the_overflow(world: World) -> None:
    it = world()
    it.somaxconn = 128
    it.serve(300, it.listener(owners=[200], backlog=128, queue_max=129, drops=9), it.worker(pid=200))
    findings = it.findings()
    assert only(findings) == ["backlog-clamped"]
    assert findings[0].severity == "critical"
    assert findings[0].explains == ("queue-overflow",)


def test_a_backlog_equal_to_somaxconn_without_need_is_no_finding(world: World) -> None:
    it = world()
    it.serve(300, it.listener(owners=[200], backlog=4096, queue_max=20), it.worker(pid=200))
    assert it.findings() == ()


def test_half_open_handshakes_are_found(world: World) -> None:
    it = world()
    it.syn_queue = 400
    it.serve(300, it.listener(owners=[200], backlog=511), it.worker(pid=200))
    assert only(it.findings()) == ["syn-queue-pressure"]
    it.syn_queue = 20
    assert it.findings() == ()


def test_a_long_queue_wait_is_found_and_says_that_the_acceptor_is_not_busy(world: World) -> None:
    it = world()
    it.serve(100, it.listener(owners=[200]), it.worker(pid=200), queue_ms=250)
    (finding,) = it.findings()
    assert finding.id == "queue-wait-high"
    assert "have free time" in finding.explanation


def test_a_member_whose_acceptor_is_stuck_is_found(world: World) -> None:
    it, listeners, _ = group(world, [100, 100, 100])
    it.wait_unaccepted(12, listeners[1], since_ms=2500)
    findings = it.findings()
    assert only(findings) == ["member-stalled"]
    assert findings[0].severity == "critical"
    assert "process 201" in str(findings[0].evidence["acceptor"])


def test_a_member_that_nobody_accepts_from_is_found_with_who_holds_it(world: World) -> None:
    it, _, _ = group(world, [100, 100])
    leaked = it.listener(owners=[100], reuseport=True)
    it.wait_unaccepted(90, leaked, since_ms=8000)
    findings = it.findings()
    assert only(findings) == ["member-orphaned"]
    assert "process 100" in str(findings[0].evidence["owners"])
    assert any("tcp_migrate_req" in line for line in findings[0].remedy)


def test_a_member_that_just_got_a_connection_is_not_orphaned(world: World) -> None:
    it, _, _ = group(world, [30, 30])
    it.wait_unaccepted(1, it.listener(owners=[202], reuseport=True), since_ms=2)
    assert only(it.findings()) == []


def test_a_blocked_loop_is_found_with_the_thread_and_its_victims(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200])
    worker = it.worker(pid=200, stall_ms=400, stalls=5)
    it.serve(200, listener, worker)
    it.serve(30, listener, worker, data_ms=350)
    findings = it.findings()
    assert only(findings) == ["loop-stall"]
    assert findings[0].evidence["connections_waited"] == 30
    assert findings[0].explains == ("reader-late",)


def test_a_thread_that_blocks_in_accept_is_no_stalled_loop(world: World) -> None:
    it = world()
    it.serve(200, it.listener(owners=[200]), it.worker(pid=200, stall_ms=9000, load=0.99))
    assert only(it.findings()) == []


def test_a_loop_that_is_still_away_is_found(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200])
    it.serve(100, listener, it.worker(pid=200, away_ms=3000), until_ms=7000)
    it.wait_unaccepted(20, listener, since_ms=2000)
    (first, *_) = it.findings()
    assert first.id == "loop-stall"


@pytest.mark.parametrize(("apart_ms", "severity"), [(0, "info"), (20, "info"), (1500, "notice")])
def test_a_pause_that_stalls_all_at_once_came_once(world: World, apart_ms: float, severity: str) -> None:
    it = world()
    for index in range(4):
        listener = it.listener(owners=[200 + index], reuseport=True)
        worker = it.worker(pid=200 + index, stall_ms=150, stall_end_ms=2000 + index * apart_ms)
        it.serve(100, listener, worker)
        it.serve(3, listener, worker, data_ms=140, from_ms=1900, until_ms=1990)
    (finding,) = [finding for finding in it.findings() if finding.id == "loop-stall"]
    assert finding.severity == severity
    assert finding.evidence["threads"] == 4


def test_bytes_that_lie_unread_are_found(world: World) -> None:
    it = world()
    it.serve(100, it.listener(owners=[200]), it.worker(pid=200), data_ms=300)
    assert only(it.findings()) == ["reader-late"]


def test_slow_clients_are_a_remark(world: World) -> None:
    it = world()
    it.serve(100, it.listener(owners=[200]), it.worker(pid=200), first_data_ms=3000, until_ms=6000)
    (finding,) = it.findings()
    assert (finding.id, finding.severity) == ("client-slow", "info")


def test_a_saturated_single_thread_is_found(world: World) -> None:
    it = world()
    it.serve(2000, it.listener(owners=[200]), it.worker(pid=200, load=0.97), data_ms=30, reads=3)
    assert only(it.findings()) == ["single-saturated"]


def test_a_busy_single_thread_that_keeps_up_is_no_finding(world: World) -> None:
    it = world()
    it.serve(2000, it.listener(owners=[200]), it.worker(pid=200, load=0.97))
    assert it.findings() == ()


def test_a_saturated_acceptor_is_found(world: World) -> None:
    it, listener, acceptor, readers = handoff(world, front={"load": 0.98})
    for reader in readers:
        it.serve(3000, listener, acceptor, reader=reader, queue_ms=40)
    assert only(it.findings()) == ["acceptor-saturated"]


def test_a_hand_off_in_good_health_is_no_finding(world: World) -> None:
    it, listener, acceptor, readers = handoff(world, front={"load": 0.3})
    for reader in readers:
        it.serve(300, listener, acceptor, reader=reader)
    assert it.findings() == ()


def test_a_saturated_dispatcher_is_found(world: World) -> None:
    it, listener, reader, workers = dispatch(world, front={"load": 0.97})
    for worker in workers:
        it.serve(1000, listener, reader, reader=reader, writer=worker, data_ms=30)
    assert only(it.findings()) == ["dispatcher-saturated"]


def test_workers_that_cannot_keep_up_with_their_dispatcher_are_found(world: World) -> None:
    it, listener, reader, workers = dispatch(world, front={"load": 0.2})
    for worker in workers:
        it.serve(1000, listener, reader, reader=reader, writer=worker, service_ms=40)
    assert only(it.findings()) == ["workers-saturated"]


def test_a_dispatcher_in_good_health_is_no_finding(world: World) -> None:
    it, listener, reader, workers = dispatch(world, front={"load": 0.4})
    for worker in workers:
        it.serve(1000, listener, reader, reader=reader, writer=worker, service_ms=2)
    assert it.findings() == ()


def test_saturated_workers_of_a_group_are_found(world: World) -> None:
    it = world()
    for n in range(3):
        listener = it.listener(owners=[200 + n], reuseport=True)
        it.serve(500, listener, it.worker(pid=200 + n, parent=100, load=0.97), data_ms=40)
    assert only(it.findings()) == ["workers-saturated"]


def test_a_straggler_is_found_and_explains_its_stalled_member(world: World) -> None:
    it = world()
    for n in range(3):
        slow = n == 1
        listener = it.listener(owners=[200 + n], reuseport=True)
        worker = it.worker(pid=200 + n, parent=100, load=0.97 if slow else 0.2, cpu=0.9 if slow else 0.1)
        it.serve(
            100,
            listener,
            worker,
            service_ms=20 if slow else 1,
            queue_ms=700 if slow else 0.1,
            data_ms=90 if slow else 0.1,
        )
    findings = it.findings()
    assert only(findings) == ["straggler"]
    assert "member-stalled" in findings[0].explains
    assert "CPU" in findings[0].explanation


def test_a_straggler_comes_before_the_saturation_of_all(world: World) -> None:
    it = world()
    listener = it.listener(owners=[100, 200, 201, 202])
    for n in range(3):
        worker = it.worker(pid=200 + n, parent=100, load=0.99)
        it.serve(100, listener, worker, service_ms=90 if n == 1 else 10, data_ms=60)
    assert only(it.findings(), "warning") == ["straggler", "workers-saturated"]


def test_a_worker_with_larger_replies_is_no_straggler(world: World) -> None:
    it, listeners, workers = group(world, [100, 100])
    it.serve(100, listeners[0], workers[0], service_ms=5, write_bytes=500_000)
    assert "straggler" not in [finding.id for finding in it.findings()]


def test_workers_that_take_turns_on_one_cpu_are_found(world: World) -> None:
    it = world()
    for n in range(4):
        listener = it.listener(owners=[200 + n], reuseport=True)
        worker = it.worker(pid=200 + n, parent=100, load=0.9, cpu=0.24, last_cpu=3)
        it.serve(200, listener, worker, data_ms=30)
    findings = it.findings()
    assert only(findings) == ["too-few-cpus"]
    assert findings[0].explains == ("workers-saturated",)


def test_workers_that_wait_for_a_cpu_that_others_use_are_found(world: World) -> None:
    it = world()
    for n in range(2):
        listener = it.listener(owners=[200 + n], reuseport=True)
        worker = it.worker(pid=200 + n, parent=100, load=0.95, cpu=0.3, cpu_wait=0.6, last_cpu=n)
        it.serve(200, listener, worker, data_ms=30)
    findings = it.findings()
    assert only(findings) == ["cpu-starved"]
    assert findings[0].explains == ("workers-saturated",)
    assert findings[0].evidence["waited_for_cpu"] == pytest.approx(0.6, abs=0.15)


def test_a_straggler_that_burns_cpu_is_named_on_a_busy_machine_too(world: World) -> None:
    it = world()
    for n in range(3):
        slow = n == 1
        listener = it.listener(owners=[200 + n], reuseport=True)
        worker = it.worker(
            pid=200 + n,
            parent=100,
            load=0.95 if slow else 0.2,
            cpu=0.4 if slow else 0.05,
            cpu_wait=0.6,
            last_cpu=n,
        )
        it.serve(200, listener, worker, service_ms=90 if slow else 10, data_ms=30)
    assert it.findings()[0].id == "straggler"


def test_workers_that_wait_a_little_for_a_cpu_are_not_starved(world: World) -> None:
    it = world()
    for n in range(2):
        listener = it.listener(owners=[200 + n], reuseport=True)
        worker = it.worker(pid=200 + n, parent=100, load=0.5, cpu=0.4, cpu_wait=0.1, last_cpu=n)
        it.serve(200, listener, worker, data_ms=1)
    assert it.findings() == ()


@pytest.mark.parametrize(("cpu_wait", "severity"), [(0.0, "warning"), (0.9, "info")])
def test_stalls_no_longer_than_the_wait_for_a_cpu_are_not_blamed_on_the_loop(
    world: World, cpu_wait: float, severity: str
) -> None:
    it = world()
    listener = it.listener(owners=[100])
    worker = it.worker(pid=100, load=0.5, cpu=0.5, cpu_wait=cpu_wait, stall_ms=150, stalls=6)
    it.serve(100, listener, worker, data_ms=160)
    found = {finding.id: finding.severity for finding in it.findings()}
    assert found.get("loop-stall", "info") == severity


def test_idle_workers_are_a_remark(world: World) -> None:
    it, listener, acceptor, readers = handoff(world)
    for reader in readers[:3]:
        it.serve(300, listener, acceptor, reader=reader)
    findings = it.findings()
    assert [finding.id for finding in findings] == ["idle-workers"]
    assert findings[0].severity == "info"


def test_helper_threads_that_never_touch_sockets_are_not_idle_workers(world: World) -> None:
    it = world()
    listener = it.listener(owners=[200])
    it.serve(300, listener, it.worker(pid=200, comm="node"))
    for tid in range(201, 209):
        it.worker(pid=200, tid=tid, comm="node", waits=0, last_wait=202, flags=0)
    assert it.findings() == ()


def test_a_hand_off_across_cpus_is_a_remark_when_slow_and_found_when_fast(world: World) -> None:
    it, listener, acceptor, readers = handoff(world, readers=2)
    for reader in readers:
        it.serve(100, listener, acceptor, reader=reader, cpus=(0, 1))
    (finding,) = it.findings()
    assert (finding.id, finding.severity) == ("handoff-across-cpus", "info")
    (finding,) = it.findings(crossing_rate=5.0)
    assert finding.severity == "notice"


def test_limits_that_the_user_sets_are_kept(world: World) -> None:
    it = shared(world, [300, 100])
    assert only(it.findings()) == []
    assert "share-above-limit" in only(it.findings(max_share=0.6))
    assert "share-above-limit" not in only(it.findings(max_share=0.8))
    assert "queue-wait-above-limit" in only(it.findings(max_queue_wait_ns=10_000))
    assert "queue-wait-above-limit" not in only(it.findings(max_queue_wait_ns=10_000_000))


def test_a_server_that_nobody_used_has_no_findings(world: World) -> None:
    it = world()
    it.listener(owners=[200, 201])
    it.worker(pid=200, parent=100)
    it.worker(pid=201, parent=100)
    assert it.findings() == ()


def test_findings_come_severest_first(world: World) -> None:
    it, _, _ = group(world, [500, 480, 0, 0])
    it.wait_unaccepted(50, it.listener(owners=[100], reuseport=True), since_ms=4000)
    severities = [SEVERITIES.index(finding.severity) for finding in it.findings()]
    assert severities == sorted(severities, reverse=True)
