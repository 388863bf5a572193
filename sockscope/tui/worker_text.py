"""The text of one worker: work, hand-offs and histograms."""

from __future__ import annotations

from collections import Counter

from sockscope import formatting
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.model.snapshot import Worker
from sockscope.tui.data_source import FrameContext
from sockscope.tui.labels import get_role_labels, thread_label, worker_label
from sockscope.tui.text_line import Line, columns, sparkline
from sockscope.tui.themes import Palette
from sockscope.tui.widgets.distribution import distribution

_ROLES = {"L": "listened", "A": "accepts", "R": "reads", "W": "answers", "·": "worker woken by a reader"}
#: histogram, title, what one measurement is, colour
_CHARTS = (
    ("queue_wait", "Queue wait", "acceptor"),
    ("data_wait", "Data wait", "reader"),
    ("answer", "Reply time", "writer"),
    ("stall", "Loop stalls", "worker"),
)
_CHART_WIDTH = 26


def facts(context: FrameContext, number: int, palette: Palette, width: int) -> list[Line]:
    """Return identity, work, loop statistics and hand-offs of a worker."""
    style = palette.style
    worker = context.frame.snapshot.workers.get(number)
    if worker is None:
        return [Line().add(" this thread is not known at this time of the recording", style("warning"))]
    roles = ", ".join(_ROLES[letter] for letter in get_role_labels(context.frame)[worker.id])
    title = Line().add(f" {worker_label(worker)} ", style("bold text"))
    title.add(f"of process {worker.pid}   {roles}", style("accent"))
    if worker.ended_ns:
        title.add("   ended", style("warning"))
    return [title, _numbers(context, worker, palette, width), _loop(context, worker, palette, width),
            *_over_time(context, worker, palette, width), *_handoffs(context, worker, palette, width)]  # fmt: skip


