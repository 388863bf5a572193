"""Predict each setup of a server from a recording of each other one, and compare with a run of it.

``python -m tests.what_if.bench [--only WORDS] [--seconds S] [--write]``; needs root, nginx and gunicorn.
The simulation has no fitted constants.  Cases marked ``calibration`` were looked at while it was written.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import platform
import random
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sockscope.errors import SockscopeError
from sockscope.whatif.alternatives import Alternative
from sockscope.whatif.predict import predict
from sockscope.whatif.workload import Measured, Workload, extract
from tests.diagnosis.cases import nginx
from tests.diagnosis.stage import (
    ROOT,
    Case,
    Place,
    Start,
    announced,
    folder,
    free_port,
    on_port,
    play,
    python,
)

PAGE = ROOT / "docs" / "what-if.md"
_BEGIN, _END = "<!-- begin: make bench-what-if -->", "<!-- end: make bench-what-if -->"

#: The aims: relative error of p50 and p99, absolute error of max/mean.
P50, P99, SHARE = 0.15, 0.30, 0.1
#: Below this, a time is noise of the machine: errors smaller than it are none.
FLOOR_S = 100e-6


@dataclass(frozen=True)
class Setting:
    """One setup of a server: its name, what to predict, and how to start it."""

    name: str
    alternative: Alternative
    start: Start


@dataclass(frozen=True)
class Family:
    """Setups of one server under one load; each predicts each other one."""

    name: str
    settings: tuple[Setting, ...]
    load: Callable[[random.Random, Place], list[Sequence[str]]]
    calibration: bool = False
    cpu_bound: bool = False
    seconds: float = 6.0


@dataclass(frozen=True)
class Pair:
    family: Family
    recorded: str
    predicted: str
    p50: tuple[float, float, float, float]
    p99: tuple[float, float, float, float]
    share: tuple[float, float]
    overflow: tuple[bool, bool]
    p99_recorded: float


def poisson(
    rate: float, shape: str, mean_us: float, seconds: float = 30
) -> Callable[..., list[Sequence[str]]]:
    def load(_: random.Random, place: Place) -> list[Sequence[str]]:
        words = (place.port, rate, seconds, shape, mean_us, 1)  # the same clients for every setup
        return [python("tests.what_if.poisson_clients", *map(str, words))]

    return load


def closed(clients: int) -> Callable[..., list[Sequence[str]]]:
    def load(_: random.Random, place: Place) -> list[Sequence[str]]:
        flags = (f"--concurrency={clients}", "--connections=100000", "--duration=30")
        return [python("servers.load", "--connect", place.address, *flags)]

    return load


def blocking(sharing: str, workers: int, backlog: int = 511) -> Setting:
    def start(_: random.Random, stack: contextlib.ExitStack) -> Place:
        return announced(stack, python("tests.what_if.blocking_server", sharing, str(workers), str(backlog)))

    model = "shared:fifo" if sharing == "shared" else sharing
    if backlog != 511:
        return Setting(f"backlog {backlog}", Alternative(workers=workers, backlog=backlog), start)
    return Setting(f"{sharing} ×{workers}", Alternative(model=model, workers=workers), start)


def reference(model: str, workers: int, *flags: str, asked: str = "") -> Setting:
    def start(_: random.Random, stack: contextlib.ExitStack) -> Place:
        count = () if model == "single" else ("--workers", str(workers))
        return announced(stack, python("servers", model, *count, *flags))

    return Setting(f"{model} ×{workers}", Alternative(model=asked or model, workers=workers), start)


def gunicorn(workers: int) -> Setting:
    def start(_: random.Random, stack: contextlib.ExitStack) -> Place:
        port, home = free_port(), folder(stack)
        (home / "app.py").write_text(
            "import time\n"
            "def app(environ, start_response):\n"
            "    time.sleep(int(environ['PATH_INFO'].strip('/') or 0) / 1e6)\n"
            "    start_response('200 OK', [('Content-Length', '2')])\n"
            "    return [b'ok']\n"
        )
        command = ["gunicorn", "--chdir", str(home), "-w", str(workers), "-b", f"127.0.0.1:{port}", "app:app"]
        return on_port(stack, port, command)

    return Setting(f"sync ×{workers}", Alternative(workers=workers), start)


def nginx_setting(sharing: str, workers: int) -> Setting:
    name = f"{sharing} ×{workers}"
    option = "reuseport" if sharing == "reuseport" else ""
    return Setting(name, Alternative(model=sharing, workers=workers), nginx(workers, option))


BLOCKING = tuple(blocking(sharing, workers) for sharing in ("shared", "reuseport") for workers in (3, 6))
BACKLOGS = tuple(blocking("shared", 3, backlog) for backlog in (2, 5, 100))
REFERENCE = (
    reference("shared", 2, "--work=2000"),
    reference("reuseport", 2, "--work=2000"),
    reference("handoff", 2, "--work=2000"),
    reference("single", 1, "--work=2000"),
)
NGINX = tuple(nginx_setting(sharing, workers) for sharing in ("shared", "reuseport") for workers in (2, 4))

FAMILIES: tuple[Family, ...] = (
    Family("blocking handlers, heavy tail, 200/s × 6 ms", BLOCKING, poisson(200, "heavy", 6000), calibration=True),
    Family("blocking handlers, even, 300/s × 5 ms", BLOCKING, poisson(300, "even", 5000)),
    Family("blocking handlers, mixed, 150/s × 8 ms", BLOCKING, poisson(150, "mixed", 8000)),
    Family("blocking handlers, small backlog, 200/s × 8 ms", BACKLOGS, poisson(200, "heavy", 8000)),
    Family("reference servers, 2 ms of CPU, 150/s", REFERENCE, poisson(150, "even", 0), cpu_bound=True),
    Family("reference servers, 2 ms of CPU, closed loop of 6", REFERENCE, closed(6), cpu_bound=True),
    Family("gunicorn sync, heavy tail, 120/s × 8 ms", (gunicorn(2), gunicorn(4), gunicorn(6)), poisson(120, "heavy", 8000)),
    Family("Nginx, closed loop of 8", NGINX, closed(8), cpu_bound=True),
)  # fmt: skip


def record(family: Family, setting: Setting, seed: int, seconds: float) -> Workload:
    case = Case(f"{family.name} {setting.name}", setting.start, family.load, seconds=seconds)
    frame, _ = play(case, seed)
    server = max(frame.servers, key=lambda each: each.connections)
    return extract(frame, server)


def compare(family: Family, recorded: str, workload: Workload, setting: Setting, measured: Measured) -> Pair:
    found = predict(workload, [setting.alternative], saturation=False)
    prediction = found.alternatives[0]
    times = [
        (float(quantile), interval.value, interval.low, interval.high)
        for quantile, interval in zip(
            _quantiles(measured), (prediction.total.p50, prediction.total.p99), strict=True
        )
    ]
    shares = measured.shares
    mean = sum(shares) / max(prediction.workers, 1)
    return Pair(
        family,
        recorded,
        setting.name,
        times[0],
        times[1],
        (max(shares) / mean, prediction.max_over_mean.value),
        (measured.overflows > 0, prediction.overflows.value > 0),
        found.measured.total.p99.value,
    )


def _quantiles(measured: Measured) -> tuple[float, float]:
    import numpy as np

    p50, p99 = np.quantile(measured.total, [0.5, 0.99])
    return float(p50), float(p99)


def error(times: tuple[float, float, float, float]) -> float:
    measured, predicted = times[:2]
    return 0.0 if abs(predicted - measured) < FLOOR_S else predicted / measured - 1


def is_covered(times: tuple[float, float, float, float]) -> bool:
    measured, _, low, high = times
    return low - FLOOR_S <= measured <= high + FLOOR_S


def is_better_named(pair: Pair) -> bool | None:
    """Whether the direction of p99 is right; None when both runs differ by less than 30 %."""
    change = pair.p99[0] / pair.p99_recorded
    if 1 / 1.3 < change < 1.3 or abs(pair.p99[0] - pair.p99_recorded) < 10 * FLOOR_S:
        return None
    return (change > 1) == (pair.p99[1] > pair.p99_recorded)


def table(pairs: Sequence[Pair], refusals: Sequence[str]) -> str:
    lines = [
        f"Measured on {os.cpu_count()} CPUs, Linux {platform.release().split('-')[0]}, load average {os.getloadavg()[2]:.1f} over "
        f"15 minutes; {len(pairs)} pairs.",
        "",
    ]
    kinds = (
        ("Validation, handlers that block", False, False),
        ("Validation, handlers that use the CPU", False, True),
        ("Calibration (looked at while the simulation was written)", True, False),
    )
    for title, calibration, cpu_bound in kinds:
        chosen = [p for p in pairs if (p.family.calibration, p.family.cpu_bound) == (calibration, cpu_bound)]
        if chosen:
            lines += [f"**{title}**: {_summary(chosen)}", ""]
    lines += [
        "| load | recorded | predicted | p50 measured / predicted, ms | error | p99 measured / predicted (interval), ms | error "
        "| max/mean measured / predicted | overflow |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        p50, p99 = pair.p50, pair.p99
        overflow = "right" if pair.overflow[0] == pair.overflow[1] else "**wrong**"
        lines.append(
            f"| {pair.family.name} | {pair.recorded} | {pair.predicted} | {_ms(p50[0])} / {_ms(p50[1])} | {error(p50):+.0%} "
            f"| {_ms(p99[0])} / {_ms(p99[1])} ({_ms(p99[2])}–{_ms(p99[3])}) | {error(p99):+.0%} "
            f"| {pair.share[0]:.2f} / {pair.share[1]:.2f} | {overflow} |"
        )
    lines += ["", *(f"- not predicted: {refusal}" for refusal in refusals)]
    return "\n".join(lines).rstrip() + "\n"


def _summary(pairs: Sequence[Pair]) -> str:
    named = [right for pair in pairs if (right := is_better_named(pair)) is not None]
    rates = (
        ("p50 within 15 %", [abs(error(pair.p50)) <= P50 for pair in pairs], "all"),
        ("p99 within 30 %", [abs(error(pair.p99)) <= P99 for pair in pairs], "all"),
        (
            "max/mean within 0.1",
            [round(abs(pair.share[0] - pair.share[1]), 2) <= SHARE for pair in pairs],
            "all",
        ),
        ("overflow yes/no right", [pair.overflow[0] == pair.overflow[1] for pair in pairs], "all"),
        ("interval covers p99", [is_covered(pair.p99) for pair in pairs], "90 %"),
        ("better of the two named right", named, "95 %"),
    )
    return "; ".join(f"{name} {sum(right)} of {len(right)} (aim: {aim})" for name, right, aim in rates) + "."


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.what_if.bench")
    parser.add_argument("--only", default="", help="families whose name has this in it")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0, help="length of each run")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    args = parser.parse_args()
    refusals: list[str] = []
    chosen = [family for family in FAMILIES if args.only.lower() in family.name.lower()]
    found: dict[tuple[str, str], Workload] = {}
    for family, setting in [(each, setting) for each in chosen for setting in each.settings]:
        name = f"{family.name}, {setting.name}"
        try:
            found[family.name, setting.name] = record(
                family, setting, args.seed, args.seconds or family.seconds
            )
        except SockscopeError as refusal:
            refusals.append(f"{name}: {refusal.message}")
        except Exception:
            refusals.append(f"{name}: {traceback.format_exc(limit=-1).splitlines()[-1]}")
    pairs: list[Pair] = []
    for family in chosen:
        for before, after in itertools.permutations(family.settings, 2):
            recorded, measured = (found.get((family.name, each.name)) for each in (before, after))
            if recorded is None or measured is None:
                continue
            try:
                pairs.append(compare(family, before.name, recorded, after, measured.measured))
            except SockscopeError as refusal:
                refusals.append(f"{family.name}, {before.name} → {after.name}: {refusal.message}")
    text = table(pairs, refusals)
    print(text)
    if args.write:
        page = PAGE.read_text()
        head, _, rest = page.partition(_BEGIN)
        tail = rest.partition(_END)[2]
        PAGE.write_text(f"{head}{_BEGIN}\n\n{text}\n{_END}{tail}")
    return 0 if pairs else 1


if __name__ == "__main__":
    sys.exit(main())
