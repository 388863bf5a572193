"""The flow of connections through a server: stages with rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sockscope import formatting
from sockscope.analysis.server import Server
from sockscope.analysis.signal_requirements import is_traced
from sockscope.model.snapshot import Listener, Worker
from sockscope.tui.data_source import FrameContext
from sockscope.tui.labels import worker_label

#: What a queue's name begins with when it is one of several.
SOCKET = "socket "


@dataclass(frozen=True)
class Row:
    """One queue or thread of a stage: how full or busy it is (None: not traced), and its rate."""

    identity: int
    name: str
    part: float | None
    words: str
    style: str = "text"


@dataclass(frozen=True)
class Stage:
    """One stage (queues, acceptors, readers, writers) with all its members."""

    title: str
    colour: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Flow:
    """Stages in order; ``arrows[i]`` leads to stage ``i``. ``paired``: the first two side by side."""

    stages: tuple[Stage, ...]
    arrows: tuple[str, ...]
    paired: bool = field(default=False)


def build_flow(context: FrameContext, server: Server) -> Flow:
    """Return the stages of one server according to its model."""
    accept, _, serve = server.model.partition("+")
    serve = serve or (accept if accept in ("handoff", "dispatch") else "")
    live = [item for item in server.group.listeners if not item.closed_ns] or list(server.group.listeners)
    acceptors = sorted(server.acceptors, key=lambda item: (item.pid, item.tid))
    paired = accept == "reuseport" and len(live) > 1
    if paired:
        live, acceptors = _paired(context, live, acceptors)
    arriving = float(context.history.listener_rates("established", [item.id for item in live]).sum())
    stages = [_queues(context, live)]
    arrows = [f"{formatting.count(arriving)}/s"]
    accepted = context.history.rates("accepts", [item.id for item in acceptors])
    arrows.append(f"{formatting.count(float(accepted.sum()))}/s")
    if not acceptors:
        stages.append(Stage("accept", "muted", (Row(0, "nobody yet", 0.0, ""),)))
    elif serve == "dispatch":
        stages.append(_threads(context, "accept + read", "acceptor", acceptors, "reads"))
        others = [
            item
            for item in (server.writers or server.workers)
            if item.id not in {known.id for known in acceptors}
        ]
        stages.append(_threads(context, "work + reply", "worker", others, "answers"))
        arrows.append(f"{formatting.count(_sum(context, 'reads', server.readers))} reads/s")
    elif serve == "handoff":
        stages.append(_threads(context, "accept", "acceptor", acceptors, "accepts"))
        own = {item.id for item in acceptors} if len(server.readers) > len(acceptors) else set()
        readers = [item for item in server.readers if item.id not in own]
        stages.append(_threads(context, "read + answer", "reader", readers, "reads"))
        arrows.append(f"{formatting.count(float(accepted.sum()))}/s")
    else:
        known = is_traced(context.frame.snapshot, "reader")
        title = "accept + read + reply" if known else "accept"
        stages.append(_threads(context, title, "acceptor", acceptors, "accepts"))
    return Flow(tuple(stages), tuple(arrows), paired)


def _queues(context: FrameContext, listeners: Sequence[Listener]) -> Stage:
    rows = []
    rates = context.history.listener_rates("established", [item.id for item in listeners])
    for listener, rate in zip(listeners, rates, strict=True):
        part = listener.queue / listener.backlog if listener.backlog else 0.0
        style = "critical" if part >= 1 else "warning" if part >= 0.5 else "good"
        words = f"{listener.queue}/{listener.backlog}" + (
            f" {formatting.count(float(rate))}/s" if len(listeners) > 1 else ""
        )
        name = f"{SOCKET}{listener.inode}" if len(listeners) > 1 else f":{listener.port}"
        rows.append(Row(listener.id, name, part, words, style))
    return Stage("listen: queue" if len(rows) == 1 else f"listen: {len(rows)} queues", "accent", tuple(rows))


def _threads(context: FrameContext, title: str, colour: str, workers: Sequence[Worker], series: str) -> Stage:
    workers = sorted(workers, key=lambda item: (item.pid, item.tid)) if colour != "acceptor" else workers
    ids = [item.id for item in workers]
    rates, busy = context.history.rates(series, ids), context.history.rates("busy", ids) / 1e9
    traced = is_traced(context.frame.snapshot, "busy")
    rows = tuple(
        Row(
            worker.id,
            worker_label(worker),
            float(part) if traced else None,
            f"{formatting.count(float(rate))}/s",
            "critical" if part > 0.9 else "text",
        )
        for worker, rate, part in zip(workers, rates, busy, strict=True)
    )
    return Stage(title, colour, rows or (Row(0, "not seen yet", 0.0, ""),))


def _sum(context: FrameContext, series: str, workers: Sequence[Worker]) -> float:
    return float(context.history.rates(series, [item.id for item in workers]).sum())


def _paired(
    context: FrameContext, listeners: Sequence[Listener], acceptors: Sequence[Worker]
) -> tuple[list[Listener], list[Worker]]:
    """Return each listener with the thread that accepts most from it."""
    roles, counts = context.frame.snapshot.roles, context.frame.snapshot.role_counts
    best: dict[int, tuple[int, int]] = {}
    for flow, count in zip(roles, counts, strict=True):
        listener, acceptor = int(flow["listener"]), int(flow["acceptor"])
        if acceptor and int(count) > best.get(listener, (0, 0))[0]:
            best[listener] = (int(count), acceptor)
    by_id = {worker.id: worker for worker in acceptors}
    ordered, left = [], dict(by_id)
    rank = {worker.id: index for index, worker in enumerate(acceptors)}
    listeners = sorted(
        listeners, key=lambda item: (rank.get(best.get(item.id, (0, 0))[1], 10**6), item.inode)
    )
    for member in listeners:
        worker = left.pop(best.get(member.id, (0, 0))[1], None)
        if worker is not None:
            ordered.append(worker)
    return list(listeners), ordered + list(left.values())
