"""Format a steered group and the comparison of before, during and after."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from sockscope import formatting
from sockscope.compare import text as comparison_text
from sockscope.compare.model import Comparison
from sockscope.steer.groups import Group
from sockscope.steer.measure import Interval, intervals
from sockscope.steer.steering import View


@dataclass(frozen=True)
class Result:
    """What a run of ``sockscope steer`` yields."""

    group: str
    policy: str
    seconds: float
    ended: str
    view: View
    ns_per_connection: float | None
    comparison: Comparison | None


def plan_lines(group: Group, policy: str, description: str) -> Iterator[str]:
    """Describe what steering will do, before anything is done."""
    yield f"{group.name} (network namespace {group.netns}): SO_REUSEPORT group of {group.size}"
    for index, member in enumerate(group.members):
        comm = formatting.printable(member.comm)
        yield f"  member {index}: {comm} {member.pid}, inode {member.inode}, accept queue {member.queue}"
    if group.selection:
        yield f"Selected by now: {group.selection}."
    yield f"Policy {policy}: {description}."
    yield (
        "Steering duplicates each listening socket for a moment (pidfd_getfd), attaches an SK_REUSEPORT program"
        " to the group, and detaches it at the end. If sockscope is killed, the kernel's hash selects again"
        " within 1 s."
    )
    if policy == "cpu-local":
        yield (
            "Warning: if clients run on this host, all their connections may go to one worker: a client's SYN"
            " is received on the client's CPU."
        )


def member_lines(view: View) -> Iterator[str]:
    """Format the members as a table."""
    yield f"{'member':<26}{'share':>8}{'by hash':>9}{'queue':>7}{'busy':>7}{'open':>7}"
    for member in view.members:
        name = f"{member.slot}  {formatting.printable(member.comm)} {member.pid}"
        yield (
            f"{name:<26}{100 * member.share:>7.1f}%{100 * member.hash_share:>8.1f}%{member.queue:>7}"
            f"{100 * member.busy:>6.0f}%{member.open:>7}"
        )
    hashed = ", ".join(f"{count} {reason}" for reason, count in view.hashed.items() if count)
    yield f"steered {view.steered}; left to the hash: {hashed or 'none'}"
    if view.uncounted:
        yield f"{view.uncounted} open connections were not counted: the map is full"


def text(result: Result) -> str:
    """Format for a terminal."""
    lines = [f"{result.group} steered by {result.policy} for {result.seconds:.1f} s"]
    if result.ended:
        lines.append(f"steering ended early: {result.ended}")
    lines += ["", *member_lines(result.view)]
    if result.ns_per_connection is not None:
        lines.append(f"program: {result.ns_per_connection:.0f} ns per SYN (BPF statistics)")
    if result.comparison is None:
        return "\n".join(lines) + "\n"
    lines += ["", "95 % confidence intervals"]
    lines += [_interval_line(one) for one in intervals(result.comparison) if one.samples]
    return "\n".join(lines) + "\n\n" + comparison_text.text(result.comparison)


def document(result: Result) -> str:
    """Format as JSON."""
    value: dict[str, object] = {
        "group": result.group,
        "policy": result.policy,
        "seconds": result.seconds,
        "ended": result.ended,
        "steered": result.view.steered,
        "hashed": dict(result.view.hashed),
        "uncounted": result.view.uncounted,
        "members": [asdict(member) for member in result.view.members],
        "ns_per_connection": result.ns_per_connection,
    }
    if result.comparison is not None:
        value["intervals"] = [_finite(asdict(one)) for one in intervals(result.comparison)]
        value["comparison"] = json.loads(comparison_text.document(result.comparison))
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def html(result: Result) -> str:
    """Format as a page: the members, the confidence intervals and the comparison.

    :raises SockscopeError: when matplotlib is not installed
    """
    from sockscope.compare.html import render
    from sockscope.report.html.components import Table
    from sockscope.report.html.environment import render_template

    title = f"{result.group} steered by {result.policy} for {result.seconds:.1f} s"
    members = Table(
        title,
        ("member", "share", "by hash", "queue", "busy", "open"),
        tuple(
            (
                f"{member.comm} {member.pid}",
                f"{100 * member.share:.1f} %",
                f"{100 * member.hash_share:.1f} %",
                str(member.queue),
                f"{100 * member.busy:.0f} %",
                str(member.open),
            )
            for member in result.view.members
        ),
    )
    if result.comparison is None:
        return render_template("steering.html", title="Steering", page=None, members=members)
    shown = Table(
        "95 % confidence intervals",
        ("phase", "wait", "percentile", "value", "low", "high", "connections"),
        tuple(
            (
                one.phase,
                one.wait,
                f"p{100 * one.fraction:g}",
                *(formatting.duration(value) for value in (one.value, one.low, one.high)),
                str(one.samples),
            )
            for one in intervals(result.comparison)
            if one.samples
        ),
        numeric_from=3,
    )
    return render(result.comparison, "steering.html", members=members, intervals=shown)


FORMATS: Mapping[str, Callable[[Result], str]] = {"text": text, "json": document, "html": html}


def _interval_line(one: Interval) -> str:
    values: Sequence[str] = [formatting.duration(value) for value in (one.value, one.low, one.high)]
    return (
        f"  {one.phase:<7} {one.wait}, p{100 * one.fraction:g}: {values[0]} "
        f"({values[1]} to {values[2]}; {one.samples} connections)"
    )


def _finite(row: dict[str, object]) -> dict[str, object]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
