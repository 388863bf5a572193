"""The flow of connections through one server, drawn by its model, with rates on the arrows."""

from __future__ import annotations

from dataclasses import replace

from textual.reactive import reactive

from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.canvas import Canvas
from sockscope.tui.flow_model import SOCKET, Flow, Row, Stage, build_flow
from sockscope.tui.labels import find_server
from sockscope.tui.text_line import Line, bar, fit

_CLIENTS = 9


class FlowMap(BaseWidget):
    """The flow: clients → queues → acceptors → readers or workers."""

    server: reactive[str] = reactive("")

    def watch_server(self) -> None:
        self.redraw()

    def wanted_height(self, width: int) -> int:
        server = find_server(self.context.frame, self.server) if self.context else None
        if server is None or self.context is None:
            return 3
        return max(len(station.rows) for station in build_flow(self.context, server).stages) + 2

    def draw(self, width: int, height: int) -> list[Line]:
        server = find_server(self.context.frame, self.server) if self.context else None
        if server is None or self.context is None:
            return [Line().add("  no server to draw yet", self.palette.style("muted"))]
        flow = build_flow(self.context, server)
        canvas = Canvas(width, height)
        self._draw(canvas, flow)
        return canvas.lines()

    def _draw(self, canvas: Canvas, flow: Flow) -> None:
        style = self.palette.style
        narrow = canvas.width < 100
        margin = 0 if narrow else _CLIENTS
        said = [words.replace(" reads", "") for words in flow.arrows] if narrow else list(flow.arrows)
        arrows = [max(8, len(words) + (4 if narrow else 5)) for words in said]
        room = canvas.width - margin - 1 - sum(arrows)
        stages = tuple(_without_rate(station) if narrow else station for station in flow.stages)
        if narrow and sum(_least(station, narrow) for station in stages) > room:
            stages = tuple(_bare(station) for station in stages)  # the heat map below has the rates
        widths = _widths([_least(station, narrow) for station in stages], room)
        more = max(min((room - sum(widths)) // len(stages), 28), 0)
        rows = max(1, min(max(len(station.rows) for station in flow.stages), canvas.height - 2))
        middle = rows // 2 + 1 if rows > 1 else 1
        canvas.put(0 if narrow else 1, middle - 1 if narrow else middle, "clients", style("bold text"))
        x, source = margin, [middle]
        for index, (station, words, wide) in enumerate(zip(stages, said, widths, strict=True)):
            arrow = arrows[index] + more
            count = min(len(station.rows), rows)
            top = 0 if count == rows else middle - (count + 1) // 2
            targets = [top + 1 + row for row in range(count)]
            straight = flow.paired and index == 1 and len(source) == len(targets)
            self._arrows(canvas, x, arrow, source, targets, words, straight, middle)
            x += arrow
            self._station(canvas, station, x, top, wide, count)
            x, source = x + wide, targets
        del source

    def _station(self, canvas: Canvas, station: Stage, x: int, top: int, width: int, count: int) -> None:
        style = self.palette.style
        canvas.box(
            x,
            top,
            width,
            count + 2,
            style("faint"),
            _title(station.title, width - 4),
            style(f"bold {station.colour}"),
        )
        shown: list[Row | None] = list(station.rows[:count])
        if len(station.rows) > count:
            shown[-1] = None
        for offset, row in enumerate(shown):
            y, inner = top + 1 + offset, width - 4
            if row is None:
                canvas.put(
                    x + 2, y, fit(f"… and {len(station.rows) - count + 1} more", inner), style("muted")
                )
                continue
            words = row.words
            gauge = 6 if inner >= len(words) + 20 else 4 if inner >= len(words) + 16 else 0
            name = inner - len(words) - gauge - (2 if gauge else 1)
            canvas.put(x + 2, y, fit(_shortened(row.name, name), name), style(station.colour))
            if gauge and row.part is not None:
                canvas.put(
                    x + 2 + name + 1,
                    y,
                    bar(row.part, gauge),
                    style(row.style if row.style != "text" else "good"),
                )
            canvas.put(
                x + 2 + inner - len(words),
                y,
                words,
                style("bold text" if row.style == "text" else f"bold {row.style}"),
            )

    def _arrows(
        self,
        canvas: Canvas,
        x: int,
        width: int,
        source: list[int],
        target: list[int],
        words: str,
        straight: bool,
        middle: int,
    ) -> None:
        style = self.palette.style
        line, lit = style("muted"), style("bold text")
        if straight:
            for y in target:
                canvas.put(x, y, "─" * (width - 1) + "▶", line)
            return
        # lines gather on one post, pass the words, and spread on another
        y = source[0] if len(source) == 1 else target[0] if len(target) == 1 else middle
        left, right = x, x + width - 3
        if len(source) > 1:
            self._post(canvas, x + 1, source, y, line, out=False)
            left = x + 2
        if len(target) > 1:
            self._post(canvas, right, target, y, line, out=True)
        else:
            canvas.put(right, y, "──▶", line)
        canvas.put(left, y, "─" * (right - left), line)
        canvas.put(left + max((right - left - len(words)) // 2, 0), y, words, lit)

    def _post(self, canvas: Canvas, x: int, ends: list[int], y: int, style: object, *, out: bool) -> None:
        top, bottom = min(*ends, y), max(*ends, y)
        for row in range(top, bottom + 1):
            up, down = row > top, row < bottom
            branch, trunk = row in ends, row == y
            to_right, to_left = (branch, trunk) if out else (trunk, branch)
            canvas.put(x, row, _JOINTS[up, down, to_left, to_right], style)  # type: ignore[arg-type]
            if branch:
                if out:
                    canvas.put(x + 1, row, "─▶", style)  # type: ignore[arg-type]
                else:
                    canvas.put(x - 1, row, "─", style)  # type: ignore[arg-type]


_JOINTS = {
    (up, down, left, right): " ╶╴─╷╭╮┬╵╰╯┴│├┤┼"[8 * up + 4 * down + 2 * left + right]
    for up in (False, True) for down in (False, True) for left in (False, True) for right in (False, True)
}  # fmt: skip


def _shortened(name: str, room: int) -> str:
    """Return a label shortened by the id, if there is no space for both."""
    if len(name) <= room:
        return name
    return name.removeprefix(SOCKET) if name.startswith(SOCKET) else name.rpartition(" ")[0] or name


def _title(title: str, room: int) -> str:
    if len(title) <= room:
        return title
    short = title.rpartition(": ")[2].replace(" + ", "+")
    return short if len(short) <= room else fit(short, room).rstrip()


def _least(station: Stage, narrow: bool) -> int:
    longest = max(len(row.name) + len(row.words) for row in station.rows)
    return min(max(longest + (5 if narrow else 13), len(station.title) + 5), 46)


def _without_rate(station: Stage) -> Stage:
    """Omit the rate of a stage with one thread: the arrow before it shows the same."""
    if len(station.rows) > 1 or station.colour == "accent":
        return station
    return _bare(station)


def _bare(station: Stage) -> Stage:
    if station.colour == "accent":
        return station
    return replace(station, rows=tuple(replace(row, words="") for row in station.rows))


def _widths(wanted: list[int], room: int) -> list[int]:
    """Return the widths of the stages; if they do not fit, the widest are reduced first."""
    widths = list(wanted)
    while sum(widths) > room and max(widths) > 12:
        widths[widths.index(max(widths))] -= 1
    return widths
