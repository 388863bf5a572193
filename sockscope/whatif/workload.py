"""Extract from a recording what arrives at a server and what each request demands.

What was not recorded is estimated, and every estimate is listed in ``Workload.assumptions``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.analysis.work_distribution import busy_ns, get_connections
from sockscope.errors import SockscopeError
from sockscope.model.snapshot import Worker
from sockscope.records.layout import ConnectionFlag
from sockscope.whatif.engine import Choice, Setup, Sharing, Work, simulate, take_first

Records = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

#: Fewer whole connections than this give no tail to predict.
LEAST_CONNECTIONS = 200
#: Signals without which the demand of a request is unknown.
NEEDED_SIGNALS = frozenset({"read", "write", "data-ready"})
#: Above this part of the handshakes dropped, the recorded arrivals are not the clients'.
MOST_DROPPED = 0.05
#: Requests that one run simulates; of longer recordings the busiest consecutive part.
MOST_REQUESTS = 100_000
#: A worker whose median demand is this many times the typical one (or less than one n-th) is modelled apart.
_STRAGGLER = 1.5
_LEAST_PER_WORKER = 20
#: A closed loop keeps about as many connections open whenever one arrives.
_CLOSED_LOOP_LOW = 0.6
#: A smaller blocked part of a worker's time is taken for inaccuracy of CPU accounting.
_NOT_BLOCKED = 0.05
#: Connections that are simulated to find the order of wake-ups.
_WAKE_ORDER_CONNECTIONS = 3000
#: Connections that must have queued before the kind of loop can be recognised.
_LEAST_QUEUED = 30


class UnsupportedRecordingError(SockscopeError):
    """The recording does not support a prediction."""


@dataclass(frozen=True)
class Measured:
    """What was measured, per connection or request, in seconds."""

    queue_wait: Floats
    data_wait: Floats
    reply: Floats
    total: Floats
    shares: tuple[float, ...]
    utilisation: float
    queue_max: int
    overflows: int


@dataclass(frozen=True)
class Workload:
    """The work of a server, and the setup that served it.

    ``work`` is the part that is simulated; ``connections`` how many were recorded whole.
    """

    name: str
    model: str
    work: Work
    setup: Setup
    measured: Measured
    connections: int
    blocked_share: float
    saturated: bool
    assumptions: tuple[str, ...]


def extract(frame: Frame, server: Server) -> Workload:
    """Return the workload of one server of a recording.

    :raises UnsupportedRecordingError: when the recording does not support a prediction
    """
    sharing, choice = _sharing(server)
    untraced = frame.snapshot.untraced
    if missing := ", ".join(sorted(NEEDED_SIGNALS & untraced)):
        raise UnsupportedRecordingError(
            f"{server.group.name}: the demand of requests is unknown, signals not traced: {missing}",
            hint="record without --disable",
        )
    kept = get_connections(frame.snapshot, server.group)
    whole = _whole(kept)
    if len(whole) < LEAST_CONNECTIONS:
        raise UnsupportedRecordingError(
            f"{len(whole)} connections of {server.group.name} were recorded from arrival to reply; "
            f"{LEAST_CONNECTIONS} are needed",
            hint="record longer",
        )
    dropped = sum(listener.drops for listener in server.group.listeners)
    if dropped > MOST_DROPPED * len(whole):
        raise UnsupportedRecordingError(
            f"{dropped} handshakes were dropped for {len(whole)} connections: the recording shows the retries, not "
            "the arrivals",
            hint="record at a lower load or with a larger backlog",
        )
    assumptions: list[str] = []
    whole = whole[np.argsort(whole["established_ns"], kind="stable")]
    demand = _seconds(whole["first_write_ns"], whole["first_read_ns"])
    requests = _requests(whole)
    pause = _pause(whole, demand, requests)
    if (requests > 1).mean() > 0.05:
        assumptions.append(
            f"{requests.mean():.1f} requests per connection; only the first of each was timed: the others are "
            f"given its demand, and a pause of {pause * 1e3:.2g} ms before each"
        )
    serving = _in_order_of_members(whole, tuple(worker for worker in server.readers if worker.reads))
    on_cpu, blocked, overhead, is_split = _split(frame, serving, whole, demand, requests)
    if is_split:
        assumptions.append(
            "CPU and blocked time are split in the proportion of the workers' totals, not per request"
        )
    else:
        assumptions.append("CPU time was not recorded: the demand counts as CPU time")
    speeds, factors = _speeds(whole, demand, serving)
    if speeds:
        assumptions.append("a worker that takes longer than the others is assumed to do so under any model")
    event_loop, burst, said = _loop(whole, demand, serving, sharing, "wait" not in untraced)
    assumptions.append(said)
    if sharing == "shared" and not event_loop and "wait" not in untraced:
        choice = choice if any(worker.waits for worker in serving) else "fifo"
    clients, think = _clients(whole, requests)
    backlog = min((listener.backlog for listener in server.group.listeners if listener.backlog), default=4096)
    workers = len(serving) if sharing != "shared" or server.model == "single" else _sharers(frame, server)
    elapsed = max(_seconds(whole["first_write_ns"].max(), whole["established_ns"][0]), 1e-9)
    setup = Setup(
        sharing,
        choice,
        workers,
        backlog,
        float(frame.meta.cpus),
        event_loop,
        burst,
        clients,
        think,
        speeds if len(speeds) == workers else (),
    )
    cut = _busiest(whole, requests)
    first = whole["established_ns"][cut][0]
    net = demand / factors
    net_cpu, net_blocked = net * on_cpu, net * blocked
    work = Work(
        _seconds(whole["established_ns"][cut], first),
        np.maximum(_seconds(whole["first_data_ns"][cut], whole["established_ns"][cut]), 0.0),
        net_cpu[cut],
        net_blocked[cut],
        _hashes(whole[cut], server),
        requests[cut],
        pause,
        overhead,
    )
    shares = tuple(float(np.count_nonzero(_readers(whole) == worker.id)) for worker in serving)
    if choice == "lifo" and workers > 1:
        setup, said = _with_wake_order(work, setup, shares)
        assumptions.append(said)
    if cut.stop - cut.start < len(whole):
        assumptions.append(f"the busiest {cut.stop - cut.start:,} consecutive connections are simulated")
    used = sum(busy_ns(worker, frame.snapshot.time_ns) for worker in serving) / 1e9
    used = used or float(np.sum(demand * requests))
    utilisation = min(used / (frame.snapshot.elapsed_ns / 1e9) / max(workers, 1), 1.0)
    active = min(used / elapsed / max(workers, 1), 1.0)
    return Workload(
        f"{server.comm} on {server.group.name}" if server.comm else server.group.name,
        server.model,
        work,
        setup,
        Measured(
            _seconds(whole["accepted_ns"], whole["established_ns"]),
            np.maximum(
                _seconds(whole["first_read_ns"], np.maximum(whole["first_data_ns"], whole["accepted_ns"])), 0
            ),
            demand,
            _seconds(whole["first_write_ns"], whole["established_ns"]),
            shares,
            utilisation,
            max((listener.queue_max for listener in server.group.listeners), default=0),
            dropped,
        ),
        len(whole),
        float(net_blocked.sum() / max((net_cpu + net_blocked).sum(), 1e-12)),
        active > 0.95,
        tuple(assumptions),
    )


def _seconds(later: Any, earlier: Any) -> Any:
    return (np.asarray(later).astype(np.int64) - np.asarray(earlier).astype(np.int64)) / 1e9


def _sharing(server: Server) -> tuple[Sharing, Choice]:
    """How the recorded server shares its work, for the engine.

    :raises UnsupportedRecordingError: for a model whose demand cannot be separated from its waits
    """
    known: dict[str, tuple[Sharing, Choice]] = {
        "single": ("shared", "fifo"),
        "shared": ("shared", "lifo"),
        "reuseport": ("reuseport", "hash"),
        "handoff": ("handoff", "round-robin"),
    }
    if server.model not in known:
        reason = (
            "another thread answers than reads, so the demand of a request includes its wait for that thread"
            if "dispatch" in server.model
            else "what-if has no simulation of it"
        )
        raise UnsupportedRecordingError(
            f"{server.group.name}: no prediction from a recording of model {server.model}: {reason}",
            hint="record a server of model single, shared, reuseport or handoff",
        )
    return known[server.model]


def _whole(connections: Records) -> Records:
    """Connections of which every step up to the first reply was recorded."""
    keep = (connections["flags"] & int(ConnectionFlag.OPEN_BEFORE | ConnectionFlag.LATE)) == 0
    for step in ("established_ns", "accepted_ns", "first_data_ns", "first_read_ns", "first_write_ns"):
        keep &= connections[step] > 0
    keep &= connections["first_write_ns"] >= connections["first_read_ns"]
    found: Records = connections[keep]
    return found


def _readers(connections: Records) -> Records:
    """The worker that read each connection (the first two threads are recorded with it)."""
    both = connections["io"]
    found: Records = np.where(
        both["reads"][:, 1] > both["reads"][:, 0], both["worker"][:, 1], both["worker"][:, 0]
    )
    return found


def _requests(connections: Records) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A request is at least one read and one write."""
    reads = connections["io"]["reads"].sum(axis=1)
    writes = connections["io"]["writes"].sum(axis=1)
    found: np.ndarray[Any, np.dtype[np.int64]] = np.maximum(np.minimum(reads, writes), 1).astype(np.int64)
    return found


