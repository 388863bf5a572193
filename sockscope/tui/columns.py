"""The columns of a table, and which of them fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sockscope.analysis.signal_requirements import is_traced
from sockscope.model.snapshot import Snapshot
from sockscope.tui.filters import Key

#: From how many cells on long names of threads get room, and how much at most.
_WIDE, _LONGEST_NAME = 100, 21
#: Cells at the end of a heading that says how many columns are not seen.
_MARKER = 6
_MOST_SPARE = 24


@dataclass(frozen=True)
class TableColumn:
    """One column.

    ``least_first`` is the direction of the first sort; ``thread``: it has names of threads; ``figure``:
    its metric in ``analysis.signal_requirements``, if that is not its own key.
    """

    key: str
    title: str
    width: int
    right: bool = False
    least_first: bool = False
    grows: bool = False
    thread: bool = False
    figure: str = ""


def traced(columns: Sequence[TableColumn], snapshot: Snapshot) -> tuple[TableColumn, ...]:
    """Return the columns whose signals were traced; others would show zeros that were not measured."""
    return tuple(column for column in columns if is_traced(snapshot, column.figure or column.key))


def traced_keys(keys: Sequence[Key], columns: Sequence[TableColumn], snapshot: Snapshot) -> tuple[Key, ...]:
    """Return the filter keys of rows with these columns."""
    hidden = {column.key for column in columns} - {column.key for column in traced(columns, snapshot)}
    return tuple(key for key in keys if key.name not in hidden and is_traced(snapshot, key.name))


def fitting(
    columns: Sequence[TableColumn], shift: int, room: int, longest: Mapping[str, int]
) -> tuple[list[TableColumn], list[int]]:
    """Return the first column and as many as fit from the shifted one, with their widths.

    :param longest: the longest text of a column of threads, by its key
    """

    def width(column: TableColumn) -> int:
        names = min(longest.get(column.key, 0), _LONGEST_NAME) if room >= _WIDE else 0
        return max(column.width, names)

    used = _MARKER if sum(width(column) + 1 for column in columns) > room else 0
    chosen: list[TableColumn] = []
    for column in [columns[0], *columns[1 + shift :]]:
        if chosen and used + width(column) + 1 > room:
            break
        chosen.append(column)
        used += width(column) + 1
    growing = sum(column.grows for column in chosen)
    more = min(max(room - used, 0) // max(growing, 1), _MOST_SPARE)
    return chosen, [width(column) + (more if column.grows else 0) for column in chosen]
