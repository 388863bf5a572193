"""A prediction as an HTML page: the distributions of the measured and the predicted total time, and the figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sockscope import formatting
from sockscope.model.histogram import EDGES
from sockscope.report.html.charts import waits
from sockscope.report.html.charts.svg import need_matplotlib
from sockscope.report.html.components import Card, Cell, Figure, Table
from sockscope.report.html.environment import render_template
from sockscope.whatif.predict import Interval, Prediction, Times, WhatIf
from sockscope.whatif.text import TIMES, saturation_text

#: Curves in one chart, the measured one included.
_CURVES = 6


@dataclass(frozen=True)
class WhatIfSection:
    """The section of one server."""

    heading: str
    cards: tuple[Card, ...]
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    assumptions: tuple[str, ...]
    figures: tuple[Figure, ...]
    times: tuple[Table, ...]
    others: Table


def render(results: tuple[WhatIf, ...]) -> str:
    """Return the whole page.

    :raises SockscopeError: if matplotlib is not installed
    """
    need_matplotlib()
    sections = tuple(_build_section(result, f"w{index}") for index, result in enumerate(results))
    names = ", ".join(result.workload.name for result in results)
    return render_template("what_if.html", title=f"What if: {names}", sections=sections)


def _build_section(result: WhatIf, anchor: str) -> WhatIfSection:
    workload, setup = result.workload, result.workload.setup
    clients = (
        f"closed loop of {setup.clients} clients" if setup.clients else "open loop, arrivals as recorded"
    )
    every = (
        ("measured", result.measured),
        ("simulated as recorded", result.as_recorded),
        *((each.alternative.name, each) for each in result.alternatives),
    )
    return WhatIfSection(
        heading=workload.name,
        cards=(
            Card(
                "Recorded",
                (f"{workload.model}, {setup.workers} workers", f"{workload.connections:,} connections"),
            ),
            Card("Clients", (clients,)),
            Card(
                "CPUs", (f"{setup.cpus:.3g} available", f"{workload.blocked_share:.0%} of the demand blocked")
            ),
        ),
        sentences=tuple(each.sentence for each in result.alternatives),
        warnings=result.warnings,
        assumptions=workload.assumptions,
        figures=tuple(_build_figures(every, anchor)),
        times=tuple(_build_times(title, field, every) for title, field in TIMES),
        others=_build_others(every),
    )


def _build_figures(every: tuple[tuple[str, Prediction], ...], anchor: str) -> list[Figure]:
    # as recorded, the simulation is no alternative: its figures are in the tables
    shown = [every[0], *every[2:]][:_CURVES]
    counts = {name: np.histogram(each.totals * 1e9, EDGES)[0] for name, each in shown}
    alt = "total time, measured and predicted; the tables below have the numbers"
    return [
        Figure("How often", (waits.histogram(f"{anchor}-h", counts, alt).svg,)),
        Figure("By percentile", (waits.percentiles(f"{anchor}-p", counts, alt).svg,)),
    ]


def _build_times(title: str, field: str, every: tuple[tuple[str, Prediction], ...]) -> Table:
    rows: list[tuple[str | Cell, ...]] = []
    for name, each in every:
        times: Times = getattr(each, field)
        cells = (times.p50, times.p90, times.p99, times.longest)
        rows.append((name, *(_build_cell(interval) for interval in cells)))
    heading = title[0].upper() + title[1:]
    return Table(heading, ("setup", "p50", "p90", "p99", "max"), tuple(rows))


def _build_cell(interval: Interval) -> Cell:
    low, high = formatting.duration(interval.low * 1e9), formatting.duration(interval.high * 1e9)
    note = f"{low}–{high}" if low != high else ""
    return Cell(formatting.duration(interval.value * 1e9), note=note)


def _build_others(every: tuple[tuple[str, Prediction], ...]) -> Table:
    rows: list[tuple[str | Cell, ...]] = [
        (
            name,
            f"{each.max_over_mean.value:.2f}",
            f"{each.utilisation.value:.0%}",
            f"{each.queue_max.value:.0f}",
            f"{each.overflows.value:,.0f}",
            saturation_text(each.saturation) if each.saturation else "–",
        )
        for name, each in every
    ]
    head = ("setup", "share max/mean", "utilisation", "longest queue", "dropped handshakes", "saturation")
    return Table("Shares, queues and saturation", head, tuple(rows))
