"""What the probes could not record, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sockscope.records import layout

NAMES = {
    layout.Loss.CONNECTIONS_FULL: "connections: no room for another open one",
    layout.Loss.CLOSED_RING_FULL: "connections: closed faster than they were drained",
    layout.Loss.WORKERS_FULL: "operations of threads: no room for another thread",
    layout.Loss.EXITED_RING_FULL: "threads: exited faster than they were drained",
    layout.Loss.IO_OVERFLOW_FULL: "reads and writes: no room for a further thread on a connection",
    layout.Loss.LISTENERS_FULL: "listeners: no room for another",
    layout.Loss.WAKES_FULL: "wake-ups: no room for another pair of threads",
    layout.Loss.ACCEPTS_UNKNOWN: "accepts: of connections without a record",
    layout.Loss.EVENTS_RING_FULL: "detail events: arrived faster than they were drained",
    layout.Loss.PROCESSES_FULL: "processes: no room for another",
    layout.Loss.WAITING_FULL: "waiting threads: no room for a further thread and listener",
    layout.Loss.ACCEPT_ERRORS_FULL: "failed accepts: no room for a further thread, listener and errno",
    layout.Loss.RETURNS_MISSED: "reads and writes: begun, and their return was not seen",
}

_MISSED = "events missed: BPF program recursion on the same CPU"
#: Probes whose counts are of use though one in a million is missing.
_BEST_EFFORT = frozenset({"on_waking"})
#: Probes that have a second one beside them, NAME_again (probes/recursion_guard.bpf.c, ``enum guarded``).
TWO_FOR_ONE = ("on_state", "on_destroy")


def count_unseen_events(missed: Mapping[str, int], rescued: Sequence[int]) -> dict[str, int]:
    """Probe → what neither it nor a second one saw.

    :param missed: probe → runs that the kernel refused, since it was at work on that CPU already
    :param rescued: what the second one did in its place, for each of ``TWO_FOR_ONE``
    """
    rest = {name: number for name, number in missed.items() if not name.endswith("_again")}
    for name, number in zip(TWO_FOR_ONE, rescued, strict=True):
        rest[name] -= number  # read later, so it may be ahead
    return {name: number for name, number in rest.items() if number > 0}


def describe_drops(
    counts: Mapping[layout.Loss, int], missed: Mapping[str, int]
) -> tuple[tuple[str, int], ...]:
    """(what and where, how many) of all that is lost.

    :param missed: probe → what went unseen since it was at work on that CPU already
    """
    lost = [(NAMES[reason], number) for reason, number in counts.items() if number]
    lost += [(f"{_MISSED} ({name})", number) for name, number in missed.items() if name not in _BEST_EFFORT]
    return tuple(lost)
