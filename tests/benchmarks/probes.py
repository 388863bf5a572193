"""Measure the time in the probes with the kernel's BPF run-time statistics.

The statistics include their own cost, two clock reads per run.  An empty program, attached in the same run to
a tracepoint that fires for every read, measures this cost.  The results are the counted time, the time of an
empty program, and the difference.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from typing import Any

from sockscope.bpf import attaching, syscall
from tests.benchmarks.tracers import Tracer, at_work
from tests.benchmarks.workloads import Workload

#: r0 = 0; exit
EMPTY = struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0)
_READS = "sock_recv_length"


def probe_time(workload: Workload, tracer: Tracer, seconds: float) -> dict[str, Any]:
    """Run time of each of the tracer's programs while the workload runs, a request."""
    with workload.serve() as serving:
        workload.load(serving.port, 1)
        before = set(_programs())
        empty = syscall.load_program("empty", "raw", EMPTY)
        link = attaching.attach_raw(_READS, empty)
        try:
            with at_work(tracer, serving):
                ours = set(_programs()) - before
                statistics = syscall.enable_stats()
                try:
                    begin, floor_begin = _programs(), syscall.run_time(empty)
                    load = workload.load(serving.port, seconds)
                    end, floor_end = _programs(), syscall.run_time(empty)
                finally:
                    os.close(statistics)
        finally:
            os.close(link)
            os.close(empty)
    floor = (floor_end[0] - floor_begin[0]) / max(1, floor_end[1] - floor_begin[1])
    programs = {}
    for number in sorted(ours & end.keys() & begin.keys()):
        name, ns, runs = end[number]
        ns, runs = ns - begin[number][1], runs - begin[number][2]
        if runs and name != "empty":
            held = programs.setdefault(name, [0, 0])
            held[0] += ns
            held[1] += runs
    return {
        "workload": workload.name,
        "tracer": tracer.name,
        "requests": load.requests,
        "floor_ns": floor,
        "runs": sum(runs for _, runs in programs.values()) / load.requests,
        "counted_ns": sum(ns for ns, _ in programs.values()) / load.requests,
        "net_ns": sum(ns - floor * runs for ns, runs in programs.values()) / load.requests,
        "programs": {
            name: {"ns": ns / runs, "runs": runs / load.requests} for name, (ns, runs) in programs.items()
        },
    }


def _programs() -> dict[int, tuple[str, int, int]]:
    """Every BPF program of the host: number → (name, ns, runs)."""
    said = subprocess.run(["bpftool", "prog", "show", "-j"], capture_output=True, check=True).stdout
    return {
        entry["id"]: (entry.get("name", "?"), entry.get("run_time_ns", 0), entry.get("run_cnt", 0))
        for entry in json.loads(said)
    }
