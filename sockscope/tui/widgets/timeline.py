"""A column chart of accept queues over time, with the limit."""

from __future__ import annotations

import numpy as np
from textual.reactive import reactive

from sockscope import formatting
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.text_line import Line, cells_each

_LEVELS = " ▁▂▃▄▅▆▇█"
_MARGIN = 10


class Timeline(BaseWidget):
    """The longest queue of some listeners at each tick."""

    ids: reactive[tuple[int, ...]] = reactive(())
    #: ``queue``, or ``syn_queue``: handshakes under way, which have no limit of their own
    series: reactive[str] = reactive("queue")

    def watch_ids(self) -> None:
        self.redraw()

    watch_series = watch_ids

    def _of(self) -> str:
        """Return the label of the listeners."""
        if len(self.ids) > 1 or self.context is None:
            return f"the longest of {len(self.ids)} listeners"
        listeners = self.context.frame.snapshot.listeners
        return next((f"of socket {item.inode}" for item in listeners if item.id == self.ids[0]), "")

    def draw(self, width: int, height: int) -> list[Line]:
        style = self.palette.style
        name = "SYN queue" if self.series == "syn_queue" else "Accept queue"
        title = Line().add(f" {name} over time", style("bold text"))
        if self.context is None or not self.ids:
            return [title]
        title.add(f"  {self._of()}", style("muted"))
        cells, body = max(width - _MARGIN - 1, 8), max(height - 2, 1)
        history = self.context.history
        values = history.listener(self.series, self.ids, cells).max(axis=0)
        limits = history.listener("backlog", self.ids, 1) if self.series == "queue" else np.zeros(1)
        limit = float(np.max(limits, initial=0.0))
        peak = float(np.max(values, initial=0.0))
        near = bool(limit) and peak > limit / 4
        top = max(limit * 1.05 if near else peak, float(body))
        title.add(f"   longest {peak:.0f}" if len(values) else "", style("text"))
        title.add(f" of {limit:.0f}" if limit else "", style("muted"))
        each = cells_each(len(values), cells)
        lines, step = [title], top / body
        for row in reversed(range(body)):
            low = step * row
            here = near and low <= limit < low + step
            label = "limit" if here else formatting.count(low) if row % 2 == 0 else ""
            line = Line().fit(label, 8, style("critical" if here else "muted"), right=True)
            line.add(" ┤" if label else " │", style("faint")).add(" " * (cells - len(values) * each))
            text = "".join(
                _LEVELS[min(max(round((value - low) / step * 8), 0), 8)] * each for value in values
            )
            text = text.replace(" ", "╌") if here else text
            lines.append(line.add(text, style("critical" if here else "accent")))
        if not len(values):
            return [title, Line().add("  the first tick is still to come", style("muted"))]
        ago = f"{float(history.seconds[len(history.seconds) - len(values) :].sum()):.0f} s ago"
        line = Line().to(_MARGIN + cells - len(values) * each).add(ago, style("muted"))
        lines.append(line.to(_MARGIN + cells - 3).add("now", style("muted")))
        return lines
