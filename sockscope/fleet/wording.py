"""Wording of the report on many hosts, shared by its formats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sockscope import formatting
from sockscope.analysis.fairness import EFFECT, SIGNIFICANCE
from sockscope.analysis.server_waits import NAMES
from sockscope.analysis.statistics import Change
from sockscope.fleet.gather import Gathered
from sockscope.fleet.services import Place, Service, Spotted, findings_of, names_of, services_of

NOTE = (
    "A host stands out if it is at least 25 % worse than all others together, and p < 0.001 divided by the number of "
    "comparisons (Bonferroni)."
)

#: Head of a service's table, and the first column with numbers; max/mean is that of accepts by thread.
HEAD = (
    "host",
    "model",
    "connections",
    "per second",
    "queue p50",
    "queue p99",
    "data p99",
    "reply p99",
    "longest queue",
    "dropped",
    "max/mean",
)
FIGURES = 2


@dataclass(frozen=True)
class Fleet:
    """Everything that a report on many hosts shows."""

    gathered: Gathered
    names: tuple[str, ...]
    services: tuple[Service, ...]
    findings: tuple[Spotted, ...]


def fleet_of(gathered: Gathered) -> Fleet:
    """Return the services and findings of the recordings that were gathered."""
    members = gathered.members
    return Fleet(gathered, tuple(names_of(members)), tuple(services_of(members)), tuple(findings_of(members)))


def title(fleet: Fleet) -> str:
    """``3 hosts, 4 recordings``."""
    members = fleet.gathered.members
    return f"{_number(len({one.host for one in members}), 'host')}, {_number(len(members), 'recording')}"


def summary(fleet: Fleet) -> str:
    """One sentence: when, how much, and whether all of it was seen."""
    recordings = [member.recording for member in fleet.gathered.members]
    first = min(one.started_at for one in recordings)
    until = max(one.started_at + timedelta(seconds=one.elapsed_ns / 1e9) for one in recordings)
    lost = sum(one.lost for one in recordings)
    return (
        f"{first:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S} UTC, "
        f"{formatting.count(sum(one.connections for one in recordings))} connections, "
        + (f"{formatting.count(lost)} records lost" if lost else "nothing lost")
    )


def models(service: Service) -> str:
    """``shared on 3, single on 1``; the model alone when it is the same everywhere."""
    found = service.models
    if len(found) == 1:
        return f"{next(iter(found))} on {_number(len(service.places), 'host')}"
    return ", ".join(f"{model} on {count}" for model, count in found.items())


def row(place: Place) -> list[str]:
    """A line of the table under :data:`HEAD`."""
    accepts, server = place.shares.get("accepts"), place.server
    ratio = accepts.max_over_mean if accepts else None
    return [
        place.name,
        server.model,
        formatting.count(server.connections),
        formatting.count(place.rate),
        formatting.duration(place.p("queue_wait", 0.5)),
        formatting.duration(place.p("queue_wait", 0.99)),
        formatting.duration(place.p("data_wait", 0.99)),
        formatting.duration(place.p("answer", 0.99)),
        f"{server.queue_max:,} / {server.backlog:,}",
        formatting.count(server.drops),
        f"{ratio:.2f}" if ratio is not None and server.acceptors > 1 else "–",
    ]


def standing_out(service: Service) -> Iterator[tuple[str, str]]:
    """Yield (host, sentence) for each metric that is worse on a host than on the others, largest ratio first."""
    found = [
        (change.ratio, place.name, _worse(kind, change))
        for place in service.places
        for kind, change in place.stands_out.items()
    ]
    for _, name, words in sorted(found, key=lambda one: -one[0]):
        yield name, words
    for place in service.places:
        if place.uneven:
            kinds = ", ".join(f"{one.work} (max/mean {one.max_over_mean or 0:.2f})" for one in place.uneven)
            yield place.name, f"skewed among its threads: {kinds}"


def _worse(kind: str, change: Change) -> str:
    chance = "p < 0.001" if change.p_value < 0.001 else f"p = {change.p_value:.3f}"
    if kind == "dropped":
        times = (
            f"×{change.ratio:.3g} the share of all others" if math.isfinite(change.ratio) else "nowhere else"
        )
        return f"connections dropped by a full queue: {times}, {chance}"
    return f"{NAMES[kind]} p99: ×{change.ratio:.3g} that of all others, {chance}"


def spread_words(service: Service) -> str:
    """How the hosts share the connections; here one with too few counts as much as one with too many."""
    spread = service.spread
    if spread is None:
        return ""
    words, least = spread.words, min(spread.values)
    if spread.p_value < SIGNIFICANCE and min(spread.mean / max(least, 1e-9), math.inf) >= EFFECT:
        few = service.places[spread.values.index(least)].name
        words = f"skewed (p < 0.001): {few} has {formatting.share(least, spread.total)}"
    return f"{words} (max/mean {spread.max_over_mean:.2f})"


def where(spotted: Spotted, most: int = 6) -> str:
    """``on 3: a, b, c``."""
    names = list(dict.fromkeys(name for name, _ in spotted.where))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"on {len(names)}: {', '.join(names[:most])}{more}"


def doubts(fleet: Fleet) -> Iterator[str]:
    """What keeps the figures from being whole or comparable."""
    members = fleet.gathered.members
    for folder, reason in fleet.gathered.left_out:
        yield f"left out: {folder} ({reason})"
    for name, member in zip(fleet.names, members, strict=True):
        if member.recording.lost:
            yield f"{name}: {formatting.count(member.recording.lost)} records lost, its figures are too low"
    limitations: dict[str, list[str]] = {}
    for name, member in zip(fleet.names, members, strict=True):
        if member.recording.limitations:
            limitations.setdefault(member.recording.limitations, []).append(name)
    for words, names in limitations.items():
        yield f"{_listed(names)}: {words}"
    for what in ("version", "kernel"):
        found: dict[str, list[str]] = {}
        for name, member in zip(fleet.names, members, strict=True):
            found.setdefault(getattr(member.recording, what), []).append(name)
        if len(found) > 1:
            parts = "; ".join(f"{value} ({_listed(names)})" for value, names in found.items())
            yield f"{'sockscope' if what == 'version' else 'kernels'} differ: {parts}"


def _listed(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"
