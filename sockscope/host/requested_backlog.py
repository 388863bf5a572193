"""What can be known of the backlog that a server asked for, when nobody watched it ask."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestedBacklog:
    """What listen() was given: at least ``least``, perhaps more (``clamped``); in a word, in words."""

    least: int
    clamped: bool
    short: str
    words: str


def requested_backlog(in_force: int, somaxconn: int) -> RequestedBacklog:
    """What the limit in force tells of the backlog asked for.

    listen() keeps the smaller of its argument and net.core.somaxconn at that moment (a negative
    argument counts as the largest), and nothing else: the argument itself is lost.  So a limit
    equal to today's somaxconn may have been cut, one above it stems from a time when somaxconn
    was higher, and one below it is what was asked, as long as somaxconn was not that low then.

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
