"""Every way to a signal on several kernels: ``python -m tests.kernels.matrix [--write] [KERNEL ...]``.

On each kernel ``doctor`` tells which ways load, and the tests that compare with the servers' own books
run; the running kernel is one of them.  ``--write`` puts the table into docs/kernels.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sockscope.build_info import commit
from tests.kernels import guest
from tests.kernels.packages import kernel

DOCUMENT = Path(__file__).parents[2] / "docs" / "kernels.md"
KERNELS = ("6.1", "6.12")
#: Seconds for one kernel, from power on.
LIMIT_S = 900
#: How many connections each test makes: an emulated machine is some twenty times slower.
CONNECTIONS = 60
_TESTS = "tests/kernel/test_every_way.py tests/kernel/test_exactness.py::test_every_connection_is_attributed_as_the_server_itself_says tests/faults/test_unseen_ends.py"
#: Of the variants of the exactness test, one of each model; the way tests have the others.  Of unseen ends,
#: those whose records are in a bucket and out of it.
_CHOSEN = "every_way or lock or cpu or dispatcher or least or crowded or used_again"
_BEGIN, _END = "<!-- made by tests/kernels/matrix.py -->\n", "<!-- end -->\n"


@dataclass(frozen=True)
class Outcome:
    """What came out on one kernel.  ``found`` are the comparisons of test_every_way."""

    release: str
    signals: list[dict[str, Any]]
    found: list[dict[str, Any]]
    passed: int
    failed: list[str]
    seconds: float


def examine(name: str) -> Outcome:
    """Run everything on a kernel: ``running``, or one that :func:`kernel` knows."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kernel-") as scratch:
        place = Path(scratch)
        if name == "running":
            release = platform.release()
            environment = {**os.environ, "SOCKSCOPE_TEST_CONNECTIONS": str(CONNECTIONS)}
            subprocess.run(["sh", "-c", _script(place)], env=environment, timeout=LIMIT_S, check=False)
        else:
            machine = kernel(name)
            release = machine.release
            words = [
                "env",
                f"SOCKSCOPE_TEST_CONNECTIONS={CONNECTIONS}",
                "sh",
                "-c",
                _script(Path("/run/guest")),
            ]
            outcome = guest.run(machine, words, limit_s=LIMIT_S, keep=place)
            if outcome.status is None:
                print(outcome.console[-2000:], file=sys.stderr)
        return _read(release, place, time.monotonic() - began)


def _script(place: Path) -> str:
    python = sys.executable
    return (
        f"{python} -m sockscope doctor --format json >{place}/doctor.json; "
        f"{python} -m pytest -q -p no:cacheprovider --junitxml={place}/junit.xml {_TESTS} -k '{_CHOSEN}'"
    )


def _read(release: str, place: Path, seconds: float) -> Outcome:
    signals = (
        json.loads((place / "doctor.json").read_text())["signals"]
        if (place / "doctor.json").exists() and (place / "doctor.json").stat().st_size
        else []
    )
    found: list[dict[str, Any]] = []
    failed, passed = [], 0
    cases = ET.parse(place / "junit.xml").iter("testcase") if (place / "junit.xml").exists() else ()
    for case in cases:
        for told in case.iter("property"):
            if told.get("name") == "found":
                found += json.loads(told.get("value") or "[]")
        broken = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
        passed += not broken
        failed += [f"{case.get('name')}: {(part.get('message') or '')[:300]}" for part in broken[:1]]
    if not passed and not failed:
        failed = ["the tests did not run"]
    return Outcome(release, signals, found, passed, failed, seconds)


def rows(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The table: a line for each signal and way, a column for each kernel."""
    yield f"| signal | way | {' | '.join(outcome.release for outcome in outcomes)} |\n"
    yield f"|---|---|{'---|' * len(outcomes)}\n"
    reference = next((outcome for outcome in outcomes if outcome.signals), None)
    for signal in reference.signals if reference else ():
        for way in signal["ways"]:
            cells = [_cell(outcome, signal["name"], way["name"]) for outcome in outcomes]
            yield f"| {signal['name']} | {way['name']} | {' | '.join(cells)} |\n"
    totals = []
    for outcome in outcomes:
        wrong = sum(bool(run["complaints"]) for run in outcome.found)
        totals.append(f"{len(outcome.found)} runs compared, {wrong or 'none'} wrong")
    yield f"| all | | {' | '.join(totals)} |\n"


def _cell(outcome: Outcome, signal: str, way: str) -> str:
    tried = {item["name"]: item for item in outcome.signals}.get(signal)
    told = {item["name"]: item for item in tried["ways"]}.get(way) if tried else None
    if tried is None or told is None:
        return "?"
    if told["why_not"]:
        return f"– ({told['why_not']})"
    runs = [run for run in outcome.found if run["ways"].get(signal) == way]
    if not runs:
        return "loads, not compared"
    wrong = [run for run in runs if run["complaints"]]
    words = f"{sum(run['connections'] for run in runs)} connections " + ("**wrong**" if wrong else "agree")
    words += "" if told["exact"] else ", best effort"
    return f"**{words}**" if tried["method"] == way and not wrong else words


def write(outcomes: Sequence[Outcome]) -> None:
    """Replace the table in docs/kernels.md, and what it was made from."""
    before, _, rest = DOCUMENT.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    made = f"Commit {commit() or 'unknown'}, {datetime.now(UTC):%d %B %Y}: " + "; ".join(
        f"on {outcome.release} {outcome.passed} tests passed, {len(outcome.failed) or 'none'} failed "
        f"({outcome.seconds:.0f} s)"
        for outcome in outcomes
    )
    DOCUMENT.write_text(f"{before}{_BEGIN}{made}.\n\n{''.join(rows(outcomes))}{_END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare every way to a signal, on several kernels.")
    parser.add_argument("kernels", nargs="*", default=["running", *KERNELS], metavar="KERNEL")
    parser.add_argument("--write", action="store_true", help="put the table into docs/kernels.md")
    args = parser.parse_args()
    outcomes = []
    for name in args.kernels:
        outcome = examine(name)
        outcomes.append(outcome)
        print(
            f"{outcome.release}: {outcome.passed} passed, {len(outcome.failed)} failed, {outcome.seconds:.0f} s"
        )
        for line in outcome.failed:
            print(f"  {line}")
        for run in outcome.found:
            for complaint in run["complaints"]:
                print(f"  {run['ways']}: {complaint}")
        sys.stdout.flush()
    sys.stdout.writelines(rows(outcomes))
    if args.write:
        write(outcomes)
    return 1 if any(outcome.failed for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
