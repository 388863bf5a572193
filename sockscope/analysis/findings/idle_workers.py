"""Workers that get nothing while others work."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import Case, percent, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class IdleWorkers:
    id = "idle-workers"
    title = "Some workers get nothing to do"
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        figure = case.figures.reads
        if len(case.serving) < 2 or not case.enough or figure.fairness.judgement not in ("uneven", "too few"):
            return
        if case.server.connections < 5 * len(case.serving):
            return
        fair_share = figure.fairness.total / len(case.serving)
        idle = [
            w for w, value in zip(figure.workers, figure.values, strict=True) if value < 0.01 * fair_share
        ]
        if not idle:
            return
        busiest = max(case.serving, key=case.load)
        yield diagnosis(
            self,
            "notice" if case.saturated(busiest) else "info",
            case.name,
            f"{len(idle)} of {len(case.serving)} workers of one kind got nothing to read, such as"
            f" {thread(idle[0])}; the busiest is at work {percent(case.load(busiest))} of the time.",
            {
                "idle": len(idle),
                "workers": len(case.serving),
                "busiest_load": round(case.load(busiest), 3),
            },
            (
                (
                    "If the busiest has time to spare, fewer workers would do: they cost memory, and their"
                    " caches are cold."
                ),
                "If it has not, share differently: SO_REUSEPORT, or hand off to the least loaded.",
            ),
            weight=len(idle) / len(case.serving),
        )


DETECTOR = IdleWorkers()
