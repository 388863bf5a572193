"""Detect a member of a SO_REUSEPORT group that no thread accepts from."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext, percent
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._member import find_intended_acceptor


class MemberOrphaned:
    id = "member-orphaned"
    title = "No acceptor for a SO_REUSEPORT member"
    cause = (
        "A process holds the listening socket open but does not accept from it: a descriptor leaked "
        "at a reload, or a worker that does not watch it."
    )
    effect = "The kernel still hashes connections to this socket; they hang until the client times out."
    verify = "ss -ltnp sport = :{port} no longer lists the socket, and sockscope check passes."
    needs: tuple[str, ...] = ("wait",)

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        members = context.listeners
        total = sum(listener.established for listener in members)
        if len(members) < 2 or not any(listener.accepted for listener in members):
            return
        for listener in members:
            mine = context.queue_waits_by_listener.get(listener.id)
            if listener.accepted or mine is None or find_intended_acceptor(context, listener):
                continue
            stuck = mine.of(~mine.over)
            if not len(stuck) or float(stuck.ns.max()) < context.thresholds.hang_ns:
                continue
            held = (
                ", ".join(f"process {h.pid} (descriptor {h.descriptors[0]})" for h in listener.owners)
                or "not visible"
            )
            look = [f"ls -l /proc/{h.pid}/fd/{h.descriptors[0]}" for h in listener.owners[:1]]
            part = listener.established / total if total else 0.0
            yield diagnosis(
                self,
                context,
                "critical",
                f"{context.name}, socket {listener.inode}",
                f"{len(stuck)} connections wait in the accept queue of a socket without an acceptor, the oldest for"
                f" {formatting.duration(float(stuck.ns.max()))}; {percent(part)} of all connections are hashed"
                f" to it. Owners: {held}.",
                {
                    "waiting": len(stuck),
                    "oldest_ms": round(float(stuck.ns.max()) / 1e6, 1),
                    "established": listener.established,
                    "part": round(part, 4),
                    "owners": held,
                },
                (
                    f"Close the descriptor in every owner ({look[0] if look else 'ss -ltnp'}).",
                    "Close the listeners of the old generation when the new one listens, and set FD_CLOEXEC"
                    " on them.",
                    "net.ipv4.tcp_migrate_req=1 (Linux 5.14 and later) moves waiting connections to other"
                    " members when the socket is closed.",
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
