"""``python -m tests.benchmarks``: measure, and write docs/benchmarks/; needs root and what it compares with.

With ``--quick`` each thing once and shortly; with ``--only WORDS`` just the parts whose name has these
words in it, added to what is there (``--fresh`` discards them).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial

from sockscope.errors import SockscopeError
from tests.benchmarks import scaling
from tests.benchmarks.decoding import decoded
from tests.benchmarks.probes import probe_time
from tests.benchmarks.results import TABLES, Results, Row
from tests.benchmarks.tables import document
from tests.benchmarks.throughput import one_round
from tests.benchmarks.tracers import LESS, TRACERS
from tests.benchmarks.workloads import CLOSE, KEEPALIVE, WORKLOADS

Part = tuple[str, str, Callable[[], Iterable[Row]], int]


def parts(quick: bool) -> list[Part]:
    """(section, name, what measures it, how often)."""
    seconds = 1 if quick else 2
    rounds = 1 if quick else 5
    there = [tracer for tracer in TRACERS if tracer.is_there()]
    counted = [*(tracer for tracer in there if tracer.name in _COUNTED), *LESS]
    sizes = (1_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    found: list[Part] = [
        ("throughput", f"throughput {workload.name}", partial(one_round, workload, there, seconds), rounds)
        for workload in WORKLOADS
    ]
    found += [
        ("probes", f"probes {workload.name} {tracer.name}", partial(_once, workload, tracer, seconds), rounds)
        for workload in (KEEPALIVE, CLOSE)
        for tracer in counted
    ]
    found += [
        ("rates", "rates", partial(_numbered, partial(scaling.rates, 3 * seconds)), 1 if quick else 3),
        ("connections", "connections", partial(scaling.connections, sizes), 1),
        ("threads", "threads", partial(scaling.threads, (10, 1000) if quick else (10, 1000, 10_000)), 1),
        ("listeners", "listeners", partial(scaling.listeners, (1, 100) if quick else (1, 100, 10_000)), 1),
        ("figures", "starting", _starting, rounds),
        ("decoding", "decoding", _decoding, rounds),
    ]
    return found


_COUNTED = {"sockscope live", "sockscope record --events", "bpftrace, equivalent probes"}


def _once(*args: object) -> Iterable[Row]:
    yield probe_time(*args)  # type: ignore[arg-type]


def _numbered(rows: Callable[[], Iterable[Row]]) -> Iterable[Row]:
    for step, row in enumerate(rows()):
        yield row | {"step": step}


def _starting() -> Iterable[Row]:
    yield {"figure": "`sockscope --help`", "seconds": scaling.help_seconds()}
    seconds, of_cpu = scaling.start_seconds(1)
    yield {"figure": "command to first connection in a frame", "seconds": seconds}
    yield {"figure": "command to first connection in a frame, CPU time", "seconds": of_cpu}


def _decoding() -> Iterable[Row]:
    yield decoded(10_000_000)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each thing once and shortly; writes nothing")
    parser.add_argument(
        "--only", default="", metavar="WORDS", help="just the parts with these words in their name"
    )
    parser.add_argument("--rounds", type=int, help="how often, instead of five times")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    parser.add_argument("--minutes", type=float, default=45, help="begin nothing more after so many")
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("benchmarks need root; run them with sudo", file=sys.stderr)
        return 1
    deadline = time.monotonic() + 60 * args.minutes
    results = Results()
    if args.fresh or args.quick:
        results.sections = {}
    wanted = [part for part in parts(args.quick) if args.only.lower() in part[1].lower()]
    failed = 0
    turns = max((args.rounds or often for *_, often in wanted), default=0)
    for turn in range(turns):  # each part in turn, so that a drift of the machine meets them all
        for section, name, measure, often in wanted:
            if turn >= (args.rounds or often):
                continue
            if time.monotonic() > deadline:
                print(f"out of time before {name}, round {turn + 1}", file=sys.stderr)
                break
            print(f"{name}, round {turn + 1}", flush=True)
            try:
                rows = list(measure())
            except (RuntimeError, OSError, SockscopeError, subprocess.SubprocessError) as error:
                # what was measured before is kept; the others go on
                print(f"{name}, round {turn + 1}, failed: {error}", file=sys.stderr)
                failed += 1
                continue
            for row in rows:
                if section not in ("throughput", "probes"):
                    print(f"  {row}", flush=True)
            results.add(section, rows)
            if not args.quick:
                results.save()
                TABLES.write_text(document(results))
    if args.quick:
        print(document(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
