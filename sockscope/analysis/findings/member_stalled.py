"""Detect a member of a SO_REUSEPORT group whose queue is not emptied while the others are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, thread_label
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._member import find_acceptor, find_intended_acceptor


class MemberStalled:
    id = "member-stalled"
    title = "A SO_REUSEPORT member does not keep up"
    cause = (
        "The acceptor of this socket is blocked, busy or stopped, while the kernel keeps hashing "
        "connections to it."
    )
    effect = "Connections hashed to this member wait much longer than those of other members."
    verify = "Record again: p90 queue wait of this member should be like that of the others."
    needs: tuple[str, ...] = ("wait",)

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        limits, waits = context.thresholds, context.queue_waits
        members = context.listeners
        if len(members) < 2 or not len(waits):
            return
        none, each = waits.of(slice(0)), context.queue_waits_by_listener
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
            who = find_acceptor(context, listener) or find_intended_acceptor(context, listener)
            if who is None or not (hangs or slow):
                continue
            name = thread_label(who)
            lost = hangs and oldest >= limits.stall_severe_ns
            severe = hangs or p90[listener.id] >= limits.queue_wait_severe_ns
            yield diagnosis(
                self,
                context,
                "critical" if lost else "warning" if severe else "notice",
                f"{context.name}, socket {listener.inode}",
                f"p90 queue wait of this socket {formatting.duration(p90[listener.id])} (acceptor: {name}); median of the"
                f" other members {formatting.duration(usual)}. {len(stuck)} connections wait now, the oldest for"
                f" {formatting.duration(oldest)}; {formatting.count(listener.established)} were hashed to it.",
                {
                    "queue_wait_p90_ms": round(p90[listener.id] / 1e6, 3),
                    "usual_p90_ms": round(usual / 1e6, 3),
                    "waiting": len(stuck),
                    "queue_max": listener.queue_max,
                    "acceptor": name,
                },
                (
                    "Find out what the thread does instead:"
                    f" `cat /proc/{who.pid}/task/{who.tid}/wchan`, and `stack` and `status` beside it.",
                    "Move blocking work off the event loop, use one shared queue, or steer by load"
                    " (SO_ATTACH_REUSEPORT_EBPF).",
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
