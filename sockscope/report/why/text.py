"""The time account as text."""

from __future__ import annotations

from collections.abc import Iterator

from sockscope import formatting
from sockscope.analysis.time_accounting import CLASSES, ThreadTime, TimeAccount

_MOST_CAUSES, _MOST_HOT, _MOST_FRAMES = 5, 3, 6
_ALMOST_ALL = 0.99


def as_text(account: TimeAccount) -> str:
    """Format the account: threads with stalls first, threads that only waited for work in one line."""
    processes = len({thread.pid for thread in account.threads})
    lines = [
        f"traced for {formatting.duration(account.duration_ns)}: {_number(len(account.threads), 'thread')} in "
        f"{_number(processes, 'process')}; stall threshold {formatting.duration(account.stall_threshold_ns)}"
    ]
    idle = [thread for thread in account.threads if _is_idle(thread)]
    for thread in account.threads:
        if not _is_idle(thread):
            lines += ["", *_thread(thread)]
    if idle:
        names = ", ".join(f"{thread.comm} {thread.tid}" for thread in idle[:8])
        more = f" and {len(idle) - 8} more" if len(idle) > 8 else ""
        lines += ["", f"only waiting (99 % of the time or more, no stall): {names}{more}"]
    for pid, reason in account.unsupported.items():
        lines.append(f"process {pid}: no Python frames: {reason}")
    for name, number in account.lost.items():
        lines.append(f"lost because a map was full: {number} {name}")
    return "\n".join(lines) + "\n"


def _is_idle(thread: ThreadTime) -> bool:
    idle = thread.classes["waiting"] + thread.classes["lock"] * (not thread.classes["running"])
    return not thread.stalls and idle >= _ALMOST_ALL * thread.total_ns


def _thread(thread: ThreadTime) -> Iterator[str]:
    yield f"{thread.comm} (pid {thread.pid}, thread {thread.tid})"
    samples = thread.samples_user + thread.samples_kernel
    for name, label in CLASSES:
        ns = thread.classes[name]
        if not ns:
            continue
        line = f"  {label:<30}{formatting.share(ns, thread.total_ns):>8}  {formatting.duration(ns)}"
        if name == "running" and samples:
            user = formatting.share(thread.samples_user, samples)
            line += f"  ({user} in user space, {_number(samples, 'sample')})"
        yield line
    if thread.stalls:
        longest = max(cause.max_ns for cause in thread.causes)
        yield (
            f"  {_number(thread.stalls, 'stall')}, {formatting.duration(thread.stall_ns)} in total, "
            f"longest {formatting.duration(longest)}:"
        )
    for cause in thread.causes[:_MOST_CAUSES]:
        yield (
            f"    {formatting.share(cause.ns, thread.stall_ns):>7}  {cause.description}  "
            f"{_number(cause.count, 'time')}, longest {formatting.duration(cause.max_ns)}"
        )
        if cause.frames:
            yield f"             {_frames(cause.frames)}"
    if len(thread.causes) > _MOST_CAUSES:
        yield f"    {_number(len(thread.causes) - _MOST_CAUSES, 'more cause')}"
    if samples:
        yield "  on the CPU:"
    for frames, count in thread.hot[:_MOST_HOT] if samples else ():
        yield f"    {formatting.share(count, samples):>7}  {_frames(frames) or '(no user stack)'}"


def _frames(frames: tuple[str, ...]) -> str:
    more = " < ..." if len(frames) > _MOST_FRAMES else ""
    return " < ".join(frames[:_MOST_FRAMES]) + more


def _number(count: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{formatting.count(count)} {noun if count == 1 else plural}"
