"""Detect a listening socket that no thread accepts from."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Diagnosis, diagnosis
from sockscope.analysis.findings._stuck import describe_owners, stuck_waits
from sockscope.model.snapshot import Listener


class ListenerOrphaned:
    id = "listener-orphaned"
    title = "No acceptor for the listening socket"
    cause = (
        "A process holds the listening socket open but no thread waits for it: often a child that "
        "inherited the descriptor of a server that is gone."
    )
    effect = "Clients complete the handshake and then hang until they time out."
    verify = "ss -ltnp sport = :{port} shows the server itself, and Recv-Q returns to 0."
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        if any(listener.accepted for listener in context.listeners):
            return
        for listener in context.listeners:
            waits = stuck_waits(context, listener)
            if waits is None or not listener.samples or listener.waiters:
                continue
            owners = describe_owners(context, listener)
            opener = _opener(context, listener)
            yield diagnosis(
                self,
                context,
                "critical",
                f"{context.name}, socket {listener.inode}",
                f"{len(waits)} connections wait in the accept queue, the longest for at least "
                f"{formatting.duration(float(waits.ns.max()))}, and none was accepted. At {listener.samples} sampled "
                f"arrivals no thread waited for the socket in accept(), poll() or epoll. It is held by {owners}. "
                f"{opener}Clients complete the handshake and then hang.",
                {
                    "waiting": len(waits),
                    "oldest_ms": round(float(waits.ns.max()) / 1e6, 1),
                    "samples": listener.samples,
                    "owners": owners,
                },
                (
                    "Find out what holds the socket: "
                    + (
                        f"`ps -o pid,ppid,lstart,stat,cmd -p {','.join(str(held.pid) for held in listener.owners)}`."
                        if listener.owners
                        else f"`ss -ltnp sport = :{listener.port}`."
                    ),
                    "If it is a child process that inherited the descriptor, end it and start the server again. Open "
                    "listening sockets with SOCK_CLOEXEC, and close them in children that do not accept.",
                ),
                weight=1.0,
                explains=(
                    "queue-stuck",
                    "queue-wait-high",
                    "queue-overflow",
                    "queue-near-limit",
                    "backlog-clamped",
                    "idle-workers",
                    "connections-lost-in-queue",
                ),
            )


def _opener(context: ServerContext, listener: Listener) -> str:
    """Return a sentence on the program that listened, when it is known and no longer holds the socket."""
    worker = context.snapshot.workers.get(listener.listened_by)
    if worker is None or any(held.pid == worker.pid for held in listener.owners):
        return ""
    return (
        f"The program that called listen() ({worker.comm}, process {worker.pid}) does not hold it any more. "
    )


DETECTOR = ListenerOrphaned()
