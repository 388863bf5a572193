"""Account for the time of each thread in classes that add up to the whole, and name what blocked it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sockscope.host import syscalls
from sockscope.tracer.why_tracer import (
    BLOCKED,
    RUNNABLE,
    RUNNING,
    SAMPLE_KERNEL,
    SAMPLE_USER,
    STOPPED,
    Period,
    ThreadSpan,
    WhyTrace,
)

#: The classes in the order in which they are shown: id and label.
CLASSES = (
    ("waiting", "waiting for work"),
    ("running", "running"),
    ("runnable", "runnable, without a CPU"),
    ("lock", "lock or condition"),
    ("file", "file or disk"),
    ("sleep", "sleep"),
    ("client", "client connection"),
    ("upstream", "upstream connection"),
    ("dns", "DNS"),
    ("pipe", "pipe or Unix socket"),
    ("memory", "memory (page fault, reclaim)"),
    ("stopped", "stopped"),
    ("other", "other"),
)
_DNS_PORT = 53
_FAULTS = ("exc_page_fault", "do_user_addr_fault", "do_page_fault", "do_mem_abort", "handle_mm_fault")


@dataclass(frozen=True)
class Cause:
    """What a thread was blocked in: ``description`` is the system call with its object, ``frames`` the
    functions that called it, the innermost first."""

    time_class: str
    description: str
    frames: tuple[str, ...]
    ns: int
    count: int
    max_ns: int


@dataclass(frozen=True)
class ThreadTime:
    """The time of one thread: class → ns in ``classes``, which add up to ``total_ns``.

    ``stalls`` are the periods off the CPU, other than waiting for work or for a CPU, of at least the
    threshold; ``causes`` group them, the longest total first.  ``hot`` are functions of on-CPU samples.
    """

    pid: int
    tid: int
    comm: str
    total_ns: int
    classes: dict[str, int]
    samples_user: int
    samples_kernel: int
    stalls: int
    stall_ns: int
    causes: tuple[Cause, ...]
    hot: tuple[tuple[tuple[str, ...], int], ...]


@dataclass(frozen=True)
class TimeAccount:
    """The time of all traced threads, those with the longest stalls first."""

    duration_ns: int
    stall_threshold_ns: int
    threads: tuple[ThreadTime, ...]
    lost: dict[str, int]
    unsupported: dict[int, str]


def account(trace: WhyTrace, ports: Collection[int]) -> TimeAccount:
    """Classify the periods of a trace.

    :param ports: local ports of the server: a connection on one of these is a client's
    """
    by_thread: dict[tuple[int, int], list[Period]] = {}
    for period in trace.periods:
        by_thread.setdefault((period.pid, period.tid), []).append(period)
    found = [_thread(span, by_thread.get((span.pid, span.tid), []), ports) for span in trace.threads]
    found = [thread for thread in found if thread.total_ns]
    found.sort(key=lambda thread: (-thread.stall_ns, -thread.classes["running"], thread.tid))
    return TimeAccount(trace.duration_ns, trace.stall_ns, tuple(found), trace.lost, trace.unsupported)


def classify(period: Period, ports: Collection[int], *, has_epoll: bool) -> str:
    """Return the class of a period.

    :param has_epoll: the thread has an epoll loop, so its poll and select calls belong to a handler
    """
    if period.kind in (RUNNING, SAMPLE_USER, SAMPLE_KERNEL):
        return "running"
    if period.kind == RUNNABLE:
        return "runnable"
    if period.kind == STOPPED:
        return "stopped"
    call, target = period.call, period.object
    if not call or any(name in _FAULTS for name in period.kernel_frames):
        return "memory"
    if call in syscalls.ACCEPT or (target is not None and target.kind == "tcp-listener"):
        return "waiting"
    if target is not None and target.kind == "inet":
        if target.local_port in ports:
            return "client"
        return "dns" if target.remote_port == _DNS_PORT else "upstream"
    if call in syscalls.WAIT_FOR_EVENTS:
        return (
            "other" if has_epoll and not call.startswith("epoll") and call != "io_uring_enter" else "waiting"
        )
    if call == "futex":
        return "lock"
    if call == "flock" or (call == "fcntl" and target is not None and target.kind == "file"):
        return "lock"
    if call in syscalls.SLEEP:
        return "sleep"
    if target is not None and target.kind == "file":
        return "file"
    if target is not None and target.kind in ("pipe", "unix"):
        return "pipe"
    return "file" if call in syscalls.ON_PATHS else "other"


def describe(period: Period) -> str:
    """Return the system call with what it worked on, such as ``fsync(/var/log/app.log)``."""
    if not period.call:
        return "page fault" if period.kind == BLOCKED else ""
    return f"{period.call}({period.object.name})" if period.object else period.call


def has_epoll_loop(periods: Iterable[Period]) -> bool:
    """Return whether a thread waited in epoll or io_uring."""
    return any(period.call.startswith("epoll") or period.call == "io_uring_enter" for period in periods)


def _thread(span: ThreadSpan, periods: list[Period], ports: Collection[int]) -> ThreadTime:
    classes = {name: 0 for name, _ in CLASSES}
    epoll = has_epoll_loop(periods)
    causes: dict[tuple[str, str, tuple[str, ...]], list[int]] = {}
    hot: Counter[tuple[str, ...]] = Counter()
    samples = {SAMPLE_USER: 0, SAMPLE_KERNEL: 0}
    for period in periods:
        time_class = classify(period, ports, has_epoll=epoll)
        classes[time_class] += period.ns
        if period.kind in samples:
            samples[period.kind] += period.count
            hot[period.frames] += period.count
        elif time_class not in ("waiting", "running", "runnable") and period.stalls:
            cause = causes.setdefault((time_class, describe(period), period.frames), [0, 0, 0])
            cause[0] += period.stall_ns
            cause[1] += period.stalls
            cause[2] = max(cause[2], period.max_ns)
    ordered = sorted(
        (Cause(*key, *numbers) for key, numbers in causes.items()),
        key=lambda cause: (-cause.ns, cause.description),
    )
    return ThreadTime(
        span.pid,
        span.tid,
        span.comm,
        span.ns,
        classes,
        samples[SAMPLE_USER],
        samples[SAMPLE_KERNEL],
        sum(cause.count for cause in ordered),
        sum(cause.ns for cause in ordered),
        tuple(ordered),
        tuple(hot.most_common()),
    )
