"""Stacks with their time, for flame graphs: folded lines and speedscope's file format."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection

from sockscope.analysis.time_accounting import classify, describe, has_epoll_loop
from sockscope.tracer.why_tracer import RUNNING, SAMPLE_KERNEL, SAMPLE_USER, SAMPLES_PER_S, Period, WhyTrace

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def as_folded(trace: WhyTrace, ports: Collection[int]) -> str:
    """Format one line per stack, outermost frame first, with its time in microseconds.

    The time of a sample is the interval between samples.
    """
    lines = []
    for thread, stacks in _stacks(trace, ports).items():
        for frames, ns in stacks.items():
            if ns >= 1000:
                lines.append(
                    f"{';'.join(frame.replace(';', ':') for frame in (thread, *frames))} {ns // 1000}"
                )
    return "".join(f"{line}\n" for line in lines)


def as_speedscope(trace: WhyTrace, ports: Collection[int]) -> str:
    """Format one sampled profile per thread."""
    numbers: dict[str, int] = {}
    profiles = []
    for thread, stacks in _stacks(trace, ports).items():
        profiles.append(
            {
                "type": "sampled",
                "name": thread,
                "unit": "nanoseconds",
                "startValue": 0,
                "endValue": sum(stacks.values()),
                "samples": [[numbers.setdefault(name, len(numbers)) for name in frames] for frames in stacks],
                "weights": list(stacks.values()),
            }
        )
    shared = {"frames": [{"name": name} for name in numbers]}
    return json.dumps({"$schema": _SCHEMA, "shared": shared, "profiles": profiles}) + "\n"


def _stacks(trace: WhyTrace, ports: Collection[int]) -> dict[str, Counter[tuple[str, ...]]]:
    comms = {(thread.pid, thread.tid): thread.comm for thread in trace.threads}
    by_thread: dict[tuple[int, int], list[Period]] = {}
    for period in trace.periods:
        by_thread.setdefault((period.pid, period.tid), []).append(period)
    found: dict[str, Counter[tuple[str, ...]]] = {}
    for key, periods in by_thread.items():
        stacks: Counter[tuple[str, ...]] = Counter()
        epoll = has_epoll_loop(periods)
        for period in periods:
            if period.kind == RUNNING:
                continue  # its samples have the stacks
            top = describe(period)
            frames = (
                classify(period, ports, has_epoll=epoll),
                *reversed(period.frames),
                *([top] if top else []),
            )
            is_sample = period.kind in (SAMPLE_USER, SAMPLE_KERNEL)
            stacks[frames] += period.count * 10**9 // SAMPLES_PER_S if is_sample else period.ns
        found[f"{comms.get(key, '')} {key[0]}/{key[1]}"] = stacks
    return found
