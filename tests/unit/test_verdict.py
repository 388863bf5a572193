"""The verdict on small worlds: each rule alone, with numbers that real servers showed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sockscope.analysis.groups import build_groups
from sockscope.analysis.server import Server
from sockscope.analysis.verdict import verdict
from sockscope.model.state import State
from sockscope.records.batch import OWNER, THREAD_CPU, WAITING, WAKE, Batch
from sockscope.records.layout import CONNECTION, LISTENER, WORKER, ConnectionFlag

S, MS, US = 10**9, 10**6, 10**3
LOOPBACK = (0xFF, 0xFF, 127, 0, 0, 1)


class Small:
    """Listeners, workers and connections; ids count from 1."""

    def __init__(self) -> None:
        self.listeners: list[Any] = []
        self.workers: list[Any] = []
        self.connections: list[Any] = []
        self.owners: list[tuple[int, int, int, int]] = []
        self.wakes: list[tuple[int, int, int, int]] = []
        self.cpu: list[tuple[int, int, int, int]] = []
        self.waiting: list[tuple[int, int, int]] = []

    def listener(
        self, *owners: int, listened_ns: int = 0, closed_ns: int = 0, reuseport: bool = False
    ) -> int:
        record = np.zeros((), LISTENER)
        record["id"] = len(self.listeners) + 1
        record["inode"], record["port"], record["family"] = 100 + record["id"], 80, 4
        record["address"][10:] = LOOPBACK
        record["listened_ns"], record["closed_ns"], record["reuseport"] = listened_ns, closed_ns, reuseport
        self.listeners.append(record)
        self.owners += [(0, int(record["inode"]), pid, 3) for pid in owners]
        return int(record["id"])

    def worker(self, pid: int, tid: int = 0, cpu_ns: int = 0, **values: int) -> int:
        record = np.zeros((), WORKER)
        record["id"], record["pid"], record["tid"] = len(self.workers) + 1, pid, tid or pid
        record["parent_pid"], record["start_ns"], record["first_seen_ns"] = 1, S, S
        for name, value in values.items():
            record[name] = value
        self.workers.append(record)
        if cpu_ns:
            self.cpu.append((pid, tid or pid, cpu_ns, 0, 0))
        return int(record["id"])

    def connect(self, times: int, listener: int, acceptor: int, reader: int = 0, writer: int = 0) -> None:
        reader = reader or acceptor
        for _ in range(times):
            record = np.zeros((), CONNECTION)
            record["id"] = len(self.connections) + 1
            record["listener"], record["acceptor"] = listener, acceptor
            record["flags"] = int(ConnectionFlag.CLOSED)
            record["io"][0] = (1, 5, 0, 0, reader)
            record["io"][1] = (0, 0, 1, 5, writer or reader)
            self.connections.append(record)

    def verdict(self) -> Server:
        state = State()
        for record in self.workers:
            mine = [row for row in self.connections if row["acceptor"] == record["id"]]
            record["accepts"] = len(mine)
        state.apply(
            Batch(
                time_ns=9 * S,
                listeners=np.array(self.listeners, LISTENER),
                workers=np.array(self.workers, WORKER),
                connections=np.array(self.connections, CONNECTION),
                wakes=np.array(self.wakes, WAKE),
                waiting=np.array(self.waiting, WAITING),
                owners=np.array(self.owners, OWNER),
                threads=np.array(self.cpu, THREAD_CPU),
            )
        )
        snapshot = state.snapshot()
        (group,) = build_groups(snapshot)
        return verdict(snapshot, group)


def test_hundreds_that_share_evenly_are_all_sharers() -> None:
    world = Small()
    listener = world.listener(10)
    for each in range(300):
        world.connect(2, listener, world.worker(10, 100 + each))
    server = world.verdict()
    assert server.model == "shared"
    assert len(server.acceptors) == 300
    assert server.evidence[0] == "300 threads accepted 600 connections on one listening socket"


def test_a_restarted_server_is_no_reuseport_group() -> None:
    world = Small()
    first, second = world.listener(closed_ns=3 * S), world.listener(listened_ns=4 * S)
    world.connect(50, first, world.worker(10, ended_ns=3 * S))
    world.connect(50, second, world.worker(11, start_ns=4 * S))
    found = world.verdict()
    assert found.model == "single"
    assert found.evidence[0] == "2 threads, one after another, accepted 100 connections"


def test_sockets_that_are_open_together_are_a_group() -> None:
    world = Small()
    for pid in (10, 11):
        world.connect(50, world.listener(reuseport=True), world.worker(pid))
    assert world.verdict().model == "reuseport"


def test_a_worker_and_its_successor_do_not_share() -> None:
    world = Small()
    listener = world.listener()
    world.connect(50, listener, world.worker(10, ended_ns=3 * S))
    world.connect(50, listener, world.worker(11, start_ns=4 * S))
    assert world.verdict().model == "single"


def test_a_reload_leaves_the_workers_sharing() -> None:
    world = Small()
    listener = world.listener()
    for pid in (10, 11):
        world.connect(25, listener, world.worker(pid, ended_ns=3 * S))
    for pid in (12, 13):
        world.connect(25, listener, world.worker(pid, start_ns=2 * S))
    assert world.verdict().model == "shared"


def test_one_of_several_alike_that_took_everything_still_shares() -> None:
    world = Small()
    listener = world.listener(9, 10, 11)
    world.connect(50, listener, world.worker(10, parent_pid=9))
    world.worker(11, parent_pid=9)
    world.worker(9)
    found = world.verdict()
    assert found.model == "shared"
    assert "1 more of its kind" in found.evidence[0]


def test_a_child_that_holds_the_listener_by_accident_shares_nothing() -> None:
    world = Small()
    listener = world.listener(10, 11)
    world.connect(50, listener, world.worker(10))
    world.worker(11, parent_pid=10)
    assert world.verdict().model == "single"


def test_the_flag_on_a_shared_socket_is_said_to_do_nothing() -> None:
    world = Small()
    listener = world.listener(reuseport=True)
    for pid in (10, 11):
        world.connect(50, listener, world.worker(pid))
    found = world.verdict()
    assert found.model == "shared"
    assert any(sentence.startswith("SO_REUSEPORT is set") for sentence in found.evidence)


def test_who_comes_for_nothing_is_told() -> None:
    def turns(**values: int) -> str:
        world = Small()
        listener = world.listener()
        for pid in (10, 11):
            world.connect(50, listener, world.worker(pid, **values))
        return world.verdict().evidence[1]

    assert turns() == "they wait in accept itself: the kernel wakes one of them for each connection"
    assert "hardly ever do two come for the same" in turns(waits=100, accepts_eagain=2)
    assert "end a burst" in turns(waits=100, accepts_eagain=45, wakeups_spurious=5)
    herd = turns(waits=100, accepts_eagain=60, wakeups_spurious=55)
    assert herd == (
        "120 accepts found nothing (EAGAIN), 1.20 for each connection, and 110 wake-ups were for nothing: "
        "2.10 come for each connection"
    )


def _reader_that_wakes(
    cpu_of_each: int,
    later: int = 900,
    wakes_a_read: float = 1,
    others: tuple[int, ...] = (11, 12),
    after_reads: tuple[int, ...] = (300, 300),
    reads: int = 900,
) -> Server:
    """One thread reads so often and answers 900 times, waking others, who spend so much for each wake-up."""
    world = Small()
    reader = world.worker(
        10, cpu_ns=180 * MS, reads=reads, read_turns=410, waits=588, wakeups=558, deferred_replies=later
    )
    world.workers[0]["answer"][20] = 900
    for tid, after_read in zip(others, after_reads, strict=False):
        world.worker(10, tid, cpu_ns=450 * cpu_of_each)
        world.wakes.append((reader, tid, round(450 * wakes_a_read), after_read))
    world.connect(300, world.listener(), reader)
    return world.verdict()


def test_threads_that_are_woken_for_requests_and_work_are_dispatched_to() -> None:
    found = _reader_that_wakes(50 * US)
    assert (found.model, found.handoff) == ("dispatch", "request")


def test_one_worker_that_is_handed_all_requests_is_dispatched_to() -> None:
    found = _reader_that_wakes(100 * US, others=(11,))
    assert found.model == "dispatch"
    assert "woke another thread of their process" in found.evidence[-1]


def test_threads_that_get_each_request_whole_and_do_next_to_nothing_of_the_work_are_helpers() -> None:
    found = _reader_that_wakes(6 * US)
    assert found.model == "single"
    assert (
        "but those are helpers: woken 1.0 times for each answer, they used 3% of the CPU time that the readers "
        "used themselves"
    ) in found.evidence[-1]


def test_where_each_request_goes_whole_to_threads_that_do_little_it_is_dispatched_and_uncertain() -> None:
    found = _reader_that_wakes(20 * US)
    assert (found.model, found.handoff) == ("dispatch", "request")
    assert found.confidence < 0.5
    assert found.evidence[-1].endswith(
        "those used 10% of the CPU time that the readers used themselves, which leaves it uncertain whether "
        "they are helpers or workers"
    )


@pytest.mark.parametrize(
    ("cpu_of_each", "wakes_a_read"), [(16 * US, 1.0), (28 * US, 1.0), (36 * US, 1.0), (70 * US, 3.0)]
)
def test_where_helpers_and_workers_look_alike_it_is_told_to_be_uncertain(
    cpu_of_each: int, wakes_a_read: float
) -> None:
    found = _reader_that_wakes(cpu_of_each, wakes_a_read=wakes_a_read)
    assert found.confidence < 0.5
    assert found.evidence[-1].endswith("which leaves it uncertain whether they are helpers or workers")


@pytest.mark.parametrize("cpu_of_each", [5 * US, 50 * US])
def test_elsewhere_it_is_certain(cpu_of_each: int) -> None:
    assert _reader_that_wakes(cpu_of_each).confidence > 0.9


def test_a_helper_pool_with_several_jobs_a_request_is_not_dispatched_to() -> None:
    assert _reader_that_wakes(70 * US, wakes_a_read=4.1).model == "single"


def test_a_helper_pool_whose_threads_take_turns_at_the_jobs_of_a_request_is_not_dispatched_to() -> None:
    """As measured with one client: four jobs, four threads, and the same one gets the first each time."""
    found = _reader_that_wakes(12 * US, wakes_a_read=2.0, others=(11, 12, 13, 14), after_reads=(900, 0, 0, 0))
    assert found.model == "single"
    assert "but those are helpers: woken 4.0 times for each answer" in found.evidence[-1]


def test_a_helper_pool_is_none_the_less_so_when_a_request_comes_in_many_reads() -> None:
    assert _reader_that_wakes(70 * US, wakes_a_read=4.1, reads=3000).model == "single"


def test_locks_that_wake_others_too_do_not_make_pieces_of_a_request_that_is_handed_over_whole() -> None:
    """As measured of workers in Python, on a fast machine with nothing else to do."""
    found = _reader_that_wakes(26 * US, wakes_a_read=2.64, after_reads=(400, 400))
    assert (found.model, found.handoff) == ("dispatch", "request")


def test_threads_that_do_most_of_the_work_are_workers_in_however_many_pieces() -> None:
    assert _reader_that_wakes(300 * US, wakes_a_read=4.1).model == "dispatch"


def test_threads_that_are_woken_while_the_answer_is_given_at_once_do_something_else() -> None:
    found = _reader_that_wakes(50 * US, later=10)
    assert found.model == "single"
    assert found.evidence[-1].endswith("but not for the answers: 890 of 900 were given at once")


def test_without_cpu_times_waking_alone_decides() -> None:
    assert _reader_that_wakes(0).model == "dispatch"


def _polling(cpu_of_others: int, later: int = 880, empty: int = 23_000, **values: int) -> Server:
    """One thread reads and writes 900 times without ever sleeping, beside three that touch no socket."""
    world = Small()
    reader = world.worker(10, cpu_ns=2 * S, reads=900, reads_eagain=empty, deferred_replies=later, **values)
    world.workers[0]["answer"][20] = 900
    for tid in (11, 12, 13):
        world.worker(10, tid, cpu_ns=cpu_of_others)
    world.connect(300, world.listener(), reader)
    return world.verdict()


def test_workers_that_spin_are_betrayed_by_their_cpu_time_and_late_answers() -> None:
    found = _polling(44 * MS)
    assert (found.model, found.handoff) == ("dispatch", "request")
    assert "880 of 900 answers it wrote only after it had turned to others" in found.evidence[-1]
    assert "3 threads of its process that touch no socket used 150 µs of CPU time" in found.evidence[-1]


def test_how_long_a_reader_polled_for_nothing_does_not_matter() -> None:
    assert _polling(5 * MS, empty=9_000_000).model == "dispatch"


def test_a_polling_reader_that_answers_at_once_serves_alone() -> None:
    assert _polling(44 * MS, later=40).model == "single"


def test_a_polling_reader_with_idle_threads_serves_alone() -> None:
    assert _polling(MS // 10).model == "single"


def test_a_reader_that_sleeps_does_not_poll() -> None:
    assert _polling(44 * MS, empty=0, waits=900, wakeups=900, wait_ns=S, busy_ns=S // 10).model == "single"


def test_connections_partly_handed_over_are_so_by_design() -> None:
    world = Small()
    listener = world.listener()
    one, other = world.worker(10, 10), world.worker(10, 11)
    for acceptor, reader in ((one, one), (one, other), (other, one), (other, other)):
        world.connect(50, listener, acceptor, reader)
    found = world.verdict()
    assert (found.model, found.handoff) == ("shared+handoff", "thread")
    assert found.confidence > 0.9
    assert "the other 100 were read by their acceptor" in found.evidence


def _children(count: int, connections_each: int, generations: int = 1) -> Server:
    world = Small()
    listener, acceptor = world.listener(10), world.worker(10)
    for number in range(count):
        parent = 10
        for generation in range(1, generations):
            parent = 1000 * generation + number
            world.worker(parent, parent_pid=10, start_ns=2 * S)
        reader = world.worker(100 + number, parent_pid=parent, start_ns=2 * S)
        world.connect(connections_each, listener, acceptor, reader)
    return world.verdict()


def test_a_process_for_each_connection_is_a_fork() -> None:
    assert _children(20, 1).handoff == "fork"


def test_a_grandchild_for_each_connection_is_one_too() -> None:
    assert _children(20, 1, generations=2).handoff == "fork"


def test_workers_that_are_started_while_tracing_are_handed_descriptors() -> None:
    assert _children(2, 20).handoff == "process"


@pytest.mark.parametrize(
    ("samples_several", "samples_changed", "waiters", "exclusive", "call", "says"),
    [
        (2, 3, 41, 0, 232, "one at a time watches the listening socket"),
        (39, 4, 111, 0, 232, "2.8 watch the listening socket at a time, on average, and come and go (another number"
            " at 4 of 40 looks), as where a lock lets one accept at a time"),
        (39, 4, 111, 111, 232, "2.8 wait for the listening socket at a time; one is woken"),
        (40, 0, 120, 120, 232, "3.0 wait for the listening socket at a time; one is woken"),
        (40, 3, 120, 0, 232, "3.0 wait for the listening socket at a time; all are woken"),  # a reload, a restart
        (2, 3, 41, 0, 7, "1.0 wait for the listening socket at a time; all are woken"),  # poll: the others are busy
    ],
)  # fmt: skip
def test_who_waits_for_the_listener_tells_of_a_lock(
    samples_several: int, samples_changed: int, waiters: int, exclusive: int, call: int, says: str
) -> None:
    world = Small()
    listener = world.listener(10, 11, 12)
    row = world.listeners[0]
    row["samples"], row["samples_several"], row["samples_changed"] = 40, samples_several, samples_changed
    row["waiters"], row["exclusive"] = waiters, exclusive
    for pid in (10, 11, 12):
        world.connect(50, listener, world.worker(pid, waits=60, wakeups=60, last_wait=call))
    assert any(says in sentence for sentence in world.verdict().evidence)


def test_the_threads_that_waited_are_told_with_how_often_each_did() -> None:
    world = Small()
    listener = world.listener(10, 11)
    world.listeners[0]["samples"], world.listeners[0]["samples_several"] = 40, 40
    world.listeners[0]["waiters"] = world.listeners[0]["exclusive"] = 80  # both watch it, idle or busy
    workers = [world.worker(pid, waits=60, wakeups=60, last_wait=232) for pid in (10, 11)]
    for worker in workers:
        world.connect(50, listener, worker)
    world.waiting = [(listener, workers[0], 10), (listener, workers[1], 38)]
    assert (
        "when a connection came, 1.2 of 2 threads waited for the socket, each at 25 to 95 % of 40 looks;"
        " one is woken"
    ) in world.verdict().evidence
    world.waiting.append((listener, 0, 4))
    assert (
        "when a connection came, 1.2 of 2 threads waited for the socket, each at 25 to 95 % of 40 looks,"
        " some that could not be named at 10 %; one is woken"
    ) in world.verdict().evidence


@pytest.mark.parametrize(
    ("cpu_of_each", "later", "model", "certain"),
    [
        (400 * US, 880, "dispatch", True),
        (400 * US, 200, "single", True),
        (110 * US, 880, "dispatch", False),
        (80 * US, 880, "single", False),
        (55 * US, 880, "single", True),
    ],
)
def test_workers_that_are_never_idle_are_told_by_late_answers_and_their_work(
    cpu_of_each: int, later: int, model: str, certain: bool
) -> None:
    world = Small()
    reader = world.worker(
        10, cpu_ns=180 * MS, reads=900, read_turns=800, waits=900, wakeups=890, deferred_replies=later
    )
    world.workers[0]["answer"][20] = 900
    for tid in (11, 12):
        world.worker(10, tid, cpu_ns=450 * cpu_of_each)
        world.wakes.append((reader, tid, 40, 20))
    world.connect(300, world.listener(), reader)
    assert world.verdict().model == model
    assert (world.verdict().confidence > 0.9) == certain
