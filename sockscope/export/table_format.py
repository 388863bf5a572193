"""Rows of a query as text, CSV or JSON, written as they come."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TextIO

from sockscope import formatting

Rows = Iterable[Sequence[Any]]

#: What a formula begins with (OWASP, "CSV Injection"): in CSV such text gets an apostrophe before it.
FORMULA = "=+-@\t\r"

#: Rows by which the widths of a table's columns are chosen.
_LOOKED_AT = 1000


def write_text(columns: Sequence[str], rows: Rows, out: TextIO) -> None:
    """A table for people: columns in line, numbers to the right, nothing that a terminal obeys."""
    left = iter(rows)
    first = list(islice(left, _LOOKED_AT))
    right = [any(_is_number(row[at]) for row in first) for at in range(len(columns))]
    cells = [[_cell(value) for value in row] for row in first]
    heads = [_cell(name) for name in columns]
    widths = [max(len(line[at]) for line in [heads, *cells]) for at in range(len(columns))]

    def line(parts: Sequence[str]) -> str:
        aligned = (
            part.rjust(width) if to_right else part.ljust(width)
            for part, width, to_right in zip(parts, widths, right, strict=True)
        )
        return "  ".join(aligned).rstrip() + "\n"

    out.write(line(heads))
    out.write("  ".join("─" * width for width in widths) + "\n")
    for row in chain(cells, ([_cell(value) for value in row] for row in left)):
        out.write(line(row))


def write_csv(columns: Sequence[str], rows: Rows, out: TextIO) -> None:
    """CSV with a head, as RFC 4180 has it; an empty field is NULL, and no text is a formula."""
    writer = csv.writer(out)
    writer.writerow([_no_formula(name) for name in columns])
    writer.writerows([_no_formula(_plain(value)) for value in row] for row in rows)


def write_json(columns: Sequence[str], rows: Rows, out: TextIO) -> None:
    """One array of objects."""
    out.write("[")
    for number, row in enumerate(rows):
        values = {name: _json(value) for name, value in zip(columns, row, strict=True)}
        out.write(",\n " if number else "\n ")
        out.write(json.dumps(values, ensure_ascii=False, allow_nan=False))
    out.write("\n]\n")


WRITERS: Mapping[str, Callable[[Sequence[str], Rows, TextIO], None]] = {
    "text": write_text,
    "csv": write_csv,
    "json": write_json,
}


def fetched(cursor: Any) -> Iterator[Sequence[Any]]:
    """What a DuckDB cursor still has to give."""
    while rows := cursor.fetchmany(_LOOKED_AT):
        yield from rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    return formatting.printable(str(_plain(value)))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return value.hex()
    return value.isoformat(sep=" ") if hasattr(value, "hour") and hasattr(value, "year") else value


def _no_formula(value: Any) -> Any:
    """A spreadsheet runs text that begins like a formula, and a thread may call itself ``=HYPERLINK(…``."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple(FORMULA)) else value


def _json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_json(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _json(one) for name, one in value.items()}
    return value if value is None or isinstance(value, bool | int) else str(_plain(value))
