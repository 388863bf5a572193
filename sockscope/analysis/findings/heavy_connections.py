"""Detect a few connections that bring most of the work although connections are distributed evenly."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope.analysis.findings._context import Records, ServerContext, percent, shares, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.work_distribution import WorkShare, get_sizes


class HeavyConnections:
    id = "heavy-connections"
    title = "A few heavy connections overload some workers"
    cause = (
        "Connections are distributed evenly, but a few of them carry most of the work and stay on one worker."
    )
    effect = "Requests on the overloaded worker wait for those of the heavy connections."
    verify = "Record again: the share of the busiest worker should approach 1/n."
    needs: tuple[str, ...] = ("read", "data-ready", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits = context.thresholds
        if not context.enough or len(context.serving) < 2:
            return
        for figure, sizes in self._worst(context):
            top = figure.top
            if top is None or figure.fairness.max_over_mean < limits.effect:
                continue
            few = max(len(sizes) // 10, 1)
            part = float(np.sort(sizes)[::-1][:few].sum()) / float(sizes.sum()) if sizes.sum() else 0.0
            loads = {worker.id: context.load(worker) for worker in context.serving}
            if part < _CONCENTRATED or (figure.name == "bytes" and _bytes_are_cheap(context, top.id)):
                continue
            least = min(load for number, load in loads.items() if number != top.id)
            uneven = context.long_enough and least < limits.slack * loads[top.id]
            suffers = uneven and context.saturated(top)
            yield diagnosis(
                self,
                context,
                "warning" if suffers else "notice" if uneven and loads[top.id] >= limits.loaded else "info",
                context.name,
                f"{thread_label(top)} has {figure.fairness.max_over_mean:.1f} times its fair share of the {figure.name}"
                f" ({shares(figure.values)}); {few} of {len(sizes)} connections bring {percent(part)} of them."
                f" It is busy {percent(loads[top.id])} of the time, the least busy worker {percent(least)}.",
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
                    "Limit the requests or the age of a connection, so that clients reconnect and are"
                    " distributed again.",
                    "Or balance requests instead of connections: a request queue, or a proxy that balances"
                    " requests.",
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

    def _worst(self, context: ServerContext) -> Iterator[tuple[WorkShare, Records]]:
        figures = context.figures
        if figures.accepts.fairness.judgement == "skewed":
            return
        reads, octets = get_sizes(context.snapshot, context.connections)
        if len(reads):
            yield figures.reads, reads
            yield figures.bytes, octets


#: Part of the work that a tenth of the connections brings at least.
_CONCENTRATED = 0.5


def _bytes_are_cheap(context: ServerContext, number: int) -> bool:
    """Return whether the worker that moves most bytes is not busier than the others."""
    loads = context.loads(context.serving)
    return context.load(context.snapshot.workers[number]) < 1.2 * sum(loads) / len(loads)


DETECTOR = HeavyConnections()
