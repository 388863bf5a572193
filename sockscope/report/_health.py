"""Whether a report can be trusted: what was lost, what was seen only in part, what tracing cost."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.analysis.signal_requirements import NOT_TRACED
from sockscope.report.html.markup import Safe, table, tag
from sockscope.report.wording import describe_exactness, describe_overhead


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
        yield tag("p", tag("span", "nothing lost", class_="badge good"), "Every event was recorded.")
    yield tag("p", describe_exactness(frame))
    limitations = [signal for signal in frame.meta.signals if signal.limitations]
    if limitations:
        yield table(
            "Signals that were not traced, or with limitations", ("signal", "attach method", "limitations"),
            [(signal.name, signal.method or NOT_TRACED, signal.limitations) for signal in limitations], figures=3,
        )  # fmt: skip
    if snapshot.health.notes:
        yield tag("ul", [tag("li", note) for note in snapshot.health.notes])
    yield tag("p", describe_overhead(frame), class_="hint")
    if frame.meta.command:
        yield tag("p", "Recorded with ", tag("code", frame.meta.command), class_="hint")
