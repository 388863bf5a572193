"""The two header lines: target, signals, losses, overhead, recording."""

from __future__ import annotations

from rich.cells import cell_len
from textual.reactive import reactive

from sockscope import formatting
from sockscope.analysis.overhead import Overhead
from sockscope.records.batch import AttachedSignal
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.text_line import Line, fit, plain

#: Cells of the first line that the reason of an end leaves to the project's name and the clock.
_BESIDE = 27


class Header(BaseWidget):
    """The header; lost records and the end of tracing are never cut off."""

    title: reactive[str] = reactive("")
    paused: reactive[bool] = reactive(False)
    recording: reactive[str] = reactive("")
    ended: reactive[str] = reactive("")
    failed: reactive[bool] = reactive(False)
    replaying: reactive[bool] = reactive(False)

    def watch_title(self) -> None:
        self.redraw()

    watch_paused = watch_recording = watch_ended = watch_failed = watch_replaying = watch_title

    def draw(self, width: int, height: int) -> list[Line]:
        return [self._first(width), self._second(width)]

    def _first(self, width: int) -> Line:
        style = self.palette.style
        state: list[tuple[str, object]] = []
        if self.recording:
            name = self.recording.rsplit("/", 1)[-1]
            state.append((f" ● recording {_cut(plain(name), width // 2)} ", style("bold critical")))
        if self.ended:
            why = _cut(plain(self.ended), width - _BESIDE - sum(cell_len(text) for text, _ in state))
            state.append((f" ■ {why} ", style("bold critical" if self.failed else "bold warning")))
        elif self.paused:
            state.append((" ‖ paused, still collecting: p resumes ", style("reverse warning")))
        elif self.replaying:
            state.append((" recording ", style("bold accent")))
        else:
            if not self.recording and width >= 110:
                state.append((" not recording ", style("muted")))
            state.append((" ● live ", style("good")))
        if self.context:
            state.append((f" {_clock(self.context.frame.snapshot.elapsed_ns)} ", style("text")))
        used = sum(cell_len(text) for text, _ in state)
        line = Line().add(" sockscope ", style("reverse bold accent")).add(" ")
        room = max(width - used - line.width - 1, 0)
        host = f"  on {plain(self.context.frame.meta.host)}" if self.context else ""
        line.add(formatting.printable(self.title)[:room], style("bold text"))
        if line.width + len(host) + used < width:
            line.add(host, style("muted"))
        return line.end(width, *state)  # type: ignore[arg-type]

    def _second(self, width: int) -> Line:
        line, style = Line(), self.palette.style
        if self.context is None:
            return line.add(" starting: loading the probes …", style("muted"))
        frame = self.context.frame
        health = frame.snapshot.health
        lost = sum(number for _, number in health.lost)
        if lost:
            why = max(health.lost, key=lambda pair: pair[1])[0]
            line.add(f" ! {formatting.count(lost)} records lost", style("bold critical"))
            line.add(f" ({plain(why)})" if width >= 110 else "", style("critical"))
        else:
            line.add(" nothing lost", style("good"))
        parts = [
            _signals(frame.meta.signals, short=width < 110),
            _cost(frame.overhead, short=width < 100),
        ]
        if health.cost.resident_bytes and width >= 110:
            parts.append(f"{formatting.size(health.cost.resident_bytes)} memory")
        for part in parts:
            if part and line.width + 5 + len(part) <= width:
                line.add("  │  ", style("faint")).add(part, style("muted"))
        for note in health.notes[:1] if line.width + 16 < width else ():
            line.add("  │  ", style("faint")).add(
                plain(note)[: max(width - line.width - 5, 0)], style("warning")
            )
        return line


def _signals(signals: tuple[AttachedSignal, ...], *, short: bool) -> str:
    missing = [plain(signal.name) for signal in signals if not signal.method]
    seen = f"{len(signals) - len(missing)} of {len(signals)} signals"
    if not missing or short:
        return seen
    return f"{seen} (without {', '.join(missing)})"


def _cost(cost: Overhead | None, *, short: bool) -> str:
    if cost is None:
        return ""
    percent = 100 * (cost.user_share + (cost.probe_share or 0))
    each = f", {formatting.duration(cost.request_ns)} per request" if cost.request_ns else ""
    if short:
        return f"overhead {percent:.1f} %{each}"
    event = f", {formatting.duration(cost.event_ns)} per event" if cost.event_ns else ""
    return f"overhead {percent:.1f} % of a CPU{event}{each}"


def _cut(text: str, most: int) -> str:
    return text if cell_len(text) <= most else fit(text, max(most, 1))


def _clock(ns: int) -> str:
    seconds = ns // 10**9
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
