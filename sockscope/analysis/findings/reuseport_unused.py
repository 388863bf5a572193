"""Detect SO_REUSEPORT on a single socket that several processes share."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope.analysis.findings._context import ServerContext, shares
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class ReuseportUnused:
    id = "reuseport-unused"
    title = "SO_REUSEPORT is set, but one socket is shared"
    cause = (
        "The socket was bound before fork: all workers inherited it, so there is no group to distribute over."
    )
    effect = "The kernel cannot distribute connections; one worker may get most of them."
    verify = "ss -ltn sport = :{port} shows one line per worker."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        if not context.group.reuseport or len(context.listeners) != 1:
            return
        listener = context.listeners[0]
        owners = {holding.pid for holding in listener.owners}
        processes = {worker.pid for worker in context.accepting}
        # threads of one process share their sockets by design, and set the option to let a new process listen too
        if len(processes) < 2:
            return
        others = len(context.accepting)
        uneven = context.enough and context.figures.accepts.fairness.judgement == "skewed"
        yield diagnosis(
            self,
            context,
            "warning" if uneven else "notice",
            context.name,
            f"One listening socket has SO_REUSEPORT, and {others} threads of {len(processes)}"
            f" process{'es' if len(processes) > 1 else ''} wait for it; they accepted"
            f" {shares(context.figures.accepts.values)} connections.",
            {
                "listeners": 1,
                "acceptors": others,
                "owners": len(owners),
                "inode": listener.inode,
                "accepts": shares(context.figures.accepts.values),
            },
            (
                "Call socket(), setsockopt(SO_REUSEPORT), bind() and listen() in each worker after fork, not"
                " once in the parent.",
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
