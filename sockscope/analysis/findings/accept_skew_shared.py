"""Detect a shared listening socket from which some acceptors take far more connections than others."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.fairness import fairness
from sockscope.analysis.findings._context import ServerContext, percent, shares, skew_evidence, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.severity import Severity


class AcceptSkewShared:
    id = "accept-skew-shared"
    title = "Accepts are skewed on a shared socket"
    cause = (
        "All acceptors wait for one socket, and the kernel or the server's accept strategy prefers "
        "some of them."
    )
    effect = (
        "Connections on the preferred workers wait for each other; short requests under light load "
        "are not affected."
    )
    verify = (
        "Record again: accepts should be even or the busiest worker below saturation (sockscope compare)."
    )
    needs: tuple[str, ...] = ("wait",)

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        figure, group, limits = context.figures.accepts, context.group, context.thresholds
        used = {listener for listener, number in group.per_listener.items() if number}
        if not context.enough or len(context.accepting) < 2 or len(used) > 1:
            return
        fair, top = figure.fairness, figure.top
        if fair.judgement != "skewed" or fair.max_over_mean < limits.effect or top is None:
            return
        loads = {worker.id: context.load(worker) for worker in context.accepting}
        others = [load for number, load in loads.items() if number != top.id]
        severity = _severity(context, loads[top.id], min(others), top.id)
        evidence = {
            **skew_evidence("accepts", figure),
            "busiest_load": round(loads[top.id], 3),
            "idlest_load": round(min(others), 3),
        }
        yield diagnosis(
            self,
            context,
            severity,
            context.name,
            f"{len(context.accepting)} acceptors share one socket and accepted {shares(fair.values)} connections"
            f" (max/mean {fair.max_over_mean:.2f}; CV {fair.cv:.2f}, {fair.noise_cv:.2f} expected from random"
            f" assignment). {thread_label(top)} is busy {percent(loads[top.id])} of the time, the least busy"
            f" acceptor {percent(min(others))}."
            + (" This is harmless for short requests under light load." if severity == "info" else ""),
            evidence,
            (
                "For long-lived connections use SO_REUSEPORT, bound in each worker after fork. Tail latency"
                " gets worse if handlers block.",
                "Or stop watching the listener in workers that hold more than their fair share of connections.",
                "Or limit the age of connections, so that they are distributed again.",
            ),
            weight=min(1 - 1 / fair.max_over_mean, 1),
            explains=(
                "idle-workers",
                "heavy-connections",
                "open-connections-skew",
                "queue-wait-high",
                "reader-late",
                "loop-stall",
            ),
        )


def _severity(context: ServerContext, top: float, least: float, number: int) -> Severity:
    if context.interchangeable_threads or _hands_over_to_itself(context):
        return "info"
    limits = context.thresholds
    worker = context.snapshot.workers[number]
    if context.saturated(worker) and least < limits.slack * top:
        return "warning"
    if context.long_enough and top >= limits.loaded and least < limits.slack * top:
        return "notice"
    open_now = fairness(context.figures.open.values)
    if open_now.judgement == "skewed" and open_now.max_over_mean >= limits.effect and _long_lived(context):
        return "notice"
    return "info"


def _hands_over_to_itself(context: ServerContext) -> bool:
    """Return whether the acceptors are threads of one process that hand connections to each other to be served."""
    acceptors = {worker.id for worker in context.server.acceptors}
    readers = {worker.id for worker in context.server.readers}
    one_process = len({worker.pid for worker in context.server.acceptors}) == 1
    return (
        one_process and context.server.handoff == "thread" and 2 * len(acceptors & readers) >= len(acceptors)
    )


def _long_lived(context: ServerContext) -> bool:
    """Return whether most connections are still open."""
    return context.figures.open.fairness.total >= 0.5 * max(context.server.connections, 1)


DETECTOR = AcceptSkewShared()
