"""How fairly a server's work is shared, as plain values and as lines: one way for all text formats."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from sockscope import formatting
from sockscope.analysis.fairness import Fairness
from sockscope.analysis.fairness_over_time import Stretch, fairness_over_time
from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.analysis.work_distribution import WorkDistribution, WorkShare, get_work_distribution
from sockscope.model.history import HistoryView

_FIGURES = ("total", "max_over_mean", "cv", "noise_cv", "jain", "gini", "chi2", "p_value")
_OVER_TIME = ("total", "max_over_mean", "cv", "noise_cv", "p_value")


def plain_fairness(judged: Fairness) -> dict[str, Any]:
    """A fairness as JSON has it; what has no meaning is null."""
    return {
        **_numbers(judged, _FIGURES),
        "values": list(judged.values),
        "judgement": judged.judgement,
        "words": judged.words,
    }


def plain_shares(frame: Frame, server: Server, history: HistoryView | None) -> list[dict[str, Any]]:
    """Each figure of a server: who shares, how evenly, and how evenly in stretches of time."""
    figures = get_work_distribution(frame.snapshot, server)
    stretches = _stretches(frame, server, figures, history)
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
        for figure in figures
    ]


def fairness_lines(frame: Frame, server: Server, history: HistoryView | None) -> Iterator[str]:
    """One line a figure that several threads share: is it fair, and was it all the time?"""
    figures = get_work_distribution(frame.snapshot, server)
    stretches = _stretches(frame, server, figures, history)
    shared = [figure for figure in figures if len(figure.workers) > 1 and figure.fairness.total]
    width = max((len(figure.name) for figure in shared), default=0)
    for index, figure in enumerate(shared):
        judged = figure.fairness
        chance = f", chance alone gives {judged.noise_cv:.2f}" if not math.isnan(judged.noise_cv) else ""
        head = "fair?" if not index else ""
        yield (
            f"  {head:<11}  {figure.name:<{width}}  {judged.words} (max/mean {judged.max_over_mean:.2f}, "
            f"CV {judged.cv:.2f}{chance}){_changes(frame, figure, stretches)}"
        )


def _changes(frame: Frame, figure: WorkShare, stretches: Sequence[Stretch]) -> str:
    """When it was uneven, if not all the time."""
    uneven = [one for one in stretches if one.fairness[figure.name].judgement == "skewed"]
    if len(stretches) < 2 or not uneven:
        return ""
    worst = max(uneven, key=lambda one: one.fairness[figure.name].max_over_mean)
    begin, end = (
        max(moment - frame.snapshot.started_ns, 0) / 1e9 for moment in (worst.begin_ns, worst.end_ns)
    )
    return (
        f"; uneven in {len(uneven)} of {len(stretches)} stretches, worst from {formatting.duration(begin * 1e9)} to "
        f"{formatting.duration(end * 1e9)}: {worst.fairness[figure.name].max_over_mean:.2f}"
    )


def _stretches(
    frame: Frame, server: Server, figures: WorkDistribution, history: HistoryView | None
) -> tuple[Stretch, ...]:
    return fairness_over_time(history, frame.snapshot, server, figures) if history is not None else ()


def _numbers(judged: Fairness, names: Sequence[str]) -> dict[str, float | None]:
    values = {name: float(getattr(judged, name)) for name in names}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