def charts(context: FrameContext, number: int, palette: Palette, width: int, height: int) -> list[Line]:
    """Return its histograms side by side, as many as fit; empty ones are dropped first."""
    worker = context.frame.snapshot.workers.get(number)
    if worker is None:
        return []
    most = max(min(width // _CHART_WIDTH, len(_CHARTS)), 1)
    known = [chart for chart in _CHARTS if is_traced(context.frame.snapshot, chart[0])]
    filled = [chart for chart in known if getattr(worker, chart[0]).any()]
    keep = sorted(known, key=lambda chart: (chart not in filled, chart[0] == "answer"))[:most]
    chosen = [chart for chart in known if chart in keep]
    wide = width // len(chosen)
    blocks = [
        distribution(title, getattr(worker, name), wide - 2, height, palette, colour)
        for name, title, colour in chosen
    ]
    lines = []
    for row in range(max(len(block) for block in blocks)):
        line = Line()
        for index, block in enumerate(blocks):
            line.to(index * wide + 1)
            for segment in block[row].segments if row < len(block) else ():
                line.add(segment.text, segment.style)
        lines.append(line)
    return lines


def _numbers(context: FrameContext, worker: Worker, palette: Palette, width: int) -> Line:
    pairs = [
        (name, number, float(context.history.rates(series, [worker.id])[0]))
        for name, series, number in (
            ("accepted", "accepts", worker.accepts), ("reads", "reads", worker.reads),
            ("answers", "answers", worker.writes),
        )
        if is_traced(context.frame.snapshot, series)
    ]  # fmt: skip
    line = Line().add(" ")
    for name, number, rate in pairs:
        _pair(line, palette, name, f"{formatting.count(number)} ({formatting.count(rate)}/s)")
    if width - line.width > 32:
        for name, figure in (("bytes in", "bytes_read"), ("out", "bytes_written")):
            if is_traced(context.frame.snapshot, figure):
                _pair(line, palette, name, formatting.size(getattr(worker, figure)))
    return line


def _loop(context: FrameContext, worker: Worker, palette: Palette, width: int) -> Line:
    busy, cpu = (float(context.history.rates(name, [worker.id])[0]) / 1e7 for name in ("busy", "cpu"))
    snapshot = context.frame.snapshot
    line = Line().add(" ")
    waits = is_traced(snapshot, "busy")
    _pair(line, palette, "busy", f"{busy:.0f} %" if waits else NOT_TRACED)
    _pair(line, palette, "CPU", f"{cpu:.0f} %")
    if waits:
        wasted = formatting.share(worker.wakeups_spurious, worker.wakeups)
        vain = f", {wasted} for nothing" if is_traced(snapshot, "wasted") else ""
        _pair(line, palette, "wake-ups", f"{formatting.count(worker.wakeups)}{vain}")
    if worker.stall_max_ns:
        ago = formatting.duration(context.frame.snapshot.time_ns - worker.stall_max_at_ns)
        _pair(line, palette, "longest stall", formatting.duration(worker.stall_max_ns))
        if width - line.width > len(ago) + 5:
            line.add(f"{ago} ago", palette.style("muted"))
    return line


def _over_time(context: FrameContext, worker: Worker, palette: Palette, width: int) -> list[Line]:
    """Return its last minutes: busy share and longest stall per tick."""
    room = (width - 50) // 2
    if room < 12 or not context.history.ticks or not is_traced(context.frame.snapshot, "busy"):
        return []
    style, history = palette.style, context.history
    busy = list(history.worker("busy", [worker.id])[0] / (history.seconds * 1e9))
    stalls = list(history.worker("stall", [worker.id])[0])
    # what is not known yet takes no room
    busy, stalls = (columns(values, min(room, 60)) for values in (busy, stalls))
    line = Line().add(" busy over time ", style("muted")).add(sparkline(busy, len(busy), 1.0), style("good"))
    line.add("   longest stall of each tick ", style("muted"))
    return [line.add(sparkline(stalls, len(stalls)), style("worker"))]


def _handoffs(context: FrameContext, worker: Worker, palette: Palette, width: int) -> list[Line]:
    frame, given, taken, woken, called = context.frame, *(Counter[int]() for _ in range(4))
    for flow, count in zip(frame.snapshot.roles, frame.snapshot.role_counts, strict=True):
        acceptor, reader = int(flow["acceptor"]), int(flow["reader"])
        if acceptor and reader and acceptor != reader:
            if acceptor == worker.id:
                given[reader] += int(count)
            if reader == worker.id:
                taken[acceptor] += int(count)
    by_tid = {(item.pid, item.tid): item.id for item in frame.snapshot.workers.values()}
    for wake in frame.snapshot.wakes:
        if wake.waker == worker.id:
            woken[by_tid.get((worker.pid, wake.wakee), 0)] += wake.after_read
        waker = frame.snapshot.workers.get(wake.waker)
        if waker is not None and (waker.pid, wake.wakee) == (worker.pid, worker.tid):
            called[waker.id] += wake.after_read
    lines = []
    for words, counted in (
        ("hands connections to", given),
        ("gets connections from", taken),
        ("dispatches requests to", woken),
        ("receives requests from", called),
    ):
        named = [(number, times) for number, times in counted.most_common() if number and times]
        if named:
            line = Line().add(f" {words} ", palette.style("muted"))
            for number, times in named:
                text = f"{thread_label(frame, number)} ×{formatting.count(times)}  "
                if line.width + len(text) + 8 > width:
                    line.add("…", palette.style("muted"))
                    break
                line.add(text, palette.style("reader"))
            lines.append(line)
    none = "no hand-off: it reads what it accepts" if worker.accepts else "no hand-off observed"
    if not is_traced(frame.snapshot, "handed"):
        none = f"hand-offs: {NOT_TRACED}"
    return lines or [Line().add(f" {none}", palette.style("muted"))]


def _pair(line: Line, palette: Palette, name: str, value: str) -> Line:
    return line.add(f"{name} ", palette.style("muted")).add(value, palette.style("text")).add("   ")
