"""A column chart: the queue of each listener over time, all together, with the limit."""

from __future__ import annotations

from textual.reactive import reactive

from sockscope import units
from sockscope.tui.drawn import Drawn
from sockscope.tui.lines import Line

_LEVELS = " ▁▂▃▄▅▆▇█"


class Timeline(Drawn):
    """The longest queue of some listeners at each tick."""

    ids: reactive[tuple[int, ...]] = reactive(())

    def watch_ids(self) -> None:
        self.redraw()

    def draw(self, width: int, height: int) -> list[Line]:
        style = self.palette.style
        title = (
            Line()
            .add(" Accept queue over time", style("bold text"))
            .add(
                "  of the chosen listener"
                if len(self.ids) == 1
                else "  the longest of the listeners concerned",
                style("muted"),
            )
        )
        if self.moment is None or not self.ids:
            return [title]
        cells, body = max(width - 10, 8), max(height - 2, 1)
        history = self.moment.history
        values = history.listener("queue", self.ids, cells).max(axis=0)
        limit = float(history.listener("backlog", self.ids, 1).max(initial=0.0))
        top = max(
            float(values.max(initial=0.0)), limit * 1.05 if values.max(initial=0.0) > limit / 4 else 4.0, 4.0
        )
        lines, last = [title], ""
        for row in reversed(range(body)):
            low, step = top * row / body, top / body
            here = low <= limit < low + step
            line = Line().fit(
                "limit" if here else label if (label := units.count(low)) != last else "",
                8,
                style("critical" if here else "muted"),
                right=True,
            )
            last = units.count(low)
            line.add(" ┤", style("faint")).add(" " * (cells - len(values)))
            text = "".join(_LEVELS[min(max(round((value - low) / step * 8), 0), 8)] for value in values)
            lines.append(
                line.add(text.replace(" ", "╌") if here else text, style("critical" if here else "accent"))
            )
        seconds = float(history.seconds[-len(values) :].sum())
        lines.append(
            Line()
            .to(10 + cells - len(values))
            .add(f"{seconds:.0f} s ago", style("muted"))
            .to(10 + cells - 3)
            .add("now", style("muted"))
        )
        return lines
