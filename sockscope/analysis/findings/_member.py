"""Find the thread that accepts from a member of a group, or that should."""

from __future__ import annotations

from sockscope.analysis.findings._context import ServerContext
from sockscope.model.snapshot import Listener, Worker


def find_acceptor(context: ServerContext, listener: Listener) -> Worker | None:
    """Return the thread that accepted most connections of a listener, or None."""
    number = context.main_acceptors.get(listener.id)
    return None if number is None else context.snapshot.workers.get(number)


def find_intended_acceptor(context: ServerContext, listener: Listener) -> Worker | None:
    """Return an idle thread like the acceptors of the other members, in a process that owns this socket.

    None for a descriptor that leaked into a process of another kind.
    """
    owners = {holding.pid for holding in listener.owners}
    for worker in context.accepting:
        if worker.pid in owners and not context.group.accepts.get(worker.id):
            return worker
    return None
