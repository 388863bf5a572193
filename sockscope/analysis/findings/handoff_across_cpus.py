"""Each connection is accepted on one CPU and read on another."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class HandoffAcrossCpus:
    id = "handoff-across-cpus"
    title = "The hand-off moves connections across CPUs"
    needs: tuple[str, ...] = ("read",)

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits, rows = case.thresholds, case.columns
        if "handoff" not in case.server.model:
            return
        both = (rows["accepted_ns"] > 0) & (rows["first_read_ns"] > 0)
        number = int(both.sum())
        if number < 50:
            return
        crossed = float((rows["accepted_cpu"][both] != rows["first_read_cpu"][both]).mean())
        rate = case.per_second(number * crossed)
        if crossed < limits.crossing:
            return
        costly = rate >= limits.crossing_rate and case.long_enough
        yield diagnosis(
            self,
            "notice" if costly else "info",
            case.name,
            f"{percent(crossed)} of {formatting.count(number)} connections were read on another CPU than they were"
            f" accepted on ({formatting.count(rate)} a second): their state moves from cache to cache, and each"
            " hand-off wakes another CPU.",
            {"crossed": round(crossed, 4), "connections": number, "per_second": round(rate, 1)},
            (
                (
                    "Let each reader accept on its own socket (SO_REUSEPORT), pinned to a CPU, with a"
                    " steering program that picks the member of the CPU that took the packet"
                    " (SO_ATTACH_REUSEPORT_CBPF)."
                ),
                "Or keep connections open longer: one move a connection matters only when there are many.",
            ),
            weight=0.2,
        )


DETECTOR = HandoffAcrossCpus()
