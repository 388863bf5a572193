"""Detect connections that wake several acceptors, of which all but one find nothing."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ThunderingHerd:
    id = "thundering-herd"
    title = "Thundering herd: each connection wakes several acceptors"
    cause = (
        "Several threads watch one listening socket without EPOLLEXCLUSIVE, and the kernel wakes all of them."
    )
    effect = "Wake-ups cost CPU time; clients notice it only when CPU is scarce."
    verify = "Record again: spurious wake-ups per connection should be near zero."
    needs: tuple[str, ...] = ("read", "write", "wait")

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits, crowd = context.thresholds, context.server.acceptors
        accepts = sum(worker.accepts for worker in crowd)
        crowd = context.accepting if len(context.accepting) > len(crowd) else crowd
        if len(crowd) < 2 or accepts < limits.fewest:
            return
        # a loop that accepts until EAGAIN ends each burst with one EAGAIN: that is no herd
        vain = sum(min(worker.wakeups_spurious, worker.accepts_eagain) for worker in crowd)
        each, rate = vain / accepts, context.per_second(vain)
        if each < limits.herd:
            return
        costly = context.long_enough and rate >= limits.herd_rate
        several = sum(worker.accepts_eagain > 0 for worker in crowd)
        yield diagnosis(
            self,
            context,
            ("warning" if each >= 1 else "notice") if costly and several > 1 else "info",
            context.name,
            f"{len(crowd)} threads wait for the same socket. For {formatting.count(accepts)} connections they had"
            f" {formatting.count(vain)} spurious wake-ups ({each:.1f} per connection, {formatting.count(rate)} per"
            " second) in which accept() returned EAGAIN.",
            {
                "acceptors": len(crowd),
                "accepts": accepts,
                "wakeups_for_nothing": vain,
                "per_accept": round(each, 3),
                "per_second": round(rate, 1),
            },
            (
                "Add the listening socket to epoll with EPOLLEXCLUSIVE (Linux 4.5 and later): the kernel then"
                " wakes one.",
                "Or give each worker its own listening socket (SO_REUSEPORT, bound after fork).",
                "Or use an accept lock.",
            ),
            weight=min(each / len(crowd), 1),
        )


DETECTOR = ThunderingHerd()
