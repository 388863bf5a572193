"""Run published cases on this machine and write docs/published.md.

``python -m tests.diagnosis.published [--write]``; needs root and nginx, takes about two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sockscope import formatting
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.server import Server
from tests.diagnosis.cases import CALM, nginx, reference
from tests.diagnosis.stage import ROOT, Case, Load, Place, Start, play, python

DOCUMENT = ROOT / "docs" / "published.md"
WORKERS, WORK_US, CLIENTS, LOAD_S, ROUNDS = 6, 4000, 60, 4.0, 3


@dataclass(frozen=True)
class Outcome:
    """One run: latencies of its clients (ms; empty if not measured), and the results of sockscope."""

    name: str
    frame: Frame
    findings: tuple[Finding, ...]
    spent_ms: Sequence[float]

    @property
    def server(self) -> Server:
        return max(self.frame.servers, key=lambda server: server.connections)

    @property
    def shares(self) -> str:
        """Connections accepted by each acceptor that could have, largest first."""
        return ", ".join(f"{value:.0f}" for value in sorted(self.server.group.fairness.values, reverse=True))

    @property
    def queue_wait(self) -> str:
        wait = self.frame.queue_wait[self.server.group.name]
        return f"{formatting.duration(wait.p50)} / {formatting.duration(wait.p99)}"

    @property
    def empty(self) -> int:
        return sum(worker.accepts_eagain for worker in self.server.acceptors)

    @property
    def said(self) -> str:
        return ", ".join(f"`{finding.id}` ({finding.severity})" for finding in self.findings) or "nothing"

    def finding(self, id: str) -> str:
        """The finding as `sockscope report` prints it."""
        for finding in self.findings:
            if finding.id == id:
                return f"{finding.severity}: {finding.title} [{finding.id}]\n  {finding.explanation}"
        return "(nothing was found)"

    def order(self) -> str:
        """Numbers of the workers in the order in which they accepted."""
        snapshot = self.frame.snapshot
        rows = snapshot.connections[snapshot.connections["acceptor"] > 0]
        rows = rows[np.argsort(rows["accepted_ns"])]
        return ",".join(snapshot.workers[int(row["acceptor"])].comm.rpartition("-")[2] for row in rows)


def run(name: str, start: Start, load: Load, seconds: float) -> Outcome:
    frame, findings = play(Case(name, start, load, seconds=seconds), seed=1)
    return Outcome(name, frame, findings, ())


def run_closed_loop(
    name: str, start: Start, clients: int, load_s: float, pause_ms: float, seconds: float
) -> Outcome:
    """Run a case with clients that measure their latencies."""
    with tempfile.TemporaryDirectory(prefix="published-") as home:
        file = Path(home) / "spent"

        def load(chance: random.Random, place: Place) -> list[Sequence[str]]:
            words = [place.port, clients, load_s, pause_ms, file]
            return [python("tests.diagnosis.closed_loop", *map(str, words))]

        frame, findings = play(Case(name, start, load, seconds=seconds), seed=1)
        # the first round starts with all clients at once
        return Outcome(name, frame, findings, json.loads(file.read_text())[clients:])


def costly() -> Iterator[str]:
    flags = (f"--workers={WORKERS}", f"--work={WORK_US}")
    models = {"one shared queue": "shared", "reuseport": "reuseport"}
    # in turns: the machine may be slower for a while
    outcomes = [
        run_closed_loop(name, reference(model, *flags), CLIENTS, LOAD_S, 0, LOAD_S + 2)
        for _ in range(ROUNDS)
        for name, model in models.items()
    ]
    averages, relative = (
        [
            statistics.median(figure(outcome.spent_ms) for outcome in outcomes if outcome.name == name)
            for name in models
        ]
        for figure in (statistics.mean, _relative_deviation)
    )
    average, spread = averages[1] / averages[0], relative[1] / relative[0]
    yield from (
        "## Shared queue or reuseport, expensive handlers",
        "",
        "Published (Cloudflare, 2017: 12 workers, a CPU-bound handler, 100,000 requests from 200 clients, no"
        " keep-alive), milliseconds:",
        "",
        "| | min | average | median | max | deviation | ≥ 64 ms (2.1 times the first median) |",
        "|---|---|---|---|---|---|---|",
        "| one shared queue | 3.61 | 30.39 | 30.28 | 72.65 | 1.58 | 1 |",
        "| reuseport | 1.49 | 31.37 | 24.67 | 144.55 | 25.27 | 11,426 |",
        "",
        f"Here ({WORKERS} workers of the reference server, {WORK_US / 1000:g} ms of CPU per request, {CLIENTS} clients,"
        f" {LOAD_S:g} s each, alternating; latency from connect() to the last byte; late: more than 2.1 times the median"
        " of the shared queue in the same round):",
        "",
        "| | min | average | median | p99 | max | deviation | deviation / average | late | requests |",
        "|---|---|---|---|---|---|---|---|---|---|",
    )
    for index, outcome in enumerate(outcomes):
        spent = outcome.spent_ms
        late_ms = 2.1 * statistics.median(outcomes[index - index % 2].spent_ms)
        late = sum(value >= late_ms for value in spent)
        yield (
            f"| {outcome.name} | {min(spent):.1f} | {statistics.mean(spent):.1f} | {statistics.median(spent):.1f} |"
            f" {float(np.percentile(spent, 99)):.1f} | {max(spent):.1f} | {statistics.stdev(spent):.1f} |"
            f" {_relative_deviation(spent):.2f} | {late} | {len(spent)} |"
        )
    yield from (
        "",
        "sockscope on the same runs:",
        "",
        "| | queue wait p50 / p99 | accepted by each worker | findings |",
        "|---|---|---|---|",
    )
    for outcome in outcomes:
        yield f"| {outcome.name} | {outcome.queue_wait} | {outcome.shares} | {outcome.said} |"
    yield from (
        "",
        "Comparison of the medians:",
        "",
        f"- Equal average: {_reproduced(0.8 <= average <= 1.25)}; reuseport's is {average:.2f} times the shared"
        " queue's (published: 1.03 times).",
        f"- Larger relative deviation with reuseport: {_reproduced(spread > 1.5)}; {spread:.1f} times as large"
        " (published: 15.5 times).",
        f"- Size of that ratio: {_reproduced(8 <= spread <= 32)}.",
        "",
        f"{WORKERS} workers share {os.cpu_count()} CPUs with the clients, the tracer and other load. That adds a deviation"
        " to the latencies of the shared queue that a worker with its own CPU does not have. The average latency is the"
        " number of clients divided by the throughput, so it depends on the CPU time that is available in a round.",
    )


def light() -> Iterator[str]:
    outcome = run("light load", reference("shared", "--workers=4"), CALM, 6)
    values = sorted(outcome.server.group.fairness.values, reverse=True)
    largest = values[0] / max(sum(values), 1)
    yield from (
        "## Shared queue under light load: last waiter first",
        "",
        "Published: with EPOLLEXCLUSIVE the kernel wakes the waiter that was added last, so a lightly loaded server uses few"
        ' of its workers. Linux da5e36308d9f reports shares "as high as 3:1".',
        "",
        f"Here (4 workers, 120 connections per second, {outcome.server.connections} in all): the workers accepted"
        f" **{outcome.shares}**; the busiest has {largest:.0%}. Queue wait p50 / p99: {outcome.queue_wait}.",
        "",
        "```",
        outcome.finding("accept-skew-shared"),
        "```",
        "",
        f"- Skewed shares: {_reproduced(largest > 0.5)}.",
        f"- Ratio of at least 3:1 between the first and the second: {_reproduced(values[0] >= 3 * values[1])}.",
    )


def order() -> Iterator[str]:
    outcomes = [
        run_closed_loop(name, reference("shared", "--workers=3", f"--wait={wait}"), 1, 0.62, 100, 2.5)
        for name, wait in (("blocking accept()", "accept"), ("EPOLLEXCLUSIVE", "exclusive"))
    ]
    blocking, exclusive = (outcome.order().split(",")[:6] for outcome in outcomes)
    yield from (
        "## Wake order",
        "",
        "3 workers, 6 clients one at a time, 100 ms apart; number of the worker that accepted each connection:",
        "",
        "| | published | here |",
        "|---|---|---|",
        f"| blocking accept() | 2,1,0,2,1,0 | {','.join(blocking)} |",
        f"| EPOLLEXCLUSIVE | 0,0,0,0,0,0 | {','.join(exclusive)} |",
        "",
        "- Round robin with blocking accept():"
        f" {_reproduced(blocking[:3] == blocking[3:] and len(set(blocking)) == 3)}.",
        f"- Always the same worker with EPOLLEXCLUSIVE: {_reproduced(len(exclusive) == 6 and len(set(exclusive)) == 1)}.",
        "",
        "The first number depends only on the order in which the workers began to wait.",
    )


def accept_mutex() -> Iterator[str]:
    outcomes = [
        run("accept_mutex off", nginx(4, "", "accept_mutex off;"), CALM, 6),
        run("accept_mutex on", nginx(4, "", "accept_mutex on; accept_mutex_delay 50ms;"), CALM, 6),
        run("reuseport", nginx(4, "reuseport", "accept_mutex off;"), CALM, 6),
    ]
    shown = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr
    version = shown.rpartition("/")[2].strip()
    uneven = [outcome.server.group.fairness.max_over_mean for outcome in outcomes]
    yield from (
        "## Nginx: accept_mutex off, on, and reuseport",
        "",
        "Published: with one queue, with or without the lock, a lightly loaded Nginx uses few of its workers; with reuseport"
        " connections are distributed by hash.",
        "",
        "Here (4 workers, 120 connections per second, accept_mutex_delay 50 ms):",
        "",
        "| | model | accepted by each worker | max / mean | EAGAIN at accept | queue wait p50 / p99 | findings |",
        "|---|---|---|---|---|---|---|",
    )
    for outcome, one in zip(outcomes, uneven, strict=True):
        yield (
            f"| {outcome.name} | {outcome.server.model} | {outcome.shares} | {one:.2f} | {outcome.empty} |"
            f" {outcome.queue_wait} | {outcome.said} |"
        )
    yield from (
        "",
        f"- Skew without the lock: {_reproduced(uneven[0] > 1.5)}; with it: {_reproduced(uneven[1] > 1.5)}.",
        f"- Even (within random variation) with reuseport: {_reproduced(uneven[2] < 1.5)}.",
        "- Thundering herd without the lock: not reproduced, as expected: since 1.11.3 Nginx registers its listeners with"
        " EPOLLEXCLUSIVE when accept_mutex is off.",
        "",
        f"This is Nginx {version}. Since 1.21.6, with accept_mutex off, a worker periodically adds its listener to epoll"
        " again, so that another waiter becomes the last one. The published skew is of older versions. With the lock,"
        " the skew remains.",
    )


def _relative_deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) / statistics.mean(values)


def _reproduced(well: bool) -> str:
    return "reproduced" if well else "**not** reproduced"


def document() -> Iterator[str]:
    yield from (
        "# Published cases",
        "",
        f"Generated by `python -m tests.diagnosis.published --write` on {os.cpu_count()} CPUs, Linux"
        f" {platform.release()}, which servers, clients and tracer share. Cases that need a dozen CPUs are compared in"
        " direction and ratio only.",
        "",
    )
    for part in (costly, light, order, accept_mutex):
        yield from part()
        yield ""
    yield from (
        "## Not attempted",
        "",
        "- Standard deviations over the workers of 26 % and 2.7 % CPU, and of 3200 and 50 connections (Hermes, SIGCOMM'25);"
        " 860 s and 24 s (Linux df0108c5da56): they need many CPUs and thousands of clients.",
        "- Connections per worker before and after a fix, from issue reports: they are unit tests of the fairness statistics.",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.diagnosis.published")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name}")
    args = parser.parse_args()
    lines = []
    for line in document():
        print(line, flush=True)
        lines.append(line)
    if args.write:
        DOCUMENT.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
