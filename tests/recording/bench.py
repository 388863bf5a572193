"""The long proofs of recording, and their table in docs/recording.md.

``python -m tests.recording.bench [SECTION …] [--write]``; needs root, a C compiler, nginx and wrk.
Each section takes at most two to four minutes.  A section that does not hold what it must ends with status 1.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.recording import costs, killed, taken
from tests.recording.processes import ROOT

PAGE = ROOT / "docs" / "recording.md"


@dataclass(frozen=True)
class Section:
    """A part of the page: its text, and how its table is made."""

    title: str
    text: str
    measure: Callable[[Path], list[tuple[str, str]]]


SECTIONS: dict[str, Section] = {
    "detail": Section(
        "Ten million events",
        "A thread that looks eight times for what is readable, reads a byte, and again, 1,000,000 deeds a second,"
        " recorded with `--events`; it"
        " counts what it does itself. It and the recorder have the machine's two cores.",
        taken.ten_million_events,
    ),
    "connections": Section(
        "A million connections",
        "Each accepted, read once, answered and closed, one after another, recorded without `--events`.",
        taken.a_million_connections,
    ),
    "cost": Section(
        "What it costs the server",
        "Nginx with two workers under wrk, keep-alive, on the same two cores: rounds in turns of nothing, of"
        " `record`, and of `record --events`; the medians.",
        costs.of_the_server,
    ),
    "killed": Section(
        "kill -9, fifty times",
        "`sockscope record` of a server under load, killed at fifty moments chosen by chance.",
        killed.fifty_times,
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.recording.bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], metavar="SECTION")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    args = parser.parse_args()
    status = 0
    for name in args.sections or SECTIONS:
        section = SECTIONS[name]
        with tempfile.TemporaryDirectory(prefix="sockscope-bench-") as place:
            try:
                rows = section.measure(Path(place))
            except AssertionError as error:
                print(f"{section.title}: {error}", file=sys.stderr)
                status = 1
                continue
        print(f"\n{section.title}", *(f"  {what}: {figure}" for what, figure in rows), sep="\n", flush=True)
        if args.write:
            _write(name, section, rows)
    return status


def _write(name: str, section: Section, rows: list[tuple[str, str]]) -> None:
    """Put the section into the page, the others as they are."""
    text = PAGE.read_text() if PAGE.exists() else _HEAD
    table = "\n".join(f"| {what} | {figure} |" for what, figure in rows)
    machine = f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} cores"
    body = f"<!-- {name} -->\n## {section.title}\n\n{section.text}\n\n| {machine} | |\n|---|---|\n{table}\n<!-- -->"
    found = re.search(rf"<!-- {name} -->.*?<!-- -->", text, re.DOTALL)
    text = text.replace(found[0], body) if found else f"{text.rstrip()}\n\n{body}\n"
    PAGE.write_text(text)


_HEAD = """# Recording: what was measured

Made by `make bench-recording`; [recording-schema.md](recording-schema.md) tells what a recording is, and what writing a row costs.
"""

if __name__ == "__main__":
    sys.exit(main())
