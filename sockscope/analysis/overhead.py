"""The overhead of tracing: the process of the tracer, and its probes in the kernel."""

from __future__ import annotations

from dataclasses import dataclass

from sockscope.model.snapshot import Snapshot


@dataclass(frozen=True)
class Overhead:
    """The overhead; shares are of one CPU and may exceed 1.

    Probes are timed in one tick of eight, because timing itself costs some 50 ns per run (included).
    ``probe_share``, ``event_ns`` (per run of a probe) and ``request_ns`` (all probes, per read of a
    worker) are of those ticks, and None without any.
    """

    user_share: float
    probe_share: float | None
    event_ns: float | None
    request_ns: float | None
    resident_bytes: int


def measure_overhead(snapshot: Snapshot) -> Overhead | None:
    """Return the overhead; None for a source that does not measure it."""
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
