"""Accepts are even, but those that stay are not: long-lived connections pile up on some workers."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import Case, shares, skew_evidence, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class OpenConnectionsSkew:
    id = "open-connections-skew"
    title = "Open connections pile up on some workers"
    needs: tuple[str, ...] = ("read", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        figure, limits = case.figures.open, case.thresholds
        fair, top = figure.fairness, figure.top
        if len(case.serving) < 2 or top is None or fair.total < limits.fewest:
            return
        if fair.judgement != "uneven" or fair.max_over_mean < limits.effect:
            return
        if case.figures.accepts.fairness.judgement == "uneven":
            return
        yield diagnosis(
            self,
            "notice",
            case.name,
            f"Connections are accepted evenly ({shares(case.figures.accepts.values)}), but those open now are"
            f" not: {shares(fair.values)}; {thread(top)} has {fair.max_over_mean:.1f} times its fair share."
            " Connections live longer there, or were opened while other workers were away.",
            skew_evidence("open_connections", figure),
            (
                (
                    "Limit the age of a connection (with some scatter), so that clients reconnect and are"
                    " shared out anew."
                ),
                (
                    "If a worker was restarted lately, its connections went to the others and stay there: the"
                    " same limit heals that."
                ),
            ),
            weight=min(1 - 1 / fair.max_over_mean, 1),
        )


DETECTOR = OpenConnectionsSkew()
