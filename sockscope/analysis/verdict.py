"""The verdict: which server model is this?  Two questions, asked of what was seen.

Accept: by one thread, by several on one socket (``shared``), by several each on its own socket
(``reuseport``).  Serve: by the acceptor itself, by another thread or process that the connection
was handed to (``handoff``), or by threads that are handed requests while another reads
(``dispatch``).  Flags and descriptors held prove nothing (Nginx holds every reuseport socket in
every process); only sockets accepted on, readers and writers count.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sockscope.analysis.accept_pattern import accept_axis
from sockscope.analysis.dispatch_detection import requests_handed
from sockscope.analysis.server import Group, Handoff, Server
from sockscope.analysis.signal_requirements import is_traced, missing
from sockscope.model.snapshot import Snapshot, Worker

#: Fewer connections than this say nothing about how they are shared.
FEWEST = 8
#: From this part of the connections on, a way of serving is part of the model, not an exception.
_PART = 0.1
_ROAMING_PART = 0.2
#: A process that was forked for a connection reads that one; two, if a client comes back to it.
_OF_A_FORKED = 2
#: From the acceptor to the reader: OpenSSH has a process for the connection, and its child reads.
_GENERATIONS = 3


@dataclass
class _Seen:
    """What the connections of one group did, counted."""

    accepted: Counter[int] = field(default_factory=Counter)
    by_listener: dict[int, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    readers: Counter[int] = field(default_factory=Counter)
    writers: Counter[int] = field(default_factory=Counter)
    served: Counter[Handoff] = field(default_factory=Counter)
    read: int = 0
    answered: int = 0
    answered_by_others: int = 0
    several_readers: int = 0
    total: int = 0


def verdict(snapshot: Snapshot, group: Group) -> Server:
    """Name the model of one listen group, with evidence."""
    seen = _look(snapshot, group)
    workers = snapshot.workers
    acceptors = _known(workers, seen.accepted)
    readers, writers = _known(workers, seen.readers), _known(workers, seen.writers)
    pid, comm = _process(snapshot, group, acceptors)
    accept, accept_says = accept_axis(snapshot, group, seen.by_listener)
    serve, handoff, serve_says, agree = _serve_axis(snapshot, seen)
    evidence = [sentence for sentence in (*accept_says, *serve_says) if sentence]
    if group.reuseport and accept == "shared":
        evidence.append("SO_REUSEPORT is set, but the workers share one socket: the kernel balances nothing")
    model, why = _name(seen, accept, serve)
    roaming = bool(seen.read) and seen.several_readers / seen.read >= _ROAMING_PART
    if roaming:
        evidence.append(f"{seen.several_readers} of {seen.read} connections were read by several threads")
    return Server(
        group=group,
        pid=pid,
        comm=comm,
        model=model,
        handoff=handoff if model != "unknown" else "unknown",
        roaming=roaming,
        confidence=_lower_bound(agree, seen.read) if model != "unknown" else 0.0,
        evidence=tuple(evidence),
        why=why,
        acceptors=_one_by_one(acceptors),
        readers=_one_by_one(readers),
        writers=_one_by_one(writers),
        workers=_all_workers(snapshot, group, acceptors, readers, writers),
        connections=seen.total,
    )


def _look(snapshot: Snapshot, group: Group) -> _Seen:
    seen = _Seen()
    pairs: Counter[tuple[int, int]] = Counter()
    # of many servers' flows only these: to pass through all of them for each takes a minute of a busy day
    mine = snapshot.roles_by_listener.rows(listener.id for listener in group.listeners)
    for flow, count in zip(snapshot.roles[mine], snapshot.role_counts[mine], strict=True):
        listener, acceptor = int(flow["listener"]), int(flow["acceptor"])
        reader, writer = int(flow["reader"]), int(flow["writer"])
        times = int(count)
        seen.total += times
        if acceptor:
            seen.accepted[acceptor] += times
            seen.by_listener[listener][acceptor] += times
        if writer:
            seen.writers[writer] += times
        if not reader:
            continue
        seen.readers[reader] += times
        if acceptor:
            seen.read += times
            pairs[acceptor, reader] += times
            seen.several_readers += times if flow["readers"] > 1 else 0
        if writer:
            seen.answered += times
            seen.answered_by_others += times if writer != reader else 0
    for (acceptor, reader), times in pairs.items():
        relation = _relation(snapshot.workers.get(acceptor), snapshot.workers.get(reader), snapshot.parents)
        if relation == "fork" and seen.readers[reader] > _OF_A_FORKED * snapshot.workers[reader].threads:
            relation = "process"  # a worker that was started meanwhile
        seen.served[relation] += times
    return seen


def _relation(acceptor: Worker | None, reader: Worker | None, parents: Mapping[int, int]) -> Handoff:
    if acceptor is None or reader is None:
        return "unknown"
    if acceptor.id == reader.id:
        return "none"
    if acceptor.pid == reader.pid:
        return "thread"
    above, generations = reader.parent_pid, 1
    while above != acceptor.pid and above in parents and generations < _GENERATIONS:
        above, generations = parents[above], generations + 1
    return "fork" if above == acceptor.pid and reader.start_ns > acceptor.first_seen_ns else "process"


def _serve_axis(snapshot: Snapshot, seen: _Seen) -> tuple[str, Handoff, tuple[str, ...], int]:
    """(how it serves, kind of hand-off, what says so, connections that agree)."""
    if not is_traced(snapshot, "readers"):
        return "untraced", "unknown", (), 0
    known = seen.read - seen.served["unknown"]
    if not known:
        return "nobody", "unknown", (), 0
    others = seen.answered_by_others
    if seen.answered and others / seen.answered >= 0.5:
        says = f"{others} of {seen.answered} connections were answered by another thread than their reader"
        # connections that were open before tracing were answered, and not seen to be accepted
        return "dispatch", "request", (says,), others * seen.read // seen.answered
    kept = seen.served["none"]
    if (known - kept) / known >= _PART:
        kind = max(_READERS, key=lambda word: seen.served[word])
        says = (
            f"{known - kept} of {known} connections were read by another {_READERS[kind]} than their acceptor"
        )
        if kept / known < _PART:
            return "handoff", kind, (says,), known - kept
        # both ways are how it serves, then: threads that share out what they accepted among themselves
        return "handoff", kind, (says, f"the other {kept} were read by their acceptor"), known
    says = f"{kept} of {known} connections were read by their acceptor"
    if without := missing(snapshot, "requests handed"):
        not_seen = f"whether requests are handed to other threads was not traced (no {', no '.join(sorted(without))})"
        return "self", "none", (says, not_seen), kept
    handed = requests_handed(snapshot, seen.readers)
    agree = known if handed.to_workers else kept
    if not handed.certain:  # it may be one as well as the other
        agree //= 2
    if handed.to_workers:
        return "dispatch", "request", (handed.says,), agree
    return "self", "none", (says, handed.says), agree


_READERS: dict[Handoff, str] = {"thread": "thread", "process": "process", "fork": "process, forked for it,"}


def _name(seen: _Seen, accept: str, serve: str) -> tuple[str, str]:
    if seen.total < FEWEST:
        return "unknown", f"too few connections to tell: {seen.total}"
    if accept == "nobody":
        return "unknown", "nobody accepted a connection while it was traced"
    if serve == "untraced":
        return "unknown", "which threads read was not traced, so who serves cannot be told"
    if serve == "nobody":
        return "unknown", "nobody read a connection that was accepted while it was traced"
    if accept == "one":
        return {"self": "single", "handoff": "handoff", "dispatch": "dispatch"}[serve], ""
    return (accept if serve == "self" else f"{accept}+{serve}"), ""


def _known(workers: Mapping[int, Worker], counted: Counter[int]) -> tuple[Worker, ...]:
    return tuple(workers[number] for number, _ in counted.most_common() if number in workers)


def _one_by_one(workers: tuple[Worker, ...]) -> tuple[Worker, ...]:
    """Without the records in which threads that ended long ago were put together: those share nothing."""
    return tuple(worker for worker in workers if worker.threads == 1)


def _process(snapshot: Snapshot, group: Group, acceptors: tuple[Worker, ...]) -> tuple[int, str]:
    """The process that stands for the server: the acceptors' own or their common parent, else a holder."""
    pids = {worker.pid for worker in acceptors}
    owners = {holding.pid for listener in group.listeners for holding in listener.owners}
    if not pids:
        pids = owners
    parents = {worker.parent_pid for worker in acceptors}
    if len(pids) == 1:
        pid = next(iter(pids))
    elif len(parents) == 1:
        pid = next(iter(parents))
    else:
        pid = min(pids, default=0)
    process = snapshot.processes.get(pid)
    if process is not None:
        return pid, process.comm
    return pid, next(
        (worker.comm for worker in acceptors if worker.pid == pid), acceptors[0].comm if acceptors else ""
    )


def _all_workers(snapshot: Snapshot, group: Group, *did: tuple[Worker, ...]) -> tuple[Worker, ...]:
    """Those that did something, then the other threads of the processes that hold the listeners."""
    found = {worker.id: worker for workers in did for worker in workers}
    owners = {holding.pid for listener in group.listeners for holding in listener.owners}
    for worker in snapshot.workers.values():
        if worker.pid in owners:
            found.setdefault(worker.id, worker)
    return tuple(found.values())


def _lower_bound(agree: int, of: int) -> float:
    """The lower end of Wilson's 95 % interval (E. B. Wilson, 1927)."""
    if not of:
        return 0.0
    z, part = 1.96, agree / of
    centre = part + z * z / (2 * of)
    spread = z * math.sqrt(part * (1 - part) / of + z * z / (4 * of * of))
    return max(0.0, (centre - spread) / (1 + z * z / of))
