"""A socket of the group that nobody accepts from: its share of the connections hangs."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import Case, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._member import meant_for


class MemberOrphaned:
    id = "member-orphaned"
    title = "Nobody accepts from a socket of the SO_REUSEPORT group"
    needs: tuple[str, ...] = ("wait",)

    def look(self, case: Case) -> Iterator[Diagnosis]:
        members = case.listeners
        total = sum(listener.established for listener in members)
        if len(members) < 2 or not any(listener.accepted for listener in members):
            return
        for listener in members:
            mine = case.queue_waits_by_listener.get(listener.id)
            if listener.accepted or mine is None or meant_for(case, listener):
                continue
            stuck = mine.of(~mine.over)
            if not len(stuck) or float(stuck.ns.max()) < case.thresholds.hang_ns:
                continue
            held = (
                ", ".join(f"process {h.pid} (descriptor {h.descriptors[0]})" for h in listener.owners)
                or "nobody"
            )
            look = [f"ls -l /proc/{h.pid}/fd/{h.descriptors[0]}" for h in listener.owners[:1]]
            part = listener.established / total if total else 0.0
            yield diagnosis(
                self,
                "critical",
                f"{case.name}, socket {listener.inode}",
                f"{len(stuck)} connections wait in the queue of a socket that nobody accepts from, the "
                "oldest for "
                f"{formatting.duration(float(stuck.ns.max()))}. The kernel hashes {percent(part)} of all "
                "connections to it. "
                f"It is held by {held}: a descriptor that leaked at a reload, or a worker that does not "
                "watch it.",
                {
                    "waiting": len(stuck),
                    "oldest_ms": round(float(stuck.ns.max()) / 1e6, 1),
                    "established": listener.established,
                    "part": round(part, 4),
                    "owners": held,
                },
                (
                    "Close the descriptor in every process that holds it "
                    f"({look[0] if look else 'ss -ltnp'}).",
                    "Close listeners of the old generation before or right after the new one listens, and "
                    "set "
                    "FD_CLOEXEC on them.",
                    "net.ipv4.tcp_migrate_req=1 (Linux 5.14 and later) moves what waits to other members "
                    "when it is "
                    "closed.",
                ),
                weight=1.0,
                explains=(
                    "queue-wait-high",
                    "queue-overflow",
                    "queue-near-limit",
                    "backlog-clamped",
                    "idle-workers",
                    "accept-skew-reuseport",
                ),
            )


DETECTOR = MemberOrphaned()
