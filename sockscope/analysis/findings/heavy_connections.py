"""Connections are shared evenly, but a few of them bring most of the work."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope.analysis.findings._context import Case, Records, percent, shares, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.work_distribution import Figure, sizes_of


class HeavyConnections:
    id = "heavy-connections"
    title = "A few heavy connections load some workers more than others"
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits = case.thresholds
        if not case.enough or len(case.serving) < 2:
            return
        for figure, sizes in self._worst(case):
            top = figure.top
            if top is None or figure.fairness.max_over_mean < limits.effect:
                continue
            few = max(len(sizes) // 10, 1)
            part = float(np.sort(sizes)[::-1][:few].sum()) / float(sizes.sum()) if sizes.sum() else 0.0
            loads = {worker.id: case.load(worker) for worker in case.serving}
            if part < _CONCENTRATED or (figure.name == "bytes" and _bytes_are_cheap(case, top.id)):
                continue
            least = min(load for number, load in loads.items() if number != top.id)
            uneven = case.long_enough and least < limits.slack * loads[top.id]
            suffers = uneven and case.saturated(top)
            yield diagnosis(
                self,
                "warning" if suffers else "notice" if uneven and loads[top.id] >= limits.loaded else "info",
                case.name,
                f"{thread(top)} has {figure.fairness.max_over_mean:.1f} times its fair share of the"
                f" {figure.name} ({shares(figure.values)}), although the connections are spread no worse than"
                f" chance: {few} of {len(sizes)} connections bring {percent(part)} of them. It is at work"
                f" {percent(loads[top.id])} of the time, the idlest worker {percent(least)}.",
                {
                    "figure": figure.name,
                    "shares": shares(figure.values),
                    "max_over_mean": round(figure.fairness.max_over_mean, 3),
                    "heavy_connections": few,
                    "heavy_part": round(part, 4),
                    "busiest_load": round(loads[top.id], 3),
                    "idlest_load": round(least, 3),
                },
                (
                    (
                        "Limit the requests or the age of a connection, so that clients reconnect and are"
                        " shared out anew."
                    ),
                    (
                        "Or spread by request instead of by connection: hand requests to a pool (a proxy in"
                        " front that balances requests does the same)."
                    ),
                ),
                weight=min(1 - 1 / figure.fairness.max_over_mean, 1),
                threads=(),
                explains=(
                    "reader-late",
                    "queue-wait-high",
                    "idle-workers",
                    "loop-stall",
                    "workers-saturated",
                ),
            )
            return

    def _worst(self, case: Case) -> Iterator[tuple[Figure, Records]]:
        figures = case.figures
        if figures.accepts.fairness.judgement == "uneven":
            return
        reads, octets = sizes_of(case.snapshot, case.connections)
        if len(reads):
            yield figures.reads, reads
            yield figures.bytes, octets


#: A tenth of the connections brings at least this part of the work.
_CONCENTRATED = 0.5


def _bytes_are_cheap(case: Case, number: int) -> bool:
    """Whether who moves most bytes is not busier than the others: then bytes are not what costs."""
    loads = case.loads(case.serving)
    return case.load(case.snapshot.workers[number]) < 1.2 * sum(loads) / len(loads)


DETECTOR = HeavyConnections()
