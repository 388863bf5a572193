"""Lines of styled cells, and small charts that fit into one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from sockscope import formatting

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_FEW_TICKS = 12


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` in exactly ``width`` cells: padded, or cut with an ellipsis."""
    if width <= 0:
        return ""
    used = len(text) if text.isascii() else cell_len(text)
    if used > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - used) + text if right else text + " " * (width - used)


def fit_name(text: str, width: int) -> str:
    """Return ``text`` like :func:`fit`, but cut in the middle: a thread's label ends with its id."""
    head, _, number = text.rpartition(" ")
    if cell_len(text) <= width or not head or len(number) + 3 > width:
        return fit(text, width)
    return fit(head + " ", width - len(number)).removesuffix(" ") + number


def plain(text: str) -> str:
    """Return an untrusted name without control characters (segments have no markup)."""
    return formatting.printable(text)


class Line:
    """A line under construction; text is not parsed as markup."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.width = 0

    def add(self, text: str, style: Style | None = None) -> Line:
        if text:
            self.segments.append(Segment(text, style))
            self.width += len(text) if text.isascii() else cell_len(text)
        return self

    def fit(self, text: str, width: int, style: Style | None = None, *, right: bool = False) -> Line:
        return self.add(fit(text, width, right=right), style)

    def to(self, column: int, style: Style | None = None) -> Line:
        """Pad with spaces up to a column."""
        return self.add(" " * (column - self.width), style)

    def end(self, width: int, *parts: tuple[str, Style | None]) -> Line:
        """Add parts that end at the right edge; the first ones are dropped if there is no space."""
        shown = list(parts)
        while shown and self.width + 1 + sum(cell_len(text) for text, _ in shown) > width:
            shown.pop(0)
        self.to(width - sum(cell_len(text) for text, _ in shown))
        for text, style in shown:
            self.add(text, style)
        return self

    def strip(self) -> Strip:
        return Strip(self.segments, self.width)


def bar(part: float, width: int) -> str:
    """Return a bar in eighths of a cell; ``part`` from 0 to 1."""
    eighths = round(min(max(part, 0.0), 1.0) * width * 8)
    if part > 0:
        eighths = max(eighths, 1)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def sparkline(values: Sequence[float], width: int, top: float | None = None) -> str:
    """Return values as columns in eighths, the last at the right."""
    shown = columns(list(values), width)
    highest = top or max(shown, default=0)
    if highest <= 0:
        return " " * (width - len(shown)) + "▁" * len(shown)
    return " " * (width - len(shown)) + "".join(
        _LEVELS[min(int(value / highest * 8), 7)] if value > 0 else " " for value in shown
    )


def cells_each(ticks: int, cells: int) -> int:
    """Return the cells per tick: more than one while there are few, so that charts do not start empty."""
    return max(1, cells // max(ticks, _FEW_TICKS))


def columns(values: Sequence[float], width: int) -> list[float]:
    """Return one value per column: the maximum of each interval if there are more values."""
    if len(values) <= width:
        each = cells_each(len(values), width)
        return [value for value in values for _ in range(each)]
    step = -(-len(values) // width)
    first = len(values) % step or step
    starts = [0, *range(first, len(values), step)]
    return [max(values[low:high]) for low, high in zip(starts, [*starts[1:], len(values)], strict=True)]


def wrap(text: str, width: int) -> list[str]:
    """Wrap words into lines; a word longer than a line is cut."""
    lines, current = [], ""
    for word in text.split():
        while cell_len(word) > width > 1:
            if current:
                lines.append(current)
                current = ""
            lines.append(word[:width])
            word = word[width:]
        if current and cell_len(current) + 1 + cell_len(word) > width:
            lines.append(current)
            current = word
        else:
            current = f"{current} {word}" if current else word
    return [*lines, current] if current else lines


def text_lines(texts: Iterable[str], style: Style | None = None) -> list[Line]:
    return [Line().add(text, style) for text in texts]
