"""Detect hand-offs that move most connections to another CPU."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class HandoffAcrossCpus:
    id = "handoff-across-cpus"
    title = "The hand-off moves connections across CPUs"
    cause = "The acceptor and the reader of a connection run on different CPUs."
    effect = (
        "Each connection costs cache misses and a wake-up of another CPU; clients notice it only at "
        "high rates."
    )
    verify = (
        "Record again: the share of connections read on another CPU than they were accepted on should fall."
    )
    needs: tuple[str, ...] = ("read",)

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits, rows = context.thresholds, context.columns
        if "handoff" not in context.server.model:
            return
        both = (rows["accepted_ns"] > 0) & (rows["first_read_ns"] > 0)
        number = int(both.sum())
        if number < 50:
            return
        crossed = float((rows["accepted_cpu"][both] != rows["first_read_cpu"][both]).mean())
        rate = context.per_second(number * crossed)
        if crossed < limits.crossing:
            return
        costly = rate >= limits.crossing_rate and context.long_enough
        yield diagnosis(
            self,
            context,
            "notice" if costly else "info",
            context.name,
            f"{percent(crossed)} of {formatting.count(number)} connections were read on another CPU than they were"
            f" accepted on ({formatting.count(rate)} per second).",
            {"crossed": round(crossed, 4), "connections": number, "per_second": round(rate, 1)},
            (
                "Let each reader accept from its own socket (SO_REUSEPORT), pinned to a CPU, with a steering"
                " program that selects the member of the CPU that received the packet"
                " (SO_ATTACH_REUSEPORT_CBPF). Do not do that when clients run on the same host.",
                "Or keep connections open longer: one move per connection matters only at high rates.",
            ),
            weight=0.2,
        )


DETECTOR = HandoffAcrossCpus()
