"""Whether a report can be trusted: what was lost, what was seen only in part, what tracing cost."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.analysis.overhead import measure_overhead
from sockscope.analysis.signal_requirements import NOT_TRACED
from sockscope.model.connection_io import is_exact
from sockscope.report._json_connections import WHY_INEXACT
from sockscope.report.html.markup import Safe, table, tag


def health(frame: Frame) -> Iterator[Safe]:
    """Sections of the page."""
    snapshot = frame.snapshot
    if snapshot.health.lost:
        yield table(
            "Lost records",
            ("what", "how many"),
            [(what, formatting.count(number)) for what, number in snapshot.health.lost],
        )
    else:
        yield tag(
            "p", tag("span", "nothing lost", class_="badge good"), "Everything that happened was recorded."
        )
    yield tag("p", exactness(frame))
    limitations = [signal for signal in frame.meta.signals if signal.limitations]
    if limitations:
        yield table(
            "What was not traced, or is told less well", ("signal", "got by", "so"),
            [(signal.name, signal.method or NOT_TRACED, signal.limitations) for signal in limitations], figures=3,
        )  # fmt: skip
    if snapshot.health.notes:
        yield tag("ul", [tag("li", note) for note in snapshot.health.notes])
    yield tag("p", cost(frame), class_="hint")
    if frame.meta.command:
        yield tag("p", "Recorded with ", tag("code", frame.meta.command), class_="hint")


def exactness(frame: Frame) -> str:
    """How many connections were seen whole, and why the others were not."""
    records = frame.snapshot.connections
    if not len(records):
        return "No connection was seen."
    exact = int(np.count_nonzero(is_exact(records)))
    words = f"{formatting.count(exact)} of {formatting.count(len(records))} connections were seen whole, from the handshake on"
    reasons = []
    for flag, reason in WHY_INEXACT:
        if number := int(np.count_nonzero(records["flags"] & int(flag))):
            reasons.append(f"{formatting.count(number)} {reason}")
    return f"{words}; {'; '.join(reasons)}." if reasons else f"{words}."


def cost(frame: Frame) -> str:
    """What tracing cost the host."""
    spent = measure_overhead(frame.snapshot)
    if spent is None:
        return "What tracing cost was not measured."
    words = f"Tracing cost {100 * spent.user_share:.1f} % of a CPU in user space and {formatting.size(spent.resident_bytes)}"
    if spent.probe_share is not None and spent.event_ns is not None:
        request = f" {formatting.duration(spent.request_ns)} a request," if spent.request_ns else ""
        words += (
            f", and in the kernel {formatting.duration(spent.event_ns)} an event,{request}"
            f" {100 * spent.probe_share:.2f} % of a CPU while that was measured"
        )
    return words + "."
