"""SO_REUSEPORT is set, and yet all workers share one socket: bound before the fork."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import Case, shares
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ReuseportUnused:
    id = "reuseport-unused"
    title = "SO_REUSEPORT is set, but the workers share one socket"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        if not case.group.reuseport or len(case.listeners) != 1:
            return
        listener = case.listeners[0]
        owners = {holding.pid for holding in listener.owners}
        processes = {worker.pid for worker in case.accepting}
        if len(case.accepting) < 2:
            return
        others = len(case.accepting)
        uneven = case.enough and case.figures.accepts.fairness.judgement == "uneven"
        yield diagnosis(
            self,
            "warning" if uneven else "notice",
            case.name,
            f"The listening socket has SO_REUSEPORT, but there is one socket only, and {others} threads of "
            f"{len(processes)} process{'es' if len(processes) > 1 else ''} wait for it. The kernel has "
            "nothing to "
            f"balance: whoever is woken takes the connection (so far {shares(case.figures.accepts.values)}).",
            {
                "listeners": 1,
                "acceptors": others,
                "owners": len(owners),
                "inode": listener.inode,
                "accepts": shares(case.figures.accepts.values),
            },
            (
                "Call socket(), setsockopt(SO_REUSEPORT), bind() and listen() in each worker after fork, "
                "not once in "
                "the parent.",
                f"Afterwards `ss -ltn sport = :{case.group.port}` shows one line a worker.",
            ),
            explains=(
                "accept-skew-shared",
                "idle-workers",
                "thundering-herd",
                "open-connections-skew",
                "heavy-connections",
            ),
        )


DETECTOR = ReuseportUnused()
