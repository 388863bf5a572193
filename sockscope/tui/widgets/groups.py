"""SO_REUSEPORT groups: expected and actual connections per member."""

from __future__ import annotations

import math

from sockscope import formatting
from sockscope.analysis.server import Group
from sockscope.tui.base_widget import BaseWidget
from sockscope.tui.text_line import Line, bar, wrap

#: Members shown, in a terminal of the usual height and in a low one.
_MOST, _FEW = 8, 4


class Groups(BaseWidget):
    """Groups with several listeners."""

    def wanted_height(self, width: int) -> int:
        return min(len(self.draw(width, 0)), 16)

    def draw(self, width: int, height: int) -> list[Line]:
        style, lines = self.palette.style, list[Line]()
        if self.context is None:
            return lines
        for group in self.context.frame.groups:
            if len(group.listeners) > 1:
                lines += self._block(group, width)
        if not lines:
            shared = [group for group in self.context.frame.groups if group.reuseport]
            words = "No SO_REUSEPORT group: one socket per address"
            if shared:
                words = f"SO_REUSEPORT is set on {shared[0].name}, but there is only one socket"
            lines += [Line().add(f" {part}", style("muted")) for part in wrap(words, max(width - 2, 20))]
        return lines

    def _block(self, group: Group, width: int) -> list[Line]:
        style = self.palette.style
        live = [listener for listener in group.listeners if not listener.closed_ns]
        # who is looked for comes first when not all fit
        live.sort(key=lambda item: not (item.established and not item.accepted))
        spread = group.spread
        line = (
            Line()
            .add(f" {group.name} ", style("bold text"))
            .add(f"SO_REUSEPORT, {len(live)} listeners: ", style("muted"))
        )
        if width >= 100:
            line.add("distribution: ", style("muted"))
        line.add(spread.words, style("bold critical" if spread.judgement == "skewed" else "good"))
        if not math.isnan(spread.chi2) and width >= 100:
            p = "p < 0.001" if spread.p_value < 0.001 else f"p = {spread.p_value:.2g}"
            line.add(f"  (χ² {spread.chi2:.0f}, {p})", style("muted"))
        lines = [line]
        if not live:
            return lines
        expected = spread.total / max(len(spread.values), 1)
        noise = 3 * math.sqrt(expected)
        top = max(*(float(item.established) for item in live), expected * 1.5, 1.0)
        room = max(min(width - 64, 60), 8)
        most = _MOST if self.app.size.height >= 32 else _FEW
        for listener in live[:most]:
            line = Line().fit(f"  socket {listener.inode}", 18, style("muted")).add(" ")
            off = abs(listener.established - expected) > max(noise, 0.25 * expected)
            self._bar(
                line,
                listener.established / top,
                expected / top,
                noise / top,
                room,
                "warning" if off else "good",
            )
            line.fit(
                formatting.count(listener.established),
                9,
                style("bold warning" if off else "text"),
                right=True,
            )
            line.add(f" of {formatting.count(expected)} expected", style("muted"))
            if listener.established and not listener.accepted:
                line.add("  nobody accepts from it", style("bold critical"))
            lines.append(line)
        if len(live) > most:
            lines.append(Line().add(f"   … and {len(live) - most} more below", style("muted")))
        return lines

    def _bar(self, line: Line, part: float, fair: float, noise: float, room: int, colour: str) -> None:
        """Return a bar with the fair share and the range of random hashing (three standard deviations)."""
        style = self.palette.style
        text = bar(part, room)
        low, high, mark = (
            int((fair - noise) * room),
            int((fair + noise) * room),
            min(int(fair * room), room - 1),
        )
        for index, sign in enumerate(text):
            back = " on raised" if low <= index <= high else ""
            if index == mark:
                line.add("┊" if sign == " " else "╏", style(f"bold text{back}"))
            else:
                line.add(sign, style(f"{colour}{back}"))
