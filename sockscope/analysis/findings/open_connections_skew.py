"""Detect long-lived connections that accumulate on some workers although accepts are even."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import ServerContext, shares, skew_evidence, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class OpenConnectionsSkew:
    id = "open-connections-skew"
    title = "Open connections accumulate on some workers"
    cause = "Connections live longer on some workers, or were opened while other workers were down."
    effect = "The workers with more open connections get more requests and become slower."
    verify = (
        "After connections have been recycled, open connections per worker should be within random variation."
    )
    needs: tuple[str, ...] = ("read", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        figure, limits = context.figures.open, context.thresholds
        fair, top = figure.fairness, figure.top
        if len(context.serving) < 2 or top is None or fair.total < limits.fewest:
            return
        if fair.judgement != "skewed" or fair.max_over_mean < limits.effect:
            return
        if context.figures.accepts.fairness.judgement == "skewed":
            return
        yield diagnosis(
            self,
            context,
            "notice",
            context.name,
            f"Accepts are even ({shares(context.figures.accepts.values)}), open connections are not"
            f" ({shares(fair.values)}): {thread_label(top)} has {fair.max_over_mean:.1f} times its fair share.",
            skew_evidence("open_connections", figure),
            (
                "Limit the age of connections (with random variation), so that clients reconnect and are"
                " distributed again.",
                "If a worker was restarted recently, its connections went to the others and stay there: the"
                " same limit corrects that.",
            ),
            weight=min(1 - 1 / fair.max_over_mean, 1),
        )


DETECTOR = OpenConnectionsSkew()
