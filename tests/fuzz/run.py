"""Feed the targets inputs that coverage leads to, with atheris: ``python -m tests.fuzz.run --seconds 20``.

Each target runs in a process of its own; ``--write`` puts the figures into docs/reliability.md.  The
inputs that were found interesting stay in .hypothesis/fuzz, from where the next run goes on.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CORPUS = ROOT / ".hypothesis" / "fuzz"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=20, help="for each target (default 20)")
    parser.add_argument("--write", action="store_true", help="write the table of docs/reliability.md")
    parser.add_argument("--only", metavar="TARGET", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        return _feed(args.only, args.seconds)
    from tests.faults import table
    from tests.fuzz.targets import TARGETS

    rows, failed = [], 0
    for target in TARGETS:
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.run",
            "--only",
            target.name,
            "--seconds",
            str(args.seconds),
        ]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=args.seconds + 120
        )
        ran = re.search(r"number_of_executed_units: +(\d+)", done.stderr)
        covered = re.findall(r"cov: (\d+)", done.stderr)
        good = done.returncode == 0 and ran is not None
        failed += not good
        outcome = f"no fault; {covered[-1] if covered else 0} edges covered" if good else "**a fault**"
        number = f"{int(ran[1]):,}" if ran else "?"
        rows.append((target.name, number, str(args.seconds), outcome))
        print(f"{target.name}: {number} inputs, {outcome}", flush=True)
        if not good:
            print(done.stdout[-3000:], done.stderr[-1000:])
    if args.write:
        table.write_fuzzing(rows)
    return 1 if failed else 0


def _feed(name: str, seconds: int) -> int:
    """One target, until its time is up; atheris ends the process itself when a fault comes out."""
    import atheris

    with atheris.instrument_imports(include=["sockscope", "tomllib", "json"]):
        from tests.fuzz.targets import TARGETS
    (target,) = (one for one in TARGETS if one.name == name)
    corpus = _CORPUS / name.replace(" ", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    largest = max(4096, *(len(seed) for seed in target.seeds()))
    options = [f"-max_total_time={seconds}", "-print_final_stats=1", f"-max_len={largest}", "-rss_limit_mb=4096",
               f"-artifact_prefix={corpus}/fault-"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], target.feed)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
