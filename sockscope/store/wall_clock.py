"""The time of day of a recording, and whether the machine's clock was set meanwhile.

Records bear times of the monotonic clock, which nobody can set; a recording knows how far the time of
day was from it when it began.  If that distance changes, the clock was set (or the machine slept, for
the monotonic clock stands still then): what was recorded stays right, the time of day that is shown
is that of the clock as it was.
"""

from __future__ import annotations

import time

from sockscope import formatting
from sockscope.host import clock

#: Less is how long it may take to read two clocks on a busy machine.
_TOLERANCE_NS = 100_000_000


def offset_ns() -> int:
    """Nanoseconds since 1970 less those of the monotonic clock, read as nearly at once as can be."""
    best = None
    for _ in range(3):
        before, wall, after = clock.now_ns(), time.time_ns(), clock.now_ns()
        if best is None or after - before < best[0]:
            best = after - before, wall - (before + after) // 2
    assert best is not None
    return best[1]


def describe_clock_steps(began_ns: int) -> str:
    """A sentence when the clock was set; empty when it was not.

    :param began_ns: the distance at the beginning
    """
    moved = offset_ns() - began_ns
    if abs(moved) < _TOLERANCE_NS:
        return ""
    way = "forward" if moved > 0 else "back"
    return (
        f"this machine's clock was set {way} by {formatting.duration(abs(moved))} meanwhile (or it slept):"
        " times of day are by the clock as it was at the beginning, durations are right"
    )
