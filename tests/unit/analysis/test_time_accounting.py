"""Classes of a thread's time, and the causes of its stalls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sockscope.analysis.time_accounting import account, classify
from sockscope.report.why import json as why_json
from sockscope.report.why import stacks, text
from sockscope.tracer.why_tracer import (
    BLOCKED,
    RUNNABLE,
    RUNNING,
    SAMPLE_USER,
    STOPPED,
    BlockedOn,
    Period,
    ThreadSpan,
    WhyTrace,
)

MS = 1_000_000
FILE = BlockedOn("file", "/var/log/app.log")
LISTENER = BlockedOn("tcp-listener", "port 80", 80)
CLIENT = BlockedOn("inet", "10.0.0.1:4711", 80, 4711)
DATABASE = BlockedOn("inet", "10.0.0.2:5432", 4000, 5432)
RESOLVER = BlockedOn("inet", "10.0.0.3:53", 4001, 53)


def period(kind: int = BLOCKED, call: str = "", target: BlockedOn | None = None, **more: Any) -> Period:
    values = {"frames": (), "kernel_frames": (), "ns": 30 * MS, "count": 1, "max_ns": 30 * MS}
    values |= {"stalls": 1, "stall_ns": 30 * MS} | more
    return Period(7, 7, kind, call, target, **values)


@pytest.mark.parametrize(
    ("it", "expected"),
    [
        (period(RUNNING), "running"),
        (period(RUNNABLE), "runnable"),
        (period(STOPPED), "stopped"),
        (period(BLOCKED), "memory"),
        (period(call="write", target=FILE, kernel_frames=("schedule", "exc_page_fault")), "memory"),
        (period(call="epoll_wait"), "waiting"),
        (period(call="accept4", target=LISTENER), "waiting"),
        (period(call="poll", target=LISTENER), "waiting"),
        (period(call="poll", target=DATABASE), "upstream"),
        (period(call="recvfrom", target=CLIENT), "client"),
        (period(call="poll", target=RESOLVER), "dns"),
        (period(call="futex"), "lock"),
        (period(call="flock", target=FILE), "lock"),
        (period(call="fsync", target=FILE), "file"),
        (period(call="openat"), "file"),
        (period(call="clock_nanosleep"), "sleep"),
        (period(call="write", target=BlockedOn("pipe", "pipe:[5]")), "pipe"),
        (period(call="recvmsg", target=BlockedOn("unix", "Unix socket")), "pipe"),
        (period(call="wait4"), "other"),
        (period(call="poll"), "waiting"),
    ],
)
def test_a_period_has_its_class(it: Period, expected: str) -> None:
    assert classify(it, {80}, has_epoll=False) == expected


def test_poll_in_a_thread_with_an_epoll_loop_is_not_waiting_for_work() -> None:
    assert classify(period(call="poll"), {80}, has_epoll=True) == "other"


def trace() -> WhyTrace:
    periods = (
        period(call="epoll_wait", ns=600 * MS, stall_ns=600 * MS),
        period(RUNNING, ns=100 * MS),
        period(SAMPLE_USER, ns=0, count=10, stalls=0, stall_ns=0, frames=("crunch", "handle")),
        period(
            call="fsync",
            target=FILE,
            ns=270 * MS,
            stalls=9,
            stall_ns=270 * MS,
            frames=("write_log", "handle"),
        ),
        period(call="futex"),
    )
    return WhyTrace(1000 * MS, 20 * MS, (ThreadSpan(7, 7, "web", 1000 * MS),), periods, {"stacks": 2}, {})


def test_classes_add_up_and_stalls_are_grouped_by_cause() -> None:
    (thread,) = account(trace(), {80}).threads
    assert sum(thread.classes.values()) == thread.total_ns
    assert (thread.stalls, thread.stall_ns) == (10, 300 * MS)
    assert [(cause.description, cause.ns) for cause in thread.causes] == [
        ("fsync(/var/log/app.log)", 270 * MS),
        ("futex", 30 * MS),
    ]
    assert thread.hot == ((("crunch", "handle"), 10),)


def test_text_names_the_cause_its_share_its_callers_and_what_was_lost() -> None:
    shown = text.as_text(account(trace(), {80}))
    assert "  waiting for work                60.0 %  600 ms\n" in shown
    assert "     90.0 %  fsync(/var/log/app.log)  9 times, longest 30 ms\n" in shown
    assert "write_log < handle\n" in shown
    assert "lost because a map was full: 2 stacks\n" in shown


def test_folded_stacks_begin_with_the_thread_and_end_with_the_call() -> None:
    lines = stacks.as_folded(trace(), {80}).splitlines()
    assert "web 7/7;file;handle;write_log;fsync(/var/log/app.log) 270000" in lines
    assert "web 7/7;running;handle;crunch 101010" in lines


def test_json_and_speedscope_are_documents_with_the_same_times() -> None:
    document = json.loads(why_json.as_json(account(trace(), {80})))
    assert document["threads"][0]["classes"]["file"] == 270 * MS
    (profile,) = json.loads(stacks.as_speedscope(trace(), {80}))["profiles"]
    assert len(profile["samples"]) == len(profile["weights"])
    assert profile["endValue"] == sum(profile["weights"])
