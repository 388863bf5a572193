"""Recordings beside each other: before and after a change, or several hosts.

The first is what the others are compared with.  Servers belong together when they listen on the same
port; where each recording has but one server, these do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.analysis.signal_requirements import is_traced
from sockscope.analysis.statistics import Change, Counts, fairness_change, proportion_change, quantile_change
from sockscope.model.histogram import percentile
from sockscope.model.history import HistoryView

_WAITS = {
    "queue_wait": "queue wait",
    "data_wait": "data wait",
    "answer": "reply time",
    "stall": "loop stall",
}


@dataclass(frozen=True)
class Recorded:
    """One side of a comparison."""

    name: str
    frame: Frame
    history: HistoryView


@dataclass(frozen=True)
class Measure:
    """One figure in each recording; ``changes`` from the first to each of the others (None: not judged)."""

    id: str
    title: str
    kind: str  # duration, ratio, part or rate
    values: tuple[float, ...]
    changes: tuple[Change | None, ...]

    def words(self, value: float) -> str:
        """A value as people read it."""
        if value != value:
            return "–"
        if self.kind == "duration":
            return formatting.duration(value)
        if self.kind == "part":
            return f"{100 * value:.2f} %"
        return f"{value:.2f}" if self.kind == "ratio" else f"{formatting.count(value)}/s"


@dataclass(frozen=True)
class Pairing:
    """Servers that belong together; None where a recording has none of them."""

    name: str
    servers: tuple[Server | None, ...]
    measures: tuple[Measure, ...]
    waits: tuple[tuple[str, tuple[Counts, ...]], ...]


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared."""

    recorded: tuple[Recorded, ...]
    pairings: tuple[Pairing, ...]
    title: str = "Comparison"


def compare(recorded: Sequence[Recorded], title: str = "Comparison") -> Comparison:
    """Pair the servers of several recordings, and measure."""
    recorded = [replace(one, name=formatting.printable(one.name)) for one in recorded]
    return Comparison(
        tuple(recorded),
        tuple(_measured(recorded, name, servers) for name, servers in _paired(recorded)),
        title,
    )


def _paired(recorded: Sequence[Recorded]) -> Iterator[tuple[str, tuple[Server | None, ...]]]:
    used = [[server for server in one.frame.servers if server.connections] for one in recorded]
    if all(len(servers) == 1 for servers in used):
        only = tuple(servers[0] for servers in used)
        names = list(dict.fromkeys(f"{server.group.name} {server.comm}" for server in only))
        yield " | ".join(names) if len(names) <= 2 else "the one server of each", only
        return
    for port in sorted({server.group.port for servers in used for server in servers}):
        on_it = [[server for server in servers if server.group.port == port] for servers in used]
        if all(len(servers) <= 1 for servers in on_it):
            yield f"port {port}", tuple(servers[0] if servers else None for servers in on_it)
            continue
        # several addresses on one port
        for name in sorted({server.group.name for servers in on_it for server in servers}):
            yield (
                name,
                tuple(next((one for one in servers if one.group.name == name), None) for servers in on_it),
            )


def _measured(recorded: Sequence[Recorded], name: str, servers: tuple[Server | None, ...]) -> Pairing:
    there = [(one, server) for one, server in zip(recorded, servers, strict=True) if server is not None]
    if len(there) < len(servers):
        return Pairing(name, servers, (), ())
    found = [one.frame.reports[server.group.name].waits for one, server in there]
    waits = tuple((words, tuple(one[kind] for one in found)) for kind, words in _WAITS.items())
    measures = [
        _rate(there),
        *(_percentile(title, counts, part) for title, counts in waits for part in (0.5, 0.99)),
    ]
    measures += [_dropped(there), *_shares(there)]
    if all(is_traced(one.frame.snapshot, "wakeups_spurious") for one, _ in there):
        measures.append(_wasted(there))
    return Pairing(name, servers, tuple(measures), waits)


def _rate(there: Sequence[tuple[Recorded, Server]]) -> Measure:
    values = tuple(
        server.connections / max(one.frame.snapshot.elapsed_ns / 1e9, 1e-9) for one, server in there
    )
    return Measure("rate", "connections", "rate", values, tuple(None for _ in values[1:]))


def _percentile(title: str, counts: tuple[Counts, ...], part: float) -> Measure:
    values = tuple(percentile(one, part) for one in counts)
    changes = tuple(
        quantile_change(counts[0], other, part, (values[0], value))
        for other, value in zip(counts[1:], values[1:], strict=True)
    )
    name = f"p{100 * part:g}"
    return Measure(f"{title.replace(' ', '_')}_{name}", f"{title}, {name}", "duration", values, changes)


def _dropped(there: Sequence[tuple[Recorded, Server]]) -> Measure:
    lost = []
    for one, server in there:
        ids = [listener.id for listener in server.group.listeners]
        lost.append(int(one.history.listener("drops", ids).sum()) if one.history.ticks else 0)
    whole = [drops + server.connections for drops, (_, server) in zip(lost, there, strict=True)]
    changes = tuple(
        proportion_change(lost[0], whole[0], *pair) for pair in zip(lost[1:], whole[1:], strict=True)
    )
    return Measure("dropped", "dropped by a full queue", "part", tuple(map(_part, lost, whole)), changes)


def _shares(there: Sequence[tuple[Recorded, Server]]) -> Iterator[Measure]:
    figures = [
        {figure.name: figure.fairness for figure in one.frame.reports[server.group.name].distribution}
        for one, server in there
    ]
    for work in figures[0]:
        if any(work not in one for one in figures):  # not traced in one of them
            continue
        judged = [one[work] for one in figures]
        changes = tuple(fairness_change(judged[0], other) for other in judged[1:])
        title = f"{work}, max/mean"
        name = f"{work.replace(' ', '_').lower()}_max_over_mean"
        yield Measure(name, title, "ratio", tuple(one.max_over_mean for one in judged), changes)


def _wasted(there: Sequence[tuple[Recorded, Server]]) -> Measure:
    some = [sum(worker.wakeups_spurious for worker in server.workers) for _, server in there]
    whole = [sum(worker.wakeups for worker in server.workers) for _, server in there]
    changes = tuple(
        proportion_change(some[0], whole[0], *pair) for pair in zip(some[1:], whole[1:], strict=True)
    )
    return Measure(
        "wakeups_spurious", "wake-ups for nothing", "part", tuple(map(_part, some, whole)), changes
    )


def _part(some: int, whole: int) -> float:
    return some / whole if whole else float("nan")


def findings_of(comparison: Comparison) -> list[tuple[str, tuple[bool, ...]]]:
    """Each finding's title, and in which recordings it is."""
    seen = [{finding.id: finding.title for finding in one.frame.findings} for one in comparison.recorded]
    titles: dict[str, str] = {}
    for found in seen:
        titles.update(found)
    return [(f"{title} [{key}]", tuple(key in found for found in seen)) for key, title in titles.items()]