def _pause(connections: Records, demand: Floats, requests: Records) -> float:
    """Reply → next request of a connection, where requests waited least."""
    several = (requests > 1) & (connections["touched_ns"] > connections["first_write_ns"])
    if not several.any():
        return 0.0
    further = requests[several] - 1
    rest = _seconds(connections["touched_ns"][several], connections["first_write_ns"][several])
    return max(float(np.percentile((rest - further * demand[several]) / further, 10)), 0.0)


def _in_order_of_members(connections: Records, serving: tuple[Worker, ...]) -> tuple[Worker, ...]:
    """Sort workers by the listener of most of their connections: the order in which hashes map to them."""
    readers = _readers(connections)

    def member(worker: Worker) -> int:
        mine = connections["listener"][readers == worker.id]
        return int(np.bincount(mine).argmax()) if len(mine) else 2**32

    return tuple(sorted(serving, key=lambda worker: (member(worker), worker.id)))


def _split(
    frame: Frame, serving: tuple[Worker, ...], connections: Records, demand: Floats, requests: Records
) -> tuple[Floats, Floats, float, bool]:
    """(part of each demand on a CPU, part blocked, CPU seconds per connection beside it, whether that is known).

    The rest of a demand was spent ready to run, waiting for a CPU.
    """
    on_cpu, blocked = np.ones(len(demand)), np.zeros(len(demand))
    beside_all, known = 0.0, False
    readers = _readers(connections)
    for worker in serving:
        mine = readers == worker.id
        total = float(np.sum((demand * requests)[mine]))
        used, waited = worker.cpu_ns / 1e9, worker.cpu_wait_ns / 1e9
        if not used or not total:
            continue
        known = True
        busy = busy_ns(worker, frame.snapshot.time_ns) / 1e9
        if busy < total:  # threads that wait in accept() have no busy time
            busy = max(total, used + waited)
        # what a worker did beside its requests (accept, close) does not block
        beside = min(max(busy - total, 0.0), used + waited)
        in_requests = max(used + waited - beside, 0.0) / total
        part = used / (used + waited)
        beside_all += beside * part
        free = max(1.0 - in_requests, 0.0)
        if free < _NOT_BLOCKED:
            in_requests, free = 1.0, 0.0
        on_cpu[mine], blocked[mine] = min(in_requests, 1.0) * part, free
    return on_cpu, blocked, beside_all / len(demand), known


