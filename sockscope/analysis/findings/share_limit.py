"""Compare the largest share of accepts with the limit given by the user."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import ServerContext, percent, shares, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ShareLimit:
    id = "share-above-limit"
    title = "A worker's share of accepts exceeds the limit"
    cause = "The limit was set by --max-share or max_share."
    effect = "Connections on this worker wait for each other."
    verify = "Run the same check again: the largest share should be within the limit."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        figure, limit = context.figures.accepts, context.thresholds.max_share
        top = figure.top
        if limit >= 1 or not context.enough or top is None:
            return
        part = max(figure.fairness.shares)
        if part <= limit:
            return
        yield diagnosis(
            self,
            context,
            "warning",
            context.name,
            f"{thread_label(top)} accepted {percent(part)} of the connections ({shares(figure.values)}); limit"
            f" {percent(limit)}.",
            {"share": round(part, 4), "limit": limit, "accepts": shares(figure.values)},
            ("See the other findings for the cause, or raise the limit.",),
            weight=0.3,
        )


DETECTOR = ShareLimit()
