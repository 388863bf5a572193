"""The signals that sockscope lives on, and for each the ways to get it, best first.

A way is chosen by what the running kernel offers; ``doctor`` shows the choice, every recording
carries it, and ``--attach NAME=WAY`` forces one.  To add a way: one entry here and, if need be,
one function in probes/.
"""

from __future__ import annotations

from sockscope.tracer.attach_methods import AttachMethod, Hook, Signal


def _raw(place: str, function: str, reads: str = "", *, typed: str = "") -> Hook:
    return Hook("raw", place, function, reads, typed=typed)


def _call(name: str, function: str) -> Hook:
    """The exit (or entry) of a system call: ``exit_accept4``."""
    return Hook("tracepoint", f"syscalls:sys_{name}", function)


_SPLICE = _call("exit_splice", "on_splice_exit")
_SENDS = (("inet_sendmsg", "3"), ("inet6_sendmsg", "3"), ("inet_sendpage", "5"))
_OWN_CALLBACKS = "sockets with kernel TLS or in a sockmap"
_UNDER_WAY = "a call in progress when tracing began is not seen"
_RETURNS = (
    f"{_UNDER_WAY}; the kernel keeps a limited number of returns (10, or two per CPU): further concurrent "
    "calls of this host are counted as lost"
)

_WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6")

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "life",
        "when each connection was established, on which listener, and closed; which sockets listen",
        (
            AttachMethod(
                "tracepoint",
                (
                    _raw("tcp_destroy_sock", "on_destroy"),  # first: no beginning without its end
                    _raw("tcp_destroy_sock", "on_destroy_again"),
                    _raw("inet_sock_set_state", "on_state"),
                    _raw("inet_sock_set_state", "on_state_again"),
                ),
            ),
        ),
        without="nothing can be traced",
    ),
    Signal(
        "data-ready",
        "when bytes of each connection became readable, and when it entered the accept queue",
        (
            AttachMethod(
                "tracepoint", (_raw("sk_data_ready", "on_data_ready", typed="on_data_ready_typed"),)
            ),
            AttachMethod(
                "fentry",
                (Hook("fentry", "sock_def_readable", "on_readable", "1"),),
                limitations=f"bytes of {_OWN_CALLBACKS} are not seen to arrive",
            ),
            AttachMethod(
                "kprobe",
                (Hook("kprobe", "sock_def_readable", "on_readable_probed", "1"),),
                limitations=f"bytes of {_OWN_CALLBACKS} are not seen to arrive",
            ),
            AttachMethod(
                "state-changes",
                (
                    _raw(
                        "tcp_probe",
                        "on_segment",
                        "tcp_sock.tsq_node,tcp_sock.rcv_nxt,sk_buff.cb,tcp_skb_cb.end_seq",
                    ),
                ),
                limitations="best effort: bytes that come with the handshake's last packet, or after this side "
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
        "accepting thread of each connection; failed accepts",
        (
            AttachMethod(
                "system-calls",
                (
                    _call("exit_accept4", "on_accept"),
                    _call("exit_accept", "on_accept"),
                    Hook("tracepoint", "io_uring:io_uring_complete", "on_ring_complete", "res@32"),
                ),
            ),
            AttachMethod(
                "fentry",
                (
                    Hook("fexit", "inet_csk_accept", "on_accept_return", "2|4"),
                    Hook("fentry", "security_sock_graft", "on_graft", "2"),
                ),
                limitations="best effort: an accept in progress when tracing began, on a listener that was not "
                "traced yet, is not seen; failures before the accept queue is examined (EMFILE) are not counted",
                exact=False,
            ),
            AttachMethod(
                "kprobe",
                (Hook("kprobe", "security_sock_graft", "on_graft_probed", "2"),),
                limitations="best effort: failed accepts are not seen; a listener that the target received from "
                "another process after tracing began is not recognised when it accepts from it",
                exact=False,
            ),
        ),
        without="acceptors are unknown",
    ),
    Signal(
        "read",
        "which threads read each connection",
        (
            AttachMethod("tracepoint", (_raw("sock_recv_length", "on_recv"), _SPLICE)),
            AttachMethod(
                "fentry",
                (
                    Hook("fexit", "inet_recvmsg", "on_recv_return", "4"),
                    Hook("fexit", "inet6_recvmsg", "on_recv_return", "4", optional=True),
                    _SPLICE,
                ),
                limitations=_UNDER_WAY,
            ),
            AttachMethod(
                "kprobe",
                (
                    Hook("kretprobe", "inet_recvmsg", "on_recv_return_probed", "4"),
                    Hook("kretprobe", "inet6_recvmsg", "on_recv_return_probed", "4", optional=True),
                    Hook("kprobe", "inet_recvmsg", "on_recv_probed", "4"),
                    Hook("kprobe", "inet6_recvmsg", "on_recv_probed", "4", optional=True),
                    _SPLICE,
                ),
                limitations=_RETURNS,
            ),
            AttachMethod(
                "system-calls",
                (
                    _call("exit_read", "on_read_exit"),
                    _call("exit_readv", "on_read_exit"),
                    _call("exit_recvfrom", "on_recvfrom_exit"),
                    _call("exit_recvmsg", "on_recvmsg_exit"),
                    _SPLICE,
                ),
                limitations="best effort: reads through io_uring and recvmmsg are not seen; a descriptor closed and "
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
            AttachMethod("tracepoint", (_raw("sock_send_length", "on_send"),)),
            AttachMethod(
                "fentry",
                (
                    Hook("fexit", "inet_sendmsg", "on_send_return", "3"),
                    Hook("fexit", "inet6_sendmsg", "on_send_return", "3", optional=True),
                    Hook("fexit", "inet_sendpage", "on_sendpage_return", "5", optional=True),
                ),
                limitations=_UNDER_WAY,
            ),
            AttachMethod(
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
                limitations=_RETURNS,
            ),
            AttachMethod(
                "system-calls",
                (
                    _call("exit_write", "on_write_exit"),
                    _call("exit_writev", "on_write_exit"),
                    _call("exit_sendto", "on_write_exit"),
                    _call("exit_sendmsg", "on_write_exit"),
                    _call("exit_sendfile64", "on_write_exit"),
                ),
                limitations="best effort: writes through io_uring, splice and sendmmsg are not seen; a "
                "descriptor closed and reused while a write is under way can mislead",
                exact=False,
            ),
        ),
        without="writers are unknown",
        optional=True,
    ),
    Signal(
        "wait",
        "how long each thread waits for events, and its loop stalls",
        (
            AttachMethod(
                "system-calls",
                (
                    *(_call(f"enter_{name}", "on_wait_enter") for name in _WAITS),
                    *(_call(f"exit_{name}", "on_wait_exit") for name in _WAITS),
                    _call("enter_io_uring_enter", "on_ring_wait_enter"),
                    _call("exit_io_uring_enter", "on_ring_wait_exit"),
                ),
            ),
        ),
        without="no busy time, loop stalls or spurious wake-ups",
        needed=False,
        optional=True,
    ),
    Signal(
        "wake",
        "which threads a reader wakes inside its process (request hand-off)",
        (AttachMethod("tracepoint", (_raw("sched_waking", "on_waking"),)),),
        without="a dispatcher that writes the answers itself looks like a single thread",
        needed=False,
        optional=True,
        of="read",
    ),
    Signal(
        "tasks",
        "start, exit and name changes of threads and processes",
        (
            AttachMethod(
                "tracepoint",
                (
                    _raw("sched_process_fork", "on_fork"),
                    _raw("sched_process_exit", "on_exit"),
                    _raw("task_rename", "on_rename"),
                ),
            ),
        ),
        without="threads that start later are listed from their first operation on",
    ),
)
