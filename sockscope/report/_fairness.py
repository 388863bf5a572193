"""Fairness as plain values and as lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sockscope import formatting
from sockscope.analysis.fairness import Fairness
from sockscope.analysis.fairness_over_time import Stretch
from sockscope.analysis.server_report import ServerReport
from sockscope.analysis.work_distribution import WorkShare
from sockscope.model.history import HistoryView
from sockscope.report.wording import describe_fairness

_FIGURES = ("total", "max_over_mean", "cv", "noise_cv", "jain", "gini", "chi2", "p_value")
_OVER_TIME = ("total", "max_over_mean", "cv", "noise_cv", "p_value")


def plain_fairness(judged: Fairness) -> dict[str, Any]:
    """Return a fairness as plain values; undefined ones are None."""
    return {
        **_numbers(judged, _FIGURES),
        "values": list(judged.values),
        "judgement": judged.judgement,
        "words": judged.words,
    }


def plain_shares(report: ServerReport, history: HistoryView | None) -> list[dict[str, Any]]:
    """Return each kind of work: its sharers, fairness, and fairness over time."""
    stretches = report.fairness_over_time(history)
    return [
        {
            "figure": figure.name,
            "sharers": [{"pid": worker.pid, "tid": worker.tid} for worker in figure.workers],
            **plain_fairness(figure.fairness),
            "over_time": [
                {
                    "begin_ns": stretch.begin_ns,
                    "end_ns": stretch.end_ns,
                    **_numbers(stretch.fairness[figure.name], _OVER_TIME),
                    "judgement": stretch.fairness[figure.name].judgement,
                }
                for stretch in stretches
            ],
        }
        for figure in report.distribution
    ]


def fairness_lines(report: ServerReport, history: HistoryView | None) -> Iterator[str]:
    """Yield one line per kind of work that several threads share, with its fairness over time."""
    stretches = report.fairness_over_time(history)
    shared = report.shared
    width = max((len(figure.name) for figure in shared), default=0)
    for index, figure in enumerate(shared):
        head = "fairness" if not index else ""
        yield (
            f"  {head:<11}  {figure.name:<{width}}  {describe_fairness(figure.fairness)}"
            f"{_changes(report.snapshot.started_ns, figure, stretches)}"
        )


def _changes(started_ns: int, figure: WorkShare, stretches: Sequence[Stretch]) -> str:
    """Describe when the work was skewed, if not all the time."""
    uneven = [one for one in stretches if one.fairness[figure.name].judgement == "skewed"]
    if len(stretches) < 2 or not uneven:
        return ""
    worst = max(uneven, key=lambda one: one.fairness[figure.name].max_over_mean)
    begin, end = (max(time_ns - started_ns, 0) for time_ns in (worst.begin_ns, worst.end_ns))
    return (
        f"; skewed in {len(uneven)} of {len(stretches)} intervals, worst from {formatting.duration(begin)} to "
        f"{formatting.duration(end)}: max/mean {worst.fairness[figure.name].max_over_mean:.2f}"
    )


def _numbers(judged: Fairness, names: Sequence[str]) -> dict[str, float | None]:
    values = {name: float(getattr(judged, name)) for name in names}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
