"""Every signal and every way to it, tried on the running kernel: what ``doctor`` tells."""

from __future__ import annotations

from dataclasses import dataclass

from sockscope.tracer.event_sources import SIGNALS
from sockscope.tracer.feature_probe import Availability
from sockscope.tracer.selection import choose


@dataclass(frozen=True)
class TriedWay:
    """A way: ``why_not`` is empty when it can be taken here."""

    name: str
    exact: bool
    weaker: str
    why_not: str


@dataclass(frozen=True)
class TriedSignal:
    """A signal: ``way`` is the one that tracing would take, empty when there is none."""

    name: str
    tells: str
    way: str
    exact: bool
    weaker: str
    needed: bool
    ways: tuple[TriedWay, ...]


def examine_signals(availability: Availability) -> tuple[TriedSignal, ...]:
    """Try all ways, best first, and those behind the first that works too."""
    chosen = choose(availability)
    found = []
    for signal in SIGNALS:
        way = chosen[signal.name]
        found.append(
            TriedSignal(
                signal.name,
                signal.tells,
                way.name if way else "",
                way.exact if way else False,
                way.weaker if way else signal.without,
                signal.needed,
                tuple(
                    TriedWay(known.name, known.exact, known.weaker, availability.why_not_way(known))
                    for known in signal.ways
                ),
            )
        )
    return tuple(found)
