"""Connections wait while acceptors sleep: each waits for its turn with the accept lock."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class AcceptLockContention:
    id = "accept-lock-contention"
    title = "Connections wait for an accept lock while workers sleep"
    needs: tuple[str, ...] = ("wait",)

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits, crowd = case.thresholds, case.accepting
        # a lock is for one socket that several wait for; a group has none
        used = sum(number > 0 for number in case.group.per_listener.values())
        if used > 1 or len(crowd) < 2 or not case.enough or not case.long_enough:
            return
        turns = [worker for worker in crowd if case.takes_turns(worker)]
        if len(turns) < len(crowd) / 2:
            return
        p90, p99 = case.queue_waits.percentile(0.9), case.queue_waits.percentile(0.99)
        asleep = 1 - min(case.loads(crowd))
        # whoever watches a shared socket and sleeps is woken at once: these do not watch it
        late = p99 >= limits.queue_wait_ns and case.lasting(case.queue_waits, limits.queue_wait_ns // 2)
        if asleep < 0.3 or not late:
            return
        timeouts = sum(worker.waits - worker.wakeups for worker in turns)
        yield diagnosis(
            self,
            "warning" if p99 >= limits.queue_wait_severe_ns else "notice",
            case.name,
            f"{len(crowd)} acceptors take turns with a lock: {formatting.count(timeouts)} of their waits ended by"
            f" timeout, not by a connection. Connections wait {formatting.duration(p99)} in the queue (p99)"
            f" although the idlest acceptor sleeps {percent(asleep)} of the time.",
            {
                "acceptors": len(crowd),
                "timeouts": timeouts,
                "queue_wait_p90_ms": round(p90 / 1e6, 3),
                "queue_wait_p99_ms": round(p99 / 1e6, 3),
                "idlest_asleep": round(asleep, 3),
            },
            (
                (
                    "Turn the accept lock off and use EPOLLEXCLUSIVE, or SO_REUSEPORT with a socket for each"
                    " worker."
                ),
                "If the lock must stay, shorten the time that a worker sleeps before it tries again.",
            ),
            weight=0.7,
            explains=("queue-wait-high", "idle-workers", "accept-skew-shared", "reader-late"),
        )


DETECTOR = AcceptLockContention()
