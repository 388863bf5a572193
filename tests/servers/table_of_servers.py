"""docs/servers.md, made of what the tests of real servers saw.

``python -m tests.servers.table_of_servers RESULTS`` takes the results that the tests leave in the
directory SOCKSCOPE_SERVER_RESULTS, and keeps the rows of servers that were not run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.servers.real_servers import REAL, Real

DOCUMENT = Path(__file__).parents[2] / "docs" / "servers.md"
_HEAD = """# Servers tried

Each of these was started from its package and, traced, driven twice by clients that keep books: at
full rate, where every connection's acceptor, readers, writers and bytes must agree with the
clients' books, and slowly under `strace -f`, where every accept and every byte must be by the
thread that strace names. All agree. None was configured in order to be seen.

Nothing in sockscope knows the name of a server: what stands under *verdict* was concluded from
what the kernel told, as `sockscope report` prints it. The terms are explained in the README.
This page is made by `tests/servers/table_of_servers.py`; `tests/servers/test_real_servers.py` has
the tests.

| server | version | started as | verdict | evidence | worth knowing |
|---|---|---|---|---|---|
"""


def verdict_words(model: str, handoff: str, roaming: bool) -> str:
    """``shared+handoff (thread, roaming)``."""
    kinds = [word for word in (handoff,) if word != "none"] + (["roaming"] if roaming else [])
    return f"**{model}**" + (f" ({', '.join(kinds)})" if kinds else "")


def row(real: Real, result: dict[str, Any]) -> str:
    evidence = "<br>".join(sentence.replace("|", "\\|") for sentence in result["evidence"])
    cells = (
        real.software,
        result["version"] or "–",
        real.how,
        verdict_words(result["model"], result["handoff"], result["roaming"]),
        evidence,
        real.remark,
    )
    return f"| {' | '.join(cells)} |\n"


def rows_of(text: str) -> dict[tuple[str, str], str]:
    """(software, how) → row."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) >= 5:
            found[cells[0], cells[2]] = line + "\n"
    return found


def document(results: Path) -> str:
    """The page.

    :raises SystemExit: when a server has neither a result nor a row
    """
    before = rows_of(DOCUMENT.read_text()) if DOCUMENT.exists() else {}
    rows = []
    for real in REAL:
        file = results / f"{real.name}.json"
        if file.exists():
            rows.append(row(real, json.loads(file.read_text())))
        elif (real.software, real.how) in before:
            rows.append(before[real.software, real.how])
        else:
            raise SystemExit(f"no result for {real.name} in {results}")
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    DOCUMENT.write_text(document(Path(sys.argv[1])))
