"""Derive the backlog given to listen() when the call was not traced."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestedBacklog:
    """The backlog given to listen(): at least ``least``, perhaps more (``clamped``); as short and long text."""

    least: int
    clamped: bool
    short: str
    words: str


def requested_backlog(in_force: int, somaxconn: int) -> RequestedBacklog:
    """Derive the requested backlog from the effective limit.

    The kernel only keeps the smaller of the argument and net.core.somaxconn at the time of the call
    (a negative argument counts as the largest). So a limit equal to the current somaxconn may have
    been clamped, one above it dates from when somaxconn was higher, and one below it is the argument,
    unless somaxconn was that low then.

    :param in_force: a listener's limit (``backlog`` of a QUEUE record)
    :param somaxconn: net.core.somaxconn of its network namespace now
    """
    if in_force == somaxconn:
        return RequestedBacklog(
            in_force,
            True,
            f"{in_force}+",
            f"{in_force} or more: net.core.somaxconn ({somaxconn}) may have cut it",
        )
    if in_force > somaxconn:
        words = f"{in_force} or more, when net.core.somaxconn was higher than today's {somaxconn}"
        return RequestedBacklog(in_force, True, f"{in_force}+", words)
    words = f"{in_force}, unless net.core.somaxconn was {in_force} when it listened (today {somaxconn})"
    return RequestedBacklog(in_force, False, str(in_force), words)
