"""Constants of probes/waiters.bpf.c: how the kernel keeps who waits for a socket.

``struct wait_queue_entry`` (include/linux/wait.h) is embedded in what epoll (fs/eventpoll.c), poll and
select (include/linux/poll.h) and io_uring (io_uring/poll.h) keep of a wait.  A kernel that lacks one of
those has 0 for it here, and such waits are told as ones of threads that could not be named.
"""

from __future__ import annotations

from sockscope.bpf.btf import Btf, BtfError

_NEEDED = {
    "SOCK_WAIT_QUEUE": ("sock", "sk_wq"),
    "WAIT_QUEUE": ("socket_wq", "wait"),
    "QUEUE_LIST": ("wait_queue_head", "head"),
    "WAIT_ENTRY_LIST": ("wait_queue_entry", "entry"),
    "WAIT_ENTRY_FLAGS": ("wait_queue_entry", "flags"),
    "WAIT_ENTRY_NAMED": ("wait_queue_entry", "private"),
}

#: Where in each the entry is, to which queue it says that it belongs, and on towards the task.
_EPOLL = {
    "EPOLL_ENTRY": ("eppoll_entry", "wait"),
    "EPOLL_ENTRY_QUEUE": ("eppoll_entry", "whead"),
    "EPOLL_ENTRY_ITEM": ("eppoll_entry", "base"),
    "EPOLL_ITEM_INSTANCE": ("epitem", "ep"),
    "EPOLL_SLEEPERS": ("eventpoll", "wq"),
    "EPOLL_WATCHERS": ("eventpoll", "poll_wait"),
}
_POLL = {
    "POLL_ENTRY": ("poll_table_entry", "wait"),
    "POLL_ENTRY_QUEUE": ("poll_table_entry", "wait_address"),
    "POLL_TASK": ("poll_wqueues", "polling_task"),
}
_RING = {
    "RING_ENTRY": ("io_poll", "wait"),
    "RING_ENTRY_QUEUE": ("io_poll", "head"),
    "RING_TASK": ("io_kiocb", "task"),
}
#: Since 6.13 a request names its task's io_uring context, and that the task (struct io_uring_task).
_RING_BEYOND = {
    **_RING,
    "RING_TASK": ("io_kiocb", "tctx"),
    "RING_TASK_BEYOND": ("io_uring_task", "task"),
}
#: The number of io_uring_enter: the same on every machine (include/uapi/asm-generic/unistd.h).
_RING_WAIT = 426


def wait_queues(btf: Btf) -> tuple[str, ...]:
    """``-D`` options for the compiler.

    :raises BtfError: when the kernel keeps its wait queues in another way than is known here
    """
    groups = (_NEEDED, _EPOLL, _POLL, _RING, _RING_BEYOND)
    numbers = btf.structs({struct for group in groups for struct, _ in group.values()})

    def offset(struct: str, path: str) -> int | None:
        field = btf.field(numbers[struct], path) if struct in numbers else None
        return field.offset if field else None

    found = {name: offset(*place) for name, place in _NEEDED.items()}
    for name, place in found.items():
        if place is None:
            raise BtfError(f"the kernel's struct {_NEEDED[name][0]} has no field {_NEEDED[name][1]}")
    found["RING_WAIT"] = _RING_WAIT
    for alternatives in ((_EPOLL,), (_POLL,), (_RING, _RING_BEYOND)):
        names = {name: 0 for group in alternatives for name in group}
        whole = (
            there
            for group in alternatives
            for there in [{name: offset(*place) for name, place in group.items()}]
            if None not in there.values()
        )
        found |= names | next(whole, {})
    return tuple(f"-D{name}={place}" for name, place in found.items())
