"""docs/servers.md, made of what the tests of real servers saw.

``python -m tests.servers.table_of_servers RESULTS`` takes the results that the tests leave in the
directory SOCKSCOPE_SERVER_RESULTS, and keeps the rows of servers that were not run.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
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


#: What a server's sentences say that is so by the way it works, and in every run: who reads, whether one or
#: all are woken, whether a lock is there, what an option is worth.  The rest depends on chance and load.
_BY_ITS_NATURE = tuple(
    re.compile(pattern)
    for pattern in (
        r"\d+ of \d+ (connections were (?:read|answered) by (?!several).*)",
        r"(SO_REUSEPORT is set, .*)",
        r"when a connection came, [\d.]+ of \d+ (threads waited for the socket).*; (?:one is|all are) woken",
        r"when a connection came, .*; (one is woken|all are woken)",
        r".* (watch(?:es)? the listening socket)(?: at a time, on average)?\W.*a lock lets one accept at a time",
    )
)
_OF_WAITING = frozenset(
    {
        "threads waited for the socket",
        "one is woken",
        "all are woken",
        "watches the listening socket",
        "watch the listening socket",
    }
)


def by_its_nature(evidence: Iterable[str]) -> frozenset[str]:
    """The part of a verdict's sentences that is the same in every run, without numbers."""
    return frozenset(
        found[1]
        for sentence in evidence
        for pattern in _BY_ITS_NATURE
        if (found := pattern.fullmatch(sentence))
    )


def evidence_of(line: str) -> list[str]:
    """The sentences in a row of the page."""
    return line.strip("|").split(" | ")[4].strip().replace("\\|", "|").split("<br>")


def differences(real: Real, evidence: Iterable[str]) -> frozenset[str]:
    """What the page and a run of today do not both say of a server."""
    seen = by_its_nature(evidence)
    told = by_its_nature(evidence_of(rows_of(DOCUMENT.read_text())[real.software, real.how]))
    # a busy server may have nobody asleep at any of the few looks
    compared = told if seen & _OF_WAITING else told - _OF_WAITING
    return seen ^ compared


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
