"""The report as text: what a person reads in a terminal or pastes into a ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.analysis.idle_servers import split_idle_servers
from sockscope.analysis.overhead import measure_overhead
from sockscope.analysis.server import Server, Wait
from sockscope.analysis.server_io import ELSEWHERE, ServerIo
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.analysis.slow_connections import find_slow_connections
from sockscope.analysis.waiter_samples import WaiterSamples, sample_waiters
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Worker
from sockscope.report._fairness import fairness_lines

_WORKERS_SHOWN = 16
_SLOW_SHOWN = 3
_BAR = 24


def render(frame: Frame, history: HistoryView | None = None) -> str:
    """The whole report, ending in a newline.

    :param history: what happened when; without it nothing is told over time
    """
    return "\n".join(_lines(frame, history)) + "\n"


def _lines(frame: Frame, history: HistoryView | None) -> Iterator[str]:
    snapshot, meta = frame.snapshot, frame.meta
    yield f"{meta.host}, Linux {meta.kernel}, {formatting.duration(snapshot.elapsed_ns)} of {meta.target}"
    if not frame.servers:
        yield ""
        yield "no listening socket matched the target"
    servers, others = split_idle_servers(frame.servers)
    for server in servers:
        yield ""
        yield from server_lines(frame, server, history)
        yield from _slow_lines(frame, server)
    if others:
        yield ""
        yield others
    yield ""
    yield from _findings(frame)
    yield from _health(frame)


def server_lines(frame: Frame, server: Server, history: HistoryView | None = None) -> Iterator[str]:
    """One server: its verdict, who did what, how long it waited."""
    group = server.group
    name = group.name
    members = f", {len(group.listeners)} listening sockets" if len(group.listeners) > 1 else ""
    yield f"{name}  {server.comm} (pid {server.pid}){members}"
    yield f"  model        {model_words(server)}"
    for sentence in server.evidence:
        yield f"               {sentence}"
    yield f"  connections  {formatting.count(server.connections)}"
    yield f"  queue wait   {_wait(frame.queue_wait[name])}"
    data_wait = _wait(frame.data_wait[name]) if is_traced(frame.snapshot, "data_wait") else NOT_TRACED
    yield f"  data wait    {data_wait}"
    for listener in group.listeners:
        full = f", {formatting.count(listener.drops)} dropped" if listener.drops else ""
        closed = ", closed" if listener.closed_ns else ""
        yield (
            f"  queue        {listener.queue} now, {listener.queue_max} at most, of {listener.backlog}{full}"
            f" (socket {listener.inode}{closed})"
        )
    if len(group.listeners) > 1 and group.spread.total:
        spread = group.spread
        yield f"  spread       over the sockets: {spread.words} (max/mean {spread.max_over_mean:.2f})"
    yield from fairness_lines(frame, server, history)
    yield ""
    yield from _worker_table(frame, server)


def _slow_lines(frame: Frame, server: Server) -> Iterator[str]:
    found = find_slow_connections(frame.snapshot, server, _SLOW_SHOWN)
    if found:
        yield ""
        yield "  waited longest"
    for one in found:
        yield f"  {formatting.duration(one.total_ns):>9}  {one.remote}: {one.words}; {one.path}"


def model_words(server: Server) -> str:
    """``dispatch (requests are handed over), confidence 0.99``."""
    if server.model == "unknown":
        return f"unknown: {server.why}"
    parts = [server.model]
    if server.handoff not in ("none", "unknown"):
        parts.append(f"hand-off by {server.handoff}")
    if server.roaming:
        parts.append("roaming")
    return f"{', '.join(parts)}  (confidence {server.confidence:.2f})"


def _worker_table(frame: Frame, server: Server) -> Iterator[str]:
    accepts = server.group.accepts
    numbers = {listener.id for listener in server.group.listeners}
    done = ServerIo(frame.snapshot, server)
    waited = sample_waiters(frame.snapshot, numbers)
    active = [
        worker
        for worker in server.workers
        if accepts.get(worker.id)
        or done[worker.id].reads
        or done[worker.id].writes
        or worker.id in waited.by_worker
    ]
    active.sort(key=lambda worker: (-accepts.get(worker.id, 0), -done[worker.id].reads, worker.tid))
    total = sum(accepts.values())
    columns: dict[str, tuple[str, Callable[[Worker], str]]] = {
        "reads": (f" {'reads':>10}", lambda worker: f" {done[worker.id].reads or '–':>10}"),
        "writes": (f" {'writes':>10}", lambda worker: f" {done[worker.id].writes or '–':>10}"),
        "busy_ns": (f" {'busy':>8}", lambda worker: f" {busy_words(worker):>8}"),
    }
    shown = [column for figure, column in columns.items() if is_traced(frame.snapshot, figure)]
    if waited.tells:
        shown.append((f" {'waited':>7}", lambda worker: f" {waited_words(waited, worker):>7}"))
    if active:
        head = "".join(head for head, _ in shown)
        yield f"  {'pid/tid':<17}{'thread':<17}{'accepted':>9}{'':>8}{head}".rstrip()
    for worker in islice(active, _WORKERS_SHOWN):
        taken = accepts.get(worker.id, 0)
        share = formatting.share(taken, total) if taken else ""
        yield (
            f"  {f'{worker.pid}/{worker.number}':<17}{worker.comm:<17}{taken or '–':>9}{share:>8}"
            f"{''.join(cell(worker) for _, cell in shown)}"
        )
    if len(active) > _WORKERS_SHOWN:
        yield f"  … and {len(active) - _WORKERS_SHOWN} more threads"
    idle = len(server.workers) - len(active)
    if idle:
        yield f"  and {idle} thread{'s' * (idle > 1)} of its processes that touched no connection"
    if waited.tells:
        yield from _waited_lines(waited)
    if done.is_less_than_all(active):
        yield f"  ({ELSEWHERE})"


def busy_words(worker: Worker) -> str:
    """The part of its time that a thread was away from waiting."""
    return formatting.share(worker.busy_ns, worker.busy_ns + worker.wait_ns) if worker.waits else "–"


def waited_words(found: WaiterSamples, worker: Worker) -> str:
    """The part of the looks at its listeners at which a thread waited for them."""
    waited = found.by_worker.get(worker.id)
    return formatting.share(waited.times, waited.samples) if waited else "–"


def _waited_lines(found: WaiterSamples) -> Iterator[str]:
    yield f"  (waited: for the listener, at so many of {formatting.count(found.samples)} arrivals that were looked at)"
    if found.unnamed:
        yield f"  (at {formatting.share(found.unnamed, found.samples)} of them some waited that could not be named)"


def _wait(wait: Wait) -> str:
    if not wait.samples:
        return "not measured"
    return (
        f"p50 {formatting.duration(wait.p50)}, p99 {formatting.duration(wait.p99)}, max {formatting.duration(wait.longest)}"
        f"  ({formatting.count(wait.samples)} measured)"
    )


def _findings(frame: Frame) -> Iterator[str]:
    for finding in frame.findings:
        yield f"{finding.severity}: {finding.title} [{finding.id}]"
        yield f"  {finding.explanation}"
        if finding.cause:
            yield f"  Cause: {finding.cause}"
        if finding.effect:
            yield f"  Effect: {finding.effect}"
        for line in finding.remedy:
            yield f"  → {line}"
        if finding.verify:
            yield f"  Verify: {finding.verify}"
        yield ""


def _health(frame: Frame) -> Iterator[str]:
    health = frame.snapshot.health
    if health.lost:
        for what, number in health.lost:
            yield f"lost: {formatting.count(number)} {what}"
    else:
        yield "lost: nothing"
    limitations = [signal for signal in frame.meta.signals if signal.limitations]
    for signal in limitations:
        yield f"signal {signal.name} ({signal.method or NOT_TRACED}): {signal.limitations}"
    for note in health.notes:
        yield f"note: {note}"
    cost = measure_overhead(frame.snapshot)
    if cost:
        probes = ""
        if cost.probe_share is not None and cost.event_ns is not None:
            request = f", {formatting.duration(cost.request_ns)} a request" if cost.request_ns else ""
            probes = (
                f", probes {formatting.duration(cost.event_ns)} an event{request} "
                f"and {100 * cost.probe_share:.2f} % of a CPU while sampled"
            )
        yield (
            f"own cost: {100 * cost.user_share:.1f} % of a CPU in user space, "
            f"{formatting.size(cost.resident_bytes)} resident{probes}"
        )
