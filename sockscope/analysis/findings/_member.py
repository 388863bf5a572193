"""Who accepts from a member of a group, or should."""

from __future__ import annotations

from sockscope.analysis.findings._context import Case
from sockscope.model.snapshot import Listener, Worker


def acceptor_of(case: Case, listener: Listener) -> Worker | None:
    """The thread that accepted most of a listener's connections; None when nobody did."""
    number = case.main_acceptors.get(listener.id)
    return None if number is None else case.snapshot.workers.get(number)


def meant_for(case: Case, listener: Listener) -> Worker | None:
    """A thread like the acceptors of the other members, in a process that holds this one, and idle.

    There is none for a descriptor that leaked into a process of another kind.
    """
    owners = {holding.pid for holding in listener.owners}
    for worker in case.accepting:
        if worker.pid in owners and not case.group.accepts.get(worker.id):
            return worker
    return None