def _speeds(
    connections: Records, demand: Floats, serving: tuple[Worker, ...]
) -> tuple[tuple[float, ...], Floats]:
    """(speed of each worker when one differs, and what each connection's demand was multiplied by)."""
    factors = np.ones(len(demand))
    readers = _readers(connections)
    medians = {}
    for worker in serving:
        mine = demand[readers == worker.id]
        if len(mine) >= _LEAST_PER_WORKER:
            medians[worker.id] = float(np.median(mine))
    if len(medians) < 2:
        return (), factors
    typical = sorted(medians.values())[(len(medians) - 1) // 2]
    apart = {
        number: median / typical
        for number, median in medians.items()
        if typical > 0 and not 1 / _STRAGGLER < median / typical < _STRAGGLER
    }
    if not apart:
        return (), factors
    for slow, factor in apart.items():
        factors[readers == slow] = factor
    return tuple(1 / apart.get(worker.id, 1.0) for worker in serving), factors


def _loop(
    connections: Records, demand: Floats, serving: tuple[Worker, ...], sharing: Sharing, waits_traced: bool
) -> tuple[bool, int, str]:
    """(whether workers are event loops, connections accepted per turn, how that is known)."""
    if waits_traced and not any(worker.waits for worker in serving):
        return False, 1, "workers wait in accept() and run each connection to completion"
    if sharing == "handoff":
        return True, 1, "readers are event loops"
    queued = _seconds(connections["accepted_ns"], connections["established_ns"]) > 0.5 * np.median(demand)
    if np.count_nonzero(queued) < _LEAST_QUEUED:
        return True, 1, "workers wait for events: assumed to accept one connection per turn"
    runs: list[int] = []
    overlaps = pairs = 0
    for acceptor in np.unique(connections["acceptor"]):
        own = connections[connections["acceptor"] == acceptor]
        own = own[np.argsort(own["accepted_ns"], kind="stable")]
        overlaps += int(np.count_nonzero(own["accepted_ns"][1:] < own["first_write_ns"][:-1]))
        pairs += max(len(own) - 1, 0)
        moments = np.concatenate([own["accepted_ns"], own["first_read_ns"]])
        is_accept = np.repeat([True, False], len(own))[np.argsort(moments, kind="stable")]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], is_accept, [False]]).astype(np.int8)))
        runs += (edges[1::2] - edges[::2]).tolist()
    if overlaps < 0.02 * max(pairs, 1):
        return False, 1, "a worker accepts the next connection only after its reply: run to completion"
    if np.mean(runs) > 1.5:
        return (
            True,
            1_000_000,
            f"event loops that drain the accept queue ({np.mean(runs):.1f} accepts in a row)",
        )
    return True, 1, "event loops that accept one connection per turn"


