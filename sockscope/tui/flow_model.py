"""How a server's flow is drawn: which stations a connection passes, and with what rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sockscope import formatting
from sockscope.analysis.frame import Server
from sockscope.analysis.signal_requirements import is_traced
from sockscope.model.snapshot import Listener, Worker
from sockscope.tui.data_source import Moment
from sockscope.tui.labels import worker_name

#: What a queue's name begins with when it is one of several.
SOCKET = "socket "


@dataclass(frozen=True)
class Row:
    """One queue or thread in a station: how full or how busy it is (None: not traced), and what it does a
    second."""

    identity: int
    name: str
    part: float | None
    words: str
    style: str = "text"


@dataclass(frozen=True)
class Station:
    """A box: a kind of thing that a connection passes, and all of that kind."""

    title: str
    colour: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Flow:
    """Stations in order; ``arrows[i]`` leads to station ``i``.  ``paired``: the first two side by side."""

    stations: tuple[Station, ...]
    arrows: tuple[str, ...]
    paired: bool = field(default=False)


def flow_of(moment: Moment, server: Server) -> Flow:
    """The stations of one server as its model has them."""
    accept, _, serve = server.model.partition("+")
    serve = serve or (accept if accept in ("handoff", "dispatch") else "")
    live = [item for item in server.group.listeners if not item.closed_ns] or list(server.group.listeners)
    acceptors = sorted(server.acceptors, key=lambda item: (item.pid, item.tid))
    paired = accept == "reuseport" and len(live) > 1
    if paired:
        live, acceptors = _paired(moment, live, acceptors)
    arriving = float(moment.history.listener_rates("established", [item.id for item in live]).sum())
    stations = [_queues(moment, live)]
    arrows = [f"{formatting.count(arriving)}/s"]
    accepted = moment.history.rates("accepts", [item.id for item in acceptors])
    arrows.append(f"{formatting.count(float(accepted.sum()))}/s")
    if not acceptors:
        stations.append(Station("accept", "muted", (Row(0, "nobody yet", 0.0, ""),)))
    elif serve == "dispatch":
        stations.append(_threads(moment, "accept + read", "acceptor", acceptors, "reads"))
        others = [
            item
            for item in (server.writers or server.workers)
            if item.id not in {known.id for known in acceptors}
        ]
        stations.append(_threads(moment, "work + answer", "worker", others, "answers"))
        arrows.append(f"{formatting.count(_sum(moment, 'reads', server.readers))} reads/s")
    elif serve == "handoff":
        stations.append(_threads(moment, "accept", "acceptor", acceptors, "accepts"))
        own = {item.id for item in acceptors} if len(server.readers) > len(acceptors) else set()
        readers = [item for item in server.readers if item.id not in own]
        stations.append(_threads(moment, "read + answer", "reader", readers, "reads"))
        arrows.append(f"{formatting.count(float(accepted.sum()))}/s")
    else:
        known = is_traced(moment.frame.snapshot, "reader")
        title = "accept + read + answer" if known else "accept"
        stations.append(_threads(moment, title, "acceptor", acceptors, "accepts"))
    return Flow(tuple(stations), tuple(arrows), paired)


def _queues(moment: Moment, listeners: Sequence[Listener]) -> Station:
    rows = []
    rates = moment.history.listener_rates("established", [item.id for item in listeners])
    for listener, rate in zip(listeners, rates, strict=True):
        part = listener.queue / listener.backlog if listener.backlog else 0.0
        style = "critical" if part >= 1 else "warning" if part >= 0.5 else "good"
        words = f"{listener.queue}/{listener.backlog}" + (
            f" {formatting.count(float(rate))}/s" if len(listeners) > 1 else ""
        )
        name = f"{SOCKET}{listener.inode}" if len(listeners) > 1 else f":{listener.port}"
        rows.append(Row(listener.id, name, part, words, style))
    return Station(
        "listen: queue" if len(rows) == 1 else f"listen: {len(rows)} queues", "accent", tuple(rows)
    )


def _threads(moment: Moment, title: str, colour: str, workers: Sequence[Worker], series: str) -> Station:
    workers = sorted(workers, key=lambda item: (item.pid, item.tid)) if colour != "acceptor" else workers
    ids = [item.id for item in workers]
    rates, busy = moment.history.rates(series, ids), moment.history.rates("busy", ids) / 1e9
    traced = is_traced(moment.frame.snapshot, "busy")
    rows = tuple(
        Row(
            worker.id,
            worker_name(worker),
            float(part) if traced else None,
            f"{formatting.count(float(rate))}/s",
            "critical" if part > 0.9 else "text",
        )
        for worker, rate, part in zip(workers, rates, busy, strict=True)
    )
    return Station(title, colour, rows or (Row(0, "not seen yet", 0.0, ""),))


def _sum(moment: Moment, series: str, workers: Sequence[Worker]) -> float:
    return float(moment.history.rates(series, [item.id for item in workers]).sum())


def _paired(
    moment: Moment, listeners: Sequence[Listener], acceptors: Sequence[Worker]
) -> tuple[list[Listener], list[Worker]]:
    """Each listener beside the thread that accepts most from it."""
    roles, counts = moment.frame.snapshot.roles, moment.frame.snapshot.role_counts
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
