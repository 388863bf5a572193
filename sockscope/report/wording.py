"""Words that several report formats share."""

from __future__ import annotations

import math

from sockscope import formatting
from sockscope.analysis.fairness import Fairness
from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.analysis.signal_requirements import NOT_TRACED
from sockscope.analysis.waiter_samples import WaiterSamples
from sockscope.model.snapshot import Worker

NO_LISTENER = "No listening socket matched the target."

#: Where a thread did more than its row shows.
WORKS_FOR_OTHERS = (
    "Busy time, stalls and data wait include work of these threads for other listeners,"
    " and for connections whose listener is unknown."
)


def describe_model(server: Server) -> str:
    """Return ``dispatch, hand-off by request  (confidence 0.99)``."""
    if server.model == "unknown":
        return f"unknown: {server.why}"
    parts = [server.model]
    if server.handoff not in ("none", "unknown"):
        parts.append(f"hand-off by {server.handoff}")
    if server.roaming:
        parts.append("roaming")
    return f"{', '.join(parts)}  (confidence {server.confidence:.2f})"


def describe_fairness(judged: Fairness) -> str:
    """Return ``skewed (p < 0.001): max/mean 2.98, CV 0.91, 0.05 expected from random hashing``."""
    noise = "" if math.isnan(judged.noise_cv) else f", {judged.noise_cv:.2f} expected from random hashing"
    return f"{judged.words}: max/mean {judged.max_over_mean:.2f}, CV {judged.cv:.2f}{noise}"


def describe_accepts(judged: Fairness) -> str:
    """Return how the accepts are distributed, in a word or a few."""
    return "one thread" if judged.judgement == "single_sharer" else judged.words


def label_thread(worker: Worker) -> str:
    """Return a thread's name and id."""
    return f"{worker.comm} {worker.number}"


def format_busy(worker: Worker) -> str:
    """Return the part of its time that a thread was not waiting, as a percentage."""
    return formatting.share(worker.busy_ns, worker.busy_ns + worker.wait_ns) if worker.waits else "–"


def format_waiting(samples: WaiterSamples, worker: Worker) -> str:
    """Return the part of the sampled arrivals at which a thread waited, as a percentage."""
    found = samples.by_worker.get(worker.id)
    return formatting.share(found.times, found.samples) if found else "–"


def describe_waiting(samples: WaiterSamples) -> tuple[str, ...]:
    """Return the sentences that explain the column ``waiting``."""
    count = formatting.count(samples.samples)
    lines = [
        f"waiting: share of {count} sampled arrivals at which the thread was waiting for this listener",
    ]
    if samples.unnamed:
        part = formatting.share(samples.unnamed, samples.samples)
        lines.append(f"at {part} of them, some waiting threads could not be identified")
    return tuple(lines)


def describe_limitations(frame: Frame) -> tuple[str, ...]:
    """Return ``signal NAME (METHOD): LIMITATIONS`` for each signal that has some."""
    return tuple(
        f"signal {signal.name} ({signal.method or NOT_TRACED}): {signal.limitations}"
        for signal in frame.meta.signals
        if signal.limitations
    )


def describe_exactness(frame: Frame) -> str:
    """Return how many connections were observed completely, and why the others were not."""
    found = frame.exactness
    if not found.total:
        return "No connections were observed."
    words = (
        f"{formatting.count(found.exact)} of {formatting.count(found.total)} connections are exact"
        " (observed completely, from the handshake on)"
    )
    reasons = [f"{formatting.count(number)} {reason}" for reason, number in found.reasons]
    return f"{words}; {'; '.join(reasons)}." if reasons else f"{words}."


def describe_overhead(frame: Frame) -> str:
    """Return what tracing cost the host."""
    spent = frame.overhead
    if spent is None:
        return "Overhead was not measured."
    words = (
        f"Overhead: {100 * spent.user_share:.1f} % of a CPU in user space,"
        f" {formatting.size(spent.resident_bytes)} resident"
    )
    if spent.probe_share is not None and spent.event_ns is not None:
        request = f", {formatting.duration(spent.request_ns)} per request" if spent.request_ns else ""
        words += (
            f", probes {formatting.duration(spent.event_ns)} per event{request} and"
            f" {100 * spent.probe_share:.2f} % of a CPU while sampled"
        )
    return f"{words}."
