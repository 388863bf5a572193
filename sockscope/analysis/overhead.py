"""What tracing costs the host: the tool's own process, and its probes in the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from sockscope.model.snapshot import Snapshot


@dataclass(frozen=True)
class Overhead:
    """Shares are of one CPU, 0 to 1 and beyond.

    The probes are timed in one tick of eight, since timing costs as well (some 50 ns a run, which is
    part of what is told): ``probe_share``, ``event_ns`` (a run of a probe) and ``request_ns`` (all
    probes, for each read of a worker) are of those moments, and None when there was none.
    """

    user_share: float
    probe_share: float | None
    event_ns: float | None
    request_ns: float | None
    resident_bytes: int


def measure_overhead(snapshot: Snapshot) -> Overhead | None:
    """None for a source that measures nothing of that."""
    spent = snapshot.health.cost
    if not spent.elapsed_ns:
        return None
    timed = bool(spent.probe_runs and spent.sampled_ns)
    share = spent.probe_ns / spent.sampled_ns if timed else None
    return Overhead(
        user_share=spent.user_cpu_ns / spent.elapsed_ns,
        probe_share=share,
        event_ns=spent.probe_ns / spent.probe_runs if timed else None,
        request_ns=spent.probe_ns / spent.sampled_reads if timed and spent.sampled_reads else None,
        resident_bytes=spent.resident_bytes,
    )
