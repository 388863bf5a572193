"""The long form: every case with several seeds, and the table in docs/diagnosis.md.

``python -m tests.diagnosis.bench [--seeds N] [--only WORDS] [--write]``; needs root, nginx, memcached, node and wrk.
With ``--write`` it also puts what it saw under the findings of docs/findings.md; with ``--only``, only that.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from sockscope.analysis.frame import Finding
from tests.diagnosis.cases import CONTROLS, FAULTS, SHOWN, can_play
from tests.diagnosis.excerpts import Excerpts
from tests.diagnosis.stage import ROOT, Case, play

TABLE = ROOT / "docs" / "diagnosis.md"
EXCERPTS = ROOT / "docs" / "findings.md"


def verdict(case: Case, findings: tuple[Finding, ...]) -> str:
    """Empty when it is as it should be, else what is wrong."""
    loud = [finding for finding in findings if finding.severity != "info"]
    if case in SHOWN and any(finding.id == case.expected for finding in findings):
        return ""
    if not case.expected:
        return ", ".join(f"{finding.severity} {finding.id}" for finding in loud)
    if loud and loud[0].id == case.expected:
        return ""
    return "found " + (", ".join(finding.id for finding in loud) or "nothing")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.diagnosis.bench")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write {TABLE.name} and {EXCERPTS.name}; with --only just the latter",
    )
    parser.add_argument("--show", action="store_true", help="print the findings")
    args = parser.parse_args()
    cases = [
        case for case in (*FAULTS, *CONTROLS) if args.only.lower() in case.name.lower() and can_play(case)
    ]
    shown = [case for case in SHOWN if args.only.lower() in case.name.lower()]
    wrong: dict[str, list[str]] = {case.name: [] for case in (*cases, *shown)}
    excerpts = Excerpts()
    rounds = [*((seed, cases) for seed in range(args.seeds)), (0, shown)]
    for done, (seed, played) in enumerate(rounds, 1):
        for case in played:
            begin = time.monotonic()
            try:
                frame, findings = play(case, seed)
                problem = verdict(case, findings)
                models = " ".join(f"{server.model}/{server.connections}" for server in frame.servers)
            except Exception:
                problem, models, findings = traceback.format_exc(limit=-1).strip().splitlines()[-1], "", ()
            wrong[case.name].append(problem)
            excerpts.saw(case, findings)
            spent = time.monotonic() - begin
            print(
                f"{'WRONG' if problem else 'ok   '} {spent:4.1f}s seed {seed} {case.name} [{models}] {problem}",
                flush=True,
            )
            if args.show or problem:
                for finding in findings:
                    print(
                        f"    {finding.severity} {finding.id} {' '.join(finding.explains)}: {finding.explanation}"
                    )
                    print(f"      {dict(finding.evidence)}", flush=True)
        if args.write:
            if not args.only:
                write(TABLE, cases, wrong, min(done, args.seeds))
            EXCERPTS.write_text(excerpts.put_into(EXCERPTS.read_text()))
    return 1 if any(problem for problems in wrong.values() for problem in problems) else 0


def write(path: Path, cases: Iterable[Case], wrong: dict[str, list[str]], seeds: int) -> None:
    """The rates, as a document."""
    faults = [case for case in cases if case.expected]
    controls = [case for case in cases if not case.expected]
    found = sum(not problem for case in faults for problem in wrong[case.name])
    silent = sum(not problem for case in controls for problem in wrong[case.name])
    lines = [
        "# Diagnosis bench",
        "",
        "Written by `make bench-diagnosis` (`python -m tests.diagnosis.bench --write`): real servers, traced for a few "
        f"seconds under load, {seeds} seed{'s' * (seeds > 1)} a case, on {os.cpu_count()} CPUs and Linux "
        f"{platform.release()}, whose load average over 15 minutes was {os.getloadavg()[2]:.0f} at the end (whatever "
        "else ran takes CPU time from the cases). The published cases are in [published.md](published.md).",
        "",
        f"- Faults found and named first: **{found} of {len(faults) * seeds}** ({len(faults)} faults, {seeds} each)",
        f"- Healthy controls without a finding above `info`: **{silent} of {len(controls) * seeds}** "
        f"({len(controls)} controls, {seeds} each)",
        "",
        "| fault | finding that must come first | found |",
        "|---|---|---|",
        *(f"| {case.name} | `{case.expected}` | {_rate(wrong[case.name])} |" for case in faults),
        "",
        "| healthy control | silent |",
        "|---|---|",
        *(f"| {case.name} | {_rate(wrong[case.name])} |" for case in controls),
        "",
    ]
    path.write_text("\n".join(lines))


def _rate(problems: list[str]) -> str:
    good = sum(not problem for problem in problems)
    text = f"{good} of {len(problems)}"
    misses = sorted({problem.splitlines()[-1] for problem in problems if problem})
    return f"{text} ({'; '.join(misses)})" if misses else text


if __name__ == "__main__":
    sys.exit(main())
