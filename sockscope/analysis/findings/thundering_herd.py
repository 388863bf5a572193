"""One connection wakes many acceptors; all but one find nothing."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ThunderingHerd:
    id = "thundering-herd"
    title = "Each connection wakes several acceptors, and all but one in vain"
    needs: tuple[str, ...] = ("read", "write", "wait")

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits, crowd = case.thresholds, case.server.acceptors
        accepts = sum(worker.accepts for worker in crowd)
        crowd = case.accepting if len(case.accepting) > len(crowd) else crowd
        if len(crowd) < 2 or accepts < limits.fewest:
            return
        # a loop that accepts until nothing is left ends each burst with one empty accept: no herd
        vain = sum(min(worker.wakeups_spurious, worker.accepts_eagain) for worker in crowd)
        each, rate = vain / accepts, case.per_second(vain)
        if each < limits.herd:
            return
        costly = case.long_enough and rate >= limits.herd_rate
        several = sum(worker.accepts_eagain > 0 for worker in crowd)
        yield diagnosis(
            self,
            ("warning" if each >= 1 else "notice") if costly and several > 1 else "info",
            case.name,
            f"{len(crowd)} threads wait for the same socket. To accept {formatting.count(accepts)} connections"
            f" they were woken {formatting.count(vain)} times for nothing ({each:.1f} a connection,"
            f" {formatting.count(rate)} a second): all that they tried came back with EAGAIN.",
            {
                "acceptors": len(crowd),
                "accepts": accepts,
                "wakeups_for_nothing": vain,
                "per_accept": round(each, 3),
                "per_second": round(rate, 1),
            },
            (
                (
                    "Register the listening socket with EPOLLEXCLUSIVE (Linux 4.5 and later): the kernel then"
                    " wakes one."
                ),
                "Or give each worker a listening socket of its own (SO_REUSEPORT, bound after fork).",
                "Or take turns with an accept lock.",
            ),
            weight=min(each / len(crowd), 1),
        )


DETECTOR = ThunderingHerd()
