"""Detect clients that send their first bytes long after they are accepted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ClientSlow:
    id = "client-slow"
    title = "Clients send their first bytes late"
    cause = "Clients open connections in advance, or are slow."
    effect = "None: the server waits for the clients."
    verify = "Nothing needs to change; the median delay shows the behaviour of the clients."
    needs: tuple[str, ...] = ("data-ready",)

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        rows, limits = context.columns, context.thresholds
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
            context,
            "info",
            context.name,
            f"Half of {formatting.count(len(late))} connections sent their first bytes"
            f" {formatting.duration(median)} or more after accept().",
            {"median_ms": round(median / 1e6, 1), "connections": len(late)},
            (
                "No change is needed. If idle connections cost too much, limit the time to the first request,"
                " or set TCP_DEFER_ACCEPT so that only connections with data are accepted.",
            ),
            weight=0.1,
        )


DETECTOR = ClientSlow()