def _clients(connections: Records, requests: Records) -> tuple[int, float]:
    """(clients of a closed loop, seconds from a reply to the next connection); (0, 0) for an open loop."""
    arrived = connections["established_ns"]
    left = np.where(requests > 1, connections["touched_ns"], connections["first_write_ns"])
    inside = np.arange(1, len(arrived) + 1) - np.searchsorted(np.sort(left), arrived, side="right")
    steady = inside[len(inside) // 10 : -max(len(inside) // 10, 1)]
    most = int(np.percentile(steady, 99))
    if most < 2 or np.percentile(steady, 10) < _CLOSED_LOOP_LOW * most:
        return 0, 0.0
    spent = float(np.mean(_seconds(left, arrived)))
    rate = (len(arrived) - 1) / max(float(_seconds(arrived[-1], arrived[0])), 1e-9)
    return most, max(most / rate - spent, 0.0)


def _with_wake_order(work: Work, setup: Setup, shares: tuple[float, ...]) -> tuple[Setup, str]:
    """The order in which idle workers of a shared queue are woken that gives the recorded shares, and why.

    epoll wakes the worker that waited shortest; servers that wake all, or add the listener to epoll again and
    again, distribute more evenly.
    """
    part = take_first(work, _WAKE_ORDER_CONNECTIONS)
    measured = max(shares) * setup.workers / max(sum(shares), 1.0)
    found: dict[Choice, float] = {}
    orders: tuple[Choice, ...] = ("lifo", "fifo")
    for order in orders:
        served = simulate(part, replace(setup, choice=order)).worker
        counts = np.bincount(served[served >= 0], minlength=setup.workers)
        found[order] = float(counts.max() / counts.mean())
    best = min(orders, key=lambda order: abs(found[order] - measured))
    word = "shortest" if best == "lifo" else "longest"
    return (
        replace(setup, choice=best),
        f"the worker that waited {word} is woken: that gives max/mean {found[best]:.2f}, recorded {measured:.2f}",
    )


def _busiest(connections: Records, requests: Records) -> slice:
    """The consecutive connections of at most ``MOST_REQUESTS`` requests that arrived fastest."""
    count = len(connections)
    if requests.sum() <= MOST_REQUESTS:
        return slice(0, count)
    size = max(int(MOST_REQUESTS / requests.mean()), 1)
    arrived = connections["established_ns"].astype(np.int64)
    start = int(np.argmin(arrived[size - 1 :] - arrived[: count - size + 1]))
    return slice(start, start + size)


def _hashes(connections: Records, server: Server) -> Floats:
    """Where in the range of hashes each 4-tuple lies.

    The kernel's key is secret, but the member of a SO_REUSEPORT group that got a connection gives its part of
    the range; inside that part, and in other models, it is random.
    """
    chance = np.random.default_rng(1).random(len(connections))
    members, member = np.unique(connections["listener"], return_inverse=True)
    if server.model != "reuseport" or len(members) < 2:
        return chance
    return (member.reshape(-1) + chance) / len(members)


def _sharers(frame: Frame, server: Server) -> int:
    from sockscope.analysis.work_distribution import accepting_sharers

    return max(len(accepting_sharers(frame.snapshot, server)), 1)
