"""Write the tables of docs/reliability.md from the results of tests and fuzzers."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


@dataclass(frozen=True)
class Row:
    """A fault, the required behaviour, the number of tries, and the outcome."""

    fault: str
    holds: str
    tries: int
    outcome: str


def sentence(test: str) -> str:
    """Return the name of a test as a sentence."""
    words = test.removeprefix("test_").replace("_", " ")
    return words[0].upper() + words[1:]


def write_faults(rows: Iterable[Row], *, keep: bool = False) -> None:
    """Write the table; with ``keep``, keep the rows of tests that were not run."""
    lines = [[row.fault, row.holds, f"{row.tries:,}", row.outcome] for row in rows]
    if keep:
        ran = {line[1] for line in lines}
        section = DOCUMENT.read_text().partition("<!-- faults -->")[2].partition("<!-- /faults -->")[0]
        cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
        lines = [row for row in cells[2:] if row[1] not in ran] + lines
    _replace("faults", ("fault", "required behaviour", "tries", "outcome"), lines)


def write_fuzzing(rows: Iterable[Sequence[str]]) -> None:
    _replace("fuzzing", ("target", "inputs", "seconds", "outcome"), rows)


def _replace(name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Replace the table between the markers of that name."""
    lines = [f"Linux {platform.release()}, Python {platform.python_version()}.", ""]
    lines += [_row(head), _row(["---"] * len(head)), *map(_row, rows)]
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text, found = re.subn(
        re.escape(begin) + ".*" + re.escape(end),
        lambda _: "\n".join([begin, *lines, end]),
        DOCUMENT.read_text(),
        flags=re.DOTALL,
    )
    assert found == 1, f"{DOCUMENT} has no markers for {name}"
    DOCUMENT.write_text(text)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
