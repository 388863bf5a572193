"""The signals that sockscope lives on, and for each the ways to get it, best first.

A way is chosen by what the running kernel offers; ``doctor`` shows the choice, every recording
carries it, and ``--signals NAME=WAY`` forces one.  To add a way: one entry here and, if need be,
one function in probes/.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sockscope.errors import UsageError
from sockscope.sources.kernel.way import Hook, Signal, Way


def _raw(place: str, function: str, reads: str = "", *, typed: str = "") -> Hook:
    return Hook("raw", place, function, reads, typed=typed)


def _call(name: str, function: str) -> Hook:
    """The exit (or entry) of a system call: ``exit_accept4``."""
    return Hook("tracepoint", f"syscalls:sys_{name}", function)


#: The way of a signal that is left out.
OFF = "off"

_SPLICE = _call("exit_splice", "on_splice_exit")
_SENDS = (("inet_sendmsg", "3"), ("inet6_sendmsg", "3"), ("inet_sendpage", "5"))
_OWN_CALLBACKS = "sockets with kernel TLS or in a sockmap"
_UNDER_WAY = "a call that a thread was in already when tracing began is not seen"
_RETURNS = (
    f"{_UNDER_WAY}; when more threads of this host are in such calls at once than the kernel keeps "
    "returns for (10, or two a CPU), the others are counted as lost"
)

_WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6")

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "life",
        "when each connection was established, on which listener, and closed; which sockets listen",
        (
            Way(
                "tracepoint",
                (
                    _raw("tcp_destroy_sock", "on_destroy"),  # first: no beginning without its end
                    _raw("inet_sock_set_state", "on_state"),
                    _raw("inet_sock_set_state", "on_state_again"),
                ),
            ),
        ),
        without="nothing can be traced",
    ),
    Signal(
        "data-ready",
        "when a connection's bytes could be read, and that it was queued",
        (
            Way("tracepoint", (_raw("sk_data_ready", "on_data_ready", typed="on_data_ready_typed"),)),
            Way(
                "fentry",
                (Hook("fentry", "sock_def_readable", "on_readable", "1"),),
                weaker=f"bytes of {_OWN_CALLBACKS} are not seen to arrive",
            ),
            Way(
                "kprobe",
                (Hook("kprobe", "sock_def_readable", "on_readable_probed", "1"),),
                weaker=f"bytes of {_OWN_CALLBACKS} are not seen to arrive",
            ),
            Way(
                "state-changes",
                (
                    _raw(
                        "tcp_probe",
                        "on_segment",
                        "tcp_sock.tsq_node,tcp_sock.rcv_nxt,sk_buff.cb,tcp_skb_cb.end_seq",
                    ),
                ),
                weaker="best effort: bytes that come with the handshake's last packet, or after this side "
                "shut down, are not seen to arrive; Fast Open connections are known from accept on",
                exact=False,
            ),
        ),
        without="no data wait; Fast Open connections are known only from accept on",
        needed=False,
        optional=True,
        of="read",
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
            Way(
                "fentry",
                (
                    Hook("fexit", "inet_csk_accept", "on_accept_return", "2|4"),
                    Hook("fentry", "security_sock_graft", "on_graft", "2"),
                ),
                weaker="best effort: an accept that a thread was in already when tracing began, of a "
                "listener that was not traced yet, is not seen",
                exact=False,
            ),
            Way(
                "kprobe",
                (Hook("kprobe", "security_sock_graft", "on_graft_probed", "2"),),
                weaker="best effort: accepts that find nothing are not seen; a listener that the target "
                "was handed after tracing began is not learnt by being accepted from",
                exact=False,
            ),
        ),
        without="acceptors are unknown",
    ),
    Signal(
        "read",
        "which threads read each connection",
        (
            Way("tracepoint", (_raw("sock_recv_length", "on_recv"), _SPLICE)),
            Way(
                "fentry",
                (
                    Hook("fexit", "inet_recvmsg", "on_recv_return", "4"),
                    Hook("fexit", "inet6_recvmsg", "on_recv_return", "4", optional=True),
                    _SPLICE,
                ),
                weaker=_UNDER_WAY,
            ),
            Way(
                "kprobe",
                (
                    Hook("kretprobe", "inet_recvmsg", "on_recv_return_probed", "4"),
                    Hook("kretprobe", "inet6_recvmsg", "on_recv_return_probed", "4", optional=True),
                    Hook("kprobe", "inet_recvmsg", "on_recv_probed", "4"),
                    Hook("kprobe", "inet6_recvmsg", "on_recv_probed", "4", optional=True),
                    _SPLICE,
                ),
                weaker=_RETURNS,
            ),
            Way(
                "system-calls",
                (
                    _call("exit_read", "on_read_exit"),
                    _call("exit_readv", "on_read_exit"),
                    _call("exit_recvfrom", "on_recvfrom_exit"),
                    _call("exit_recvmsg", "on_recvmsg_exit"),
                    _SPLICE,
                ),
                weaker="best effort: reads through io_uring and recvmmsg are not seen; a descriptor closed and "
                "reused while a read is under way can mislead",
                exact=False,
            ),
        ),
        without="readers are unknown",
        optional=True,
    ),
    Signal(
        "write",
        "which threads answered each connection",
        (
            Way("tracepoint", (_raw("sock_send_length", "on_send"),)),
            Way(
                "fentry",
                (
                    Hook("fexit", "inet_sendmsg", "on_send_return", "3"),
                    Hook("fexit", "inet6_sendmsg", "on_send_return", "3", optional=True),
                    Hook("fexit", "inet_sendpage", "on_sendpage_return", "5", optional=True),
                ),
                weaker=_UNDER_WAY,
            ),
            Way(
                "kprobe",
                (
                    *(
                        Hook("kretprobe", place, "on_send_return_probed", reads, place != "inet_sendmsg")
                        for place, reads in _SENDS
                    ),
                    *(
                        Hook("kprobe", place, "on_send_probed", reads, place != "inet_sendmsg")
                        for place, reads in _SENDS
                    ),
                ),
                weaker=_RETURNS,
            ),
            Way(
                "system-calls",
                (
                    _call("exit_write", "on_write_exit"),
                    _call("exit_writev", "on_write_exit"),
                    _call("exit_sendto", "on_write_exit"),
                    _call("exit_sendmsg", "on_write_exit"),
                    _call("exit_sendfile64", "on_write_exit"),
                ),
                weaker="best effort: writes through io_uring, splice and sendmmsg are not seen; a "
                "descriptor closed and reused while a write is under way can mislead",
                exact=False,
            ),
        ),
        without="writers are unknown",
        optional=True,
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
        optional=True,
    ),
    Signal(
        "wake",
        "which threads a reader wakes inside its process (request hand-off)",
        (Way("tracepoint", (_raw("sched_waking", "on_waking"),)),),
        without="a dispatcher that writes the answers itself looks like a single thread",
        needed=False,
        optional=True,
        of="read",
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


def left_out(forced: Mapping[str, str] | None) -> frozenset[str]:
    """The signals that ``NAME=off`` leaves out, with those that tell nothing without them.

    :raises UsageError: for a signal that does not exist, or that nothing can be traced without
    """
    off = {name for name, wish in (forced or {}).items() if wish == OFF}
    known = {signal.name: signal for signal in SIGNALS}
    optional = ", ".join(signal.name for signal in SIGNALS if signal.optional)
    for name in sorted(off):
        if name not in known:
            raise UsageError(f"no signal is called {name!r}; those that can be left out are {optional}")
        if not known[name].optional:
            raise UsageError(f"without {name} nothing can be told; what can be left out is {optional}")
    return frozenset(signal.name for signal in SIGNALS if off & {signal.name, signal.of})


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
    unwanted = left_out(wishes)
    chosen: dict[str, Way | None] = {}
    for signal in SIGNALS:
        if signal.name in unwanted:
            chosen[signal.name] = None
            continue
        wish = wishes.get(signal.name)
        ways = signal.ways if wish is None else tuple(way for way in signal.ways if way.name == wish)
        if not ways:
            names = ", ".join(way.name for way in signal.ways)
            raise UsageError(f"signal {signal.name} has no way {wish!r}; it has {names}")
        chosen[signal.name] = next((way for way in ways if _all_there(way, available)), None)
    return chosen


def _all_there(way: Way, available: Callable[[Hook], bool]) -> bool:
    """Every hook must exist; of a list of system calls, at least one (select is not on arm64)."""
    return all(map(available, way.needed)) and (not way.calls or any(map(available, way.calls)))


def hooks_of(chosen: Mapping[str, Way | None], available: Callable[[Hook], bool]) -> list[Hook]:
    """The hooks to attach: all of the chosen ways, of system calls those that this machine has."""
    return [
        hook
        for way in chosen.values()
        for hook in (way.hooks if way else ())
        if not (hook.optional or hook.kind == "tracepoint") or available(hook)
    ]
