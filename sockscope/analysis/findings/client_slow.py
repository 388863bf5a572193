"""Connections are accepted at once, and then nothing comes: the clients take their time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ClientSlow:
    id = "client-slow"
    title = "Clients send their first bytes late"
    needs: tuple[str, ...] = ("data-ready",)

    def look(self, case: Case) -> Iterator[Diagnosis]:
        rows, limits = case.columns, case.thresholds
        both = (rows["first_data_ns"] > 0) & (rows["accepted_ns"] > 0)
        if int(both.sum()) < limits.fewest:
            return
        accepted = rows["accepted_ns"][both].astype(np.int64)
        late = np.maximum(rows["first_data_ns"][both].astype(np.int64) - accepted, 0)
        median = float(np.median(late))
        if median < limits.client_late_ns:
            return
        yield diagnosis(
            self,
            "info",
            case.name,
            f"Half of {formatting.count(len(late))} connections sent their first bytes {formatting.duration(median)} or"
            " more after they were accepted: connections opened in advance, or slow clients. The server"
            " waits for them, not they for it.",
            {"median_ms": round(median / 1e6, 1), "connections": len(late)},
            (
                (
                    "Nothing is wrong with the server. If idle connections cost too much, limit the time to"
                    " the first request, or set TCP_DEFER_ACCEPT on the listener: it then accepts only what"
                    " has data."
                ),
            ),
            weight=0.1,
        )


DETECTOR = ClientSlow()
