"""Measure the throughput of a traced server, relative to an untraced run.

A machine of two CPUs is noisy and drifts.  A ratio is therefore always that of two consecutive runs, and the
result is the median of several, with minimum and maximum.  ``rate`` is requests per second at the client, which
includes the influence of everything else on the machine.  ``work`` is requests per second of CPU time of server
and client; probes run in their contexts, so it includes the probes, and other processes influence it only
through caches and clocks.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.tracers import LIVE, Tracer, at_work, attachments, cpu_seconds, last_words, losses
from tests.benchmarks.workloads import Load, Serving, Workload

Row = dict[str, Any]

#: A tracer's beginning is not what it costs: the first readings load and compile, ours are counted by the
#: kernel's statistics, and the screen is drawn.
_UNTIL_STEADY_S = 2.0


@dataclass(frozen=True)
class Measured:
    """A load, and the CPU seconds that server and client used for it."""

    load: Load
    cpu_s: float

    @property
    def work(self) -> float:
        return self.load.requests / self.cpu_s


def measured(workload: Workload, serving: Serving, seconds: float) -> Measured:
    pids = serving.pids()
    before = sum(map(cpu_seconds, pids)) + _of_clients()
    load = workload.load(serving.port, seconds)
    return Measured(load, sum(map(cpu_seconds, pids)) + _of_clients() - before)


def _of_clients() -> float:
    """Of children that have ended; among them is a tracer only once it has."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _in_any_order(tracers: Sequence[Tracer]) -> Iterator[Tracer]:
    pairs = [tracers[at : at + 2] for at in range(0, len(tracers), 2)]
    for pair in random.sample(pairs, len(pairs)):
        yield from pair


def one_round(
    workload: Workload, tracers: Sequence[Tracer], seconds: float, say: Callable[[str], None] = print
) -> Iterator[Row]:
    """Every tracer once, an untraced run before every second one: U A B U C D U.

    Pairs stay together, and their order varies: a server that has just started is faster, and the same tracer
    would always be compared with it.
    """
    with workload.serve() as serving:
        workload.load(serving.port, 1)  # it warms up
        beside: Measured | None = None
        for number, tracer in enumerate(_in_any_order(tracers)):
            if beside is None:
                beside = measured(workload, serving, seconds)
            row: Row = {"workload": workload.name, "tracer": tracer.name}
            try:
                with at_work(tracer, serving) as running:
                    time.sleep(_UNTIL_STEADY_S)
                    traced = measured(workload, serving, seconds)
                    attached = attachments(running.process.pid)
            except RuntimeError as error:
                say(f"  {tracer.name}: {error}")
                yield row | {"error": str(error)}
                beside = None  # too long ago for the next
                continue
            if number % 2:  # the untraced run that follows is as near as the one before
                beside = measured(workload, serving, seconds)
            p99, p99_beside = traced.load.p99_ms, beside.load.p99_ms
            row |= {
                "rate_ratio": traced.load.rate / beside.load.rate,
                "work_ratio": traced.work / beside.work,
                "rate": traced.load.rate,
                "untraced_rate": beside.load.rate,
                "cpu_ns": 1e9 / traced.work,
                "untraced_cpu_ns": 1e9 / beside.work,
                "requests": traced.load.requests,
                "p99_ratio": p99 / p99_beside if p99 and p99_beside else None,
                "busy": running.spent["busy"],
                "resident": running.spent["resident"],
                "lost": losses(tracer, running),
                "attached": attached,
            }
            if recording := running.spent.get("recording"):
                row["recording_bytes"] = recording["bytes"]
                row["connections"] = recording["connections"]
            if tracer is LIVE:
                row |= {name: last_words(running)[name] for name in ("ticks", "reads", "writes")}
            say(
                f"  {tracer.name}: rate {row['rate_ratio']:.3f}, work {row['work_ratio']:.3f} "
                f"of {beside.load.rate:,.0f}/s, busy {row['busy']:.3f}, lost {row['lost']}"
            )
            yield row
