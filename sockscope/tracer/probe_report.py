"""Try every attach method of every signal on the running kernel, for ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass

from sockscope.tracer.event_sources import SIGNALS
from sockscope.tracer.feature_probe import FeatureProbe
from sockscope.tracer.selection import select_methods


@dataclass(frozen=True)
class MethodReport:
    """An attach method; ``why_not`` is empty if it is available."""

    name: str
    exact: bool
    limitations: str
    why_not: str


@dataclass(frozen=True)
class SignalReport:
    """A signal; ``method`` is the one that tracing would use, empty if there is none."""

    name: str
    reports: str
    method: str
    exact: bool
    limitations: str
    needed: bool
    methods: tuple[MethodReport, ...]


def report_signals(availability: FeatureProbe) -> tuple[SignalReport, ...]:
    """Try all attach methods, best first, also those after the first available one."""
    chosen = select_methods(availability)
    found = []
    for signal in SIGNALS:
        method = chosen[signal.name]
        found.append(
            SignalReport(
                signal.name,
                signal.reports,
                method.name if method else "",
                method.exact if method else False,
                method.limitations if method else signal.without,
                signal.needed,
                tuple(
                    MethodReport(
                        known.name, known.exact, known.limitations, availability.why_not_method(known)
                    )
                    for known in signal.methods
                ),
            )
        )
    return tuple(found)
