"""A limit that the user set: no worker may accept more than this part of the connections."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import Case, percent, shares, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ShareLimit:
    id = "share-above-limit"
    title = "A worker accepts more than the limit allows"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        figure, limit = case.figures.accepts, case.thresholds.max_share
        top = figure.top
        if limit >= 1 or not case.enough or top is None:
            return
        part = max(figure.fairness.shares)
        if part <= limit:
            return
        yield diagnosis(
            self,
            "warning",
            case.name,
            f"{thread(top)} accepted {percent(part)} of the connections ({shares(figure.values)}); the limit"
            f" is {percent(limit)}.",
            {"share": round(part, 4), "limit": limit, "accepts": shares(figure.values)},
            ("The limit is yours (max-share): see the other findings for a cause, or raise it.",),
            weight=0.3,
        )


DETECTOR = ShareLimit()
