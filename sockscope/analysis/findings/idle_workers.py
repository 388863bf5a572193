"""Detect workers that get no work while others of the same kind do."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import ServerContext, percent, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class IdleWorkers:
    id = "idle-workers"
    title = "Some workers get no work"
    cause = "There are more workers than the load needs, or the distribution never reaches some of them."
    effect = "None while the busiest worker has free time; otherwise requests wait although workers are idle."
    verify = "Record again: every worker should read, or their number should match the load."
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        figure = context.figures.reads
        if (
            len(context.serving) < 2
            or not context.enough
            or figure.fairness.judgement not in ("skewed", "insufficient_data")
        ):
            return
        if context.server.connections < 5 * len(context.serving):
            return
        fair_share = figure.fairness.total / len(context.serving)
        idle = [
            w for w, value in zip(figure.workers, figure.values, strict=True) if value < 0.01 * fair_share
        ]
        if not idle:
            return
        busiest = max(context.serving, key=context.load)
        yield diagnosis(
            self,
            context,
            "notice" if context.saturated(busiest) else "info",
            context.name,
            f"{len(idle)} of {len(context.serving)} workers read less than 1 % of a fair share, for example"
            f" {thread_label(idle[0])}. The busiest worker is busy {percent(context.load(busiest))} of the time.",
            {
                "idle": len(idle),
                "workers": len(context.serving),
                "busiest_load": round(context.load(busiest), 3),
            },
            (
                "If the busiest worker has free time, fewer workers suffice.",
                "Otherwise distribute differently: SO_REUSEPORT, or hand off to the least loaded worker.",
            ),
            weight=len(idle) / len(context.serving),
        )


DETECTOR = IdleWorkers()
