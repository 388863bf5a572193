"""All cases of the field bench, and the table in docs/field.md.

``python -m tests.field.bench [--only WORDS] [--write] [--show]``; needs root and the servers of docs/servers.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback

from tests.diagnosis.excerpts import Excerpts
from tests.diagnosis.stage import ROOT
from tests.field.cases import FAULTS, HEALTHY
from tests.field.controls import CONTROLS
from tests.field.stage import FieldCase, play

DOCUMENT = ROOT / "docs" / "field.md"
EXCERPTS = ROOT / "docs" / "findings.md"

Row = tuple[FieldCase, str, str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.field.bench")
    parser.add_argument("--only", default="", help="cases with this in their name or expected finding")
    parser.add_argument(
        "--write", action="store_true", help=f"write {DOCUMENT.name} (not with --only) and {EXCERPTS.name}"
    )
    parser.add_argument("--short", action="store_true", help="the cases of the default test suite")
    parser.add_argument("--show", action="store_true", help="print the findings")
    args = parser.parse_args()
    wanted = args.only.lower()
    rows: list[Row] = []
    excerpts = Excerpts()
    for case in (*FAULTS, *HEALTHY, *CONTROLS):
        if wanted not in f"{case.name} {case.expected}".lower() or (args.short and not case.short):
            continue
        begin = time.monotonic()
        try:
            result = play(case)
            problem = result.problem(case)
            if case.tuning:
                excerpts.saw(case, result.findings[:1])
            said = ", ".join(f"{found.severity} `{found.id}`" for found in result.findings) or "no finding"
        except Exception:
            problem = said = traceback.format_exc(limit=-1).strip().splitlines()[-1]
            result = None
        rows.append((case, said, problem))
        spent = time.monotonic() - begin
        print(f"{'WRONG' if problem else 'ok   '} {spent:4.1f}s {case.name}: {problem or said}", flush=True)
        if result and (args.show or problem):
            print(f"    clients: {dict(result.counts)}")
            for found in result.findings:
                print(f"    {found.severity} {found.id} ({' '.join(found.explains)}): {found.explanation}")
                print(f"      {dict(found.evidence)}", flush=True)
    if args.write:
        if not args.only and not args.short:
            DOCUMENT.write_text(document(rows))
        EXCERPTS.write_text(excerpts.put_into(EXCERPTS.read_text()))
    return 1 if any(problem for *_, problem in rows) else 0


def document(rows: list[Row]) -> str:
    """Return docs/field.md: every case that was run, with what was found."""
    faults = [row for row in rows if row[0].expected]
    healthy = [row for row in rows if not row[0].expected]
    proofs = [row for row in faults if not row[0].tuning]
    lines = [
        "# Field bench",
        "",
        "Written by `make bench-field` (`python -m tests.field.bench --write`). Faults that people report in public, on "
        "real servers where a package has one, and servers in good health; each is run once, traced for a few seconds. "
        f"Run on {os.cpu_count()} CPUs and Linux {platform.release()}.",
        "",
        f"- Faults with the right finding first: **{_right(faults)} of {len(faults)}**; of those that no detector was "
        f"tuned with: **{_right(proofs)} of {len(proofs)}**",
        f"- Healthy servers without a finding at `warning` or above: **{_right(healthy)} of {len(healthy)}**",
        "",
        "The truth of a fault comes from its clients, which count their replies, resets and waits. Cases marked *tuning* "
        "were used to make the detector.",
        "",
        "| fault | source | server | use | clients' truth | expected | found | right |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case, said, problem in faults:
        use = "tuning" if case.tuning else "proof"
        lines.append(
            f"| {case.name} | {case.source} | {case.server} | {use} | {case.truth_words} | `{case.expected}` | {said} | "
            f"{'yes' if not problem else f'no: {problem}'} |"
        )
    lines += ["", "| healthy server | source | found | right |", "|---|---|---|---|"]
    for case, said, problem in healthy:
        lines.append(
            f"| {case.name} | {case.source} | {said} | {'yes' if not problem else f'no: {problem}'} |"
        )
    return "\n".join([*lines, ""])


def _right(rows: list[Row]) -> int:
    return sum(not problem for *_, problem in rows)


if __name__ == "__main__":
    sys.exit(main())
