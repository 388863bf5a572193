"""The signals that sockscope lives on, and for each the ways to get it, best first.

A way is chosen by what the running kernel offers; ``doctor`` shows the choice, every recording
carries it, and ``--signals NAME=WAY`` forces one.  To add a way: one entry here and, if need be,
one function in probes/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sockscope.errors import UsageError


@dataclass(frozen=True)
class Hook:
    """One place in the kernel and the function of probes/ that runs there.

    ``kind`` is ``raw`` (raw tracepoint) or ``tracepoint`` (``category:name``).  ``reads`` is a field
    of the tracepoint and the offset where the function looks for it: ``res@32``.
    """

    kind: str
    place: str
    function: str
    reads: str = ""


@dataclass(frozen=True)
class Way:
    """One way to get a signal; ``weaker`` says what it cannot tell, empty if nothing."""

    name: str
    hooks: tuple[Hook, ...]
    weaker: str = ""


@dataclass(frozen=True)
class Signal:
    """Something that sockscope must learn from the kernel, and what is lost without it."""

    name: str
    tells: str
    ways: tuple[Way, ...]
    without: str
    needed: bool = True


def _raw(place: str, function: str) -> Hook:
    return Hook("raw", place, function)


def _call(name: str, function: str) -> Hook:
    """The exit (or entry) of a system call: ``exit_accept4``."""
    return Hook("tracepoint", f"syscalls:sys_{name}", function)


_WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6")

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "life",
        "when each connection was established and closed, which sockets listen",
        (
            Way(
                "tracepoint",
                (_raw("inet_sock_set_state", "on_state"), _raw("tcp_destroy_sock", "on_destroy")),
            ),
        ),
        without="nothing can be traced",
    ),
    Signal(
        "data-ready",
        "on which listener a connection was queued, when its bytes could be read",
        (Way("tracepoint", (_raw("sk_data_ready", "on_data_ready"),)),),
        without="connections are known only from accept on: no queue wait, no data wait",
        needed=False,
    ),
    Signal(
        "accept",
        "which thread accepted each connection, and who came for nothing",
        (
            Way(
                "system-calls",
                (
                    _call("exit_accept4", "on_accept"),
                    _call("exit_accept", "on_accept"),
                    Hook("tracepoint", "io_uring:io_uring_complete", "on_ring_complete", "res@32"),
                ),
            ),
        ),
        without="acceptors are unknown",
    ),
    Signal(
        "read",
        "which threads read each connection",
        (
            Way("tracepoint", (_raw("sock_recv_length", "on_recv"), _call("exit_splice", "on_splice_exit"))),
            Way(
                "system-calls",
                (
                    _call("exit_read", "on_read_exit"),
                    _call("exit_readv", "on_read_exit"),
                    _call("exit_recvfrom", "on_recvfrom_exit"),
                    _call("exit_recvmsg", "on_recvmsg_exit"),
                    _call("exit_splice", "on_splice_exit"),
                ),
                weaker="reads through io_uring and recvmmsg are not seen; a descriptor closed and "
                "reused while a read is under way can mislead",
            ),
        ),
        without="readers are unknown",
    ),
    Signal(
        "write",
        "which threads answered each connection",
        (
            Way("tracepoint", (_raw("sock_send_length", "on_send"),)),
            Way(
                "system-calls",
                (
                    _call("exit_write", "on_write_exit"),
                    _call("exit_writev", "on_write_exit"),
                    _call("exit_sendto", "on_write_exit"),
                    _call("exit_sendmsg", "on_write_exit"),
                    _call("exit_sendfile64", "on_write_exit"),
                ),
                weaker="writes through io_uring, splice and sendmmsg are not seen",
            ),
        ),
        without="writers are unknown",
    ),
    Signal(
        "wait",
        "how long each thread waits for events and stays away from them",
        (
            Way(
                "system-calls",
                (
                    *(_call(f"enter_{name}", "on_wait_enter") for name in _WAITS),
                    *(_call(f"exit_{name}", "on_wait_exit") for name in _WAITS),
                    _call("enter_io_uring_enter", "on_ring_wait_enter"),
                    _call("exit_io_uring_enter", "on_ring_wait_exit"),
                ),
            ),
        ),
        without="no busy time, no stalls, no wasted wake-ups",
        needed=False,
    ),
    Signal(
        "wake",
        "which threads a reader wakes inside its process (request hand-off)",
        (Way("tracepoint", (_raw("sched_waking", "on_waking"),)),),
        without="a dispatcher that writes the answers itself looks like a single thread",
        needed=False,
    ),
    Signal(
        "tasks",
        "threads and processes that start, end, and change their names",
        (
            Way(
                "tracepoint",
                (
                    _raw("sched_process_fork", "on_fork"),
                    _raw("sched_process_exit", "on_exit"),
                    _raw("task_rename", "on_rename"),
                ),
            ),
        ),
        without="threads that start later are met only at their first deed",
    ),
)


def choose(
    available: Callable[[Hook], bool], forced: Mapping[str, str] | None = None
) -> dict[str, Way | None]:
    """For every signal the first way whose hooks the kernel all has, or None.

    :param available: whether a hook exists on this kernel
    :param forced: signal → way, or ``off``, as ``--signals`` gives them
    :raises UsageError: for a signal or way that does not exist
    """
    wishes = dict(forced or {})
    known = {signal.name for signal in SIGNALS}
    for name in wishes:
        if name not in known:
            raise UsageError(f"no signal is called {name!r}; there are {', '.join(sorted(known))}")
    chosen: dict[str, Way | None] = {}
    for signal in SIGNALS:
        wish = wishes.get(signal.name)
        ways = signal.ways if wish is None else tuple(way for way in signal.ways if way.name == wish)
        if wish == "off" and not signal.needed:
            chosen[signal.name] = None
            continue
        if not ways:
            names = ", ".join(way.name for way in signal.ways)
            raise UsageError(f"signal {signal.name} has no way {wish!r}; it has {names}")
        chosen[signal.name] = next((way for way in ways if _all_there(way, available)), None)
    return chosen


def _all_there(way: Way, available: Callable[[Hook], bool]) -> bool:
    """Every raw hook must exist; of a list of system calls, at least one (select is not on arm64)."""
    raw = [hook for hook in way.hooks if hook.kind == "raw"]
    calls = [hook for hook in way.hooks if hook.kind != "raw"]
    return all(available(hook) for hook in raw) and (not calls or any(available(hook) for hook in calls))


def hooks_of(chosen: Mapping[str, Way | None], available: Callable[[Hook], bool]) -> list[Hook]:
    """The hooks to attach: all of the chosen ways, of system calls those that this machine has."""
    return [
        hook
        for way in chosen.values()
        for hook in (way.hooks if way else ())
        if hook.kind == "raw" or available(hook)
    ]
