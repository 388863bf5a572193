"""A prediction as text."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sockscope.formatting import duration
from sockscope.whatif.predict import Interval, Prediction, Times, WhatIf

TIMES = (
    ("queue wait", "queue_wait"),
    ("data wait", "data_wait"),
    ("reply time", "reply"),
    ("total", "total"),
)


def render(results: tuple[WhatIf, ...]) -> str:
    """Return one section per server."""
    return "\n".join(line for result in results for line in (*_section(result), ""))


def _section(result: WhatIf) -> Iterator[str]:
    workload, setup = result.workload, result.workload.setup
    yield f"{workload.name}: {workload.model}, {setup.workers} workers, {workload.connections:,} connections"
    loop = f"closed loop of {setup.clients} clients" if setup.clients else "open loop (arrivals as recorded)"
    yield f"  clients: {loop}; CPUs available: {setup.cpus:.3g}; blocked part of the demand: {workload.blocked_share:.0%}"
    for assumption in workload.assumptions:
        yield f"  assumed: {assumption}"
    for warning in result.warnings:
        yield f"  warning: {warning}"
    for each in result.alternatives:
        if each.sentence:
            yield f"  → {each.sentence}"
    yield ""
    yield from _table("measured", result.measured, is_measured=True)
    yield from _table("simulated as recorded", result.as_recorded)
    for each in result.alternatives:
        yield from _table(each.alternative.name, each)


def _table(title: str, found: Prediction, is_measured: bool = False) -> Iterator[str]:
    yield f"  {title}"
    rows = [["", "p50", "p90", "p99", "max"]]
    for name, field in TIMES:
        times: Times = getattr(found, field)
        rows.append([name, *map(time_text, (times.p50, times.p90, times.p99, times.longest))])
    widths = [max(len(row[at]) for row in rows) for at in range(5)]
    for name, *cells in rows:
        yield f"    {name:{widths[0]}}" + "".join(
            f"  {cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True)
        )
    overflow = f"{found.overflows.value:,.0f} dropped handshakes"
    figures = [
        f"share max/mean {_number(found.max_over_mean)}",
        f"utilisation {found.utilisation.value:.0%}",
        f"longest queue {found.queue_max.value:.0f}",
        overflow,
    ]
    figures += [f"{found.failed:,} clients gave up"] if found.failed else []
    if not is_measured and found.saturation:
        figures.append(saturation_text(found.saturation))
    yield f"    {', '.join(figures)}"


def saturation_text(load: float) -> str:
    """At which load p99 doubles."""
    return f"p99 doubles at load ×{load:.2g}" if math.isfinite(load) else "p99 does not double up to load ×16"


def time_text(interval: Interval) -> str:
    """``12 ms (9–16 ms)``."""
    value = duration(interval.value * 1e9)
    if interval.low == interval.high:
        return value
    return f"{value} ({duration(interval.low * 1e9)}–{duration(interval.high * 1e9)})"


def _number(interval: Interval) -> str:
    if interval.low == interval.high:
        return f"{interval.value:.2f}"
    return f"{interval.value:.2f} ({interval.low:.2f}–{interval.high:.2f})"
