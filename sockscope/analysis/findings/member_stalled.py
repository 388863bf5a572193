"""One socket of a SO_REUSEPORT group is not emptied, while the others are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import Case, thread
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._member import acceptor_of, meant_for


class MemberStalled:
    id = "member-stalled"
    title = "A member of the SO_REUSEPORT group does not keep up"
    needs: tuple[str, ...] = ("wait",)

    def look(self, case: Case) -> Iterator[Diagnosis]:
        limits, waits = case.thresholds, case.queue_waits
        members = case.listeners
        if len(members) < 2 or not len(waits):
            return
        none, each = waits.of(slice(0)), case.queue_waits_by_listener
        p90 = {item.id: each.get(item.id, none).percentile(0.9) for item in members}
        for listener in members:
            mine = each.get(listener.id, none)
            stuck = mine.of(~mine.over)
            oldest = float(stuck.ns.max()) if len(stuck) else 0.0
            if oldest < limits.hang_ns and p90[listener.id] < limits.queue_wait_ns:
                continue
            usual = float(np.median([wait for number, wait in p90.items() if number != listener.id]))
            hangs = oldest >= max(limits.hang_ns, 3 * usual)
            slow = len(mine) >= 10 and p90[listener.id] >= max(limits.queue_wait_ns, 5 * usual)
            who = acceptor_of(case, listener) or meant_for(case, listener)
            if who is None or not (hangs or slow):
                continue
            name = thread(who)
            lost = hangs and oldest >= limits.stall_severe_ns
            severe = hangs or p90[listener.id] >= limits.queue_wait_severe_ns
            yield diagnosis(
                self,
                "critical" if lost else "warning" if severe else "notice",
                f"{case.name}, socket {listener.inode}",
                f"Connections of this socket wait {formatting.duration(p90[listener.id])} (p90) to be accepted "
                f"by {name}, "
                f"those of a usual member {formatting.duration(usual)}; {len(stuck)} wait now, the oldest for "
                f"{formatting.duration(oldest)}. The kernel goes on hashing "
                "its "
                f"share to it ({formatting.count(listener.established)} so far).",
                {
                    "queue_wait_p90_ms": round(p90[listener.id] / 1e6, 3),
                    "usual_p90_ms": round(usual / 1e6, 3),
                    "waiting": len(stuck),
                    "queue_max": listener.queue_max,
                    "acceptor": name,
                },
                (
                    "Find out what that thread does instead: a blocking call, a long request, a stop signal "
                    f"(`cat /proc/{who.pid}/task/{who.tid}/wchan`, and `stack` and `status` beside it).",
                    "Take blocking work off the event loop, or use one shared queue, or steer by load "
                    "(SO_ATTACH_REUSEPORT_EBPF).",
                ),
                weight=0.9 if hangs else 0.6,
                threads=(who.id,),
                explains=(*_EXPLAINS, "loop-stall") if hangs else _EXPLAINS,
            )


_EXPLAINS = (
    "queue-wait-high",
    "queue-overflow",
    "queue-near-limit",
    "backlog-clamped",
    "reader-late",
    "idle-workers",
    "open-connections-skew",
    "heavy-connections",
)


DETECTOR = MemberStalled()
