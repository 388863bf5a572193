"""The report as text, for a terminal or a ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from sockscope import formatting
from sockscope.analysis.frame import Frame
from sockscope.analysis.idle_servers import split_idle_servers
from sockscope.analysis.server import Wait
from sockscope.analysis.server_report import ServerReport
from sockscope.analysis.signal_requirements import NOT_TRACED
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Worker
from sockscope.report._fairness import fairness_lines
from sockscope.report.wording import (
    NO_LISTENER,
    WORKS_FOR_OTHERS,
    describe_fairness,
    describe_limitations,
    describe_model,
    describe_overhead,
    describe_waiting,
    format_busy,
    format_waiting,
)

_WORKERS_SHOWN = 16
_SLOW_SHOWN = 3


def render(frame: Frame, history: HistoryView | None = None) -> str:
    """Return the whole report, ending in a newline.

    :param history: time series; without it there is no fairness over time
    """
    return "\n".join(_lines(frame, history)) + "\n"


def _lines(frame: Frame, history: HistoryView | None) -> Iterator[str]:
    snapshot, meta = frame.snapshot, frame.meta
    yield f"{meta.host}, Linux {meta.kernel}, {formatting.duration(snapshot.elapsed_ns)} of {meta.target}"
    if not frame.servers:
        yield ""
        yield NO_LISTENER
    servers, others = split_idle_servers(frame.servers)
    for server in servers:
        yield ""
        report = frame.reports[server.group.name]
        yield from server_lines(report, history)
        yield from _slow_lines(report)
    if others:
        yield ""
        yield others
    yield ""
    yield from _findings(frame)
    yield from _health(frame)


def server_lines(report: ServerReport, history: HistoryView | None = None) -> Iterator[str]:
    """Yield the lines of one server: verdict, waits, queues, fairness, threads."""
    server, group = report.server, report.server.group
    name = group.name
    members = f", {len(group.listeners)} listening sockets" if len(group.listeners) > 1 else ""
    yield f"{name}  {server.comm} (pid {server.pid}){members}"
    yield f"  model        {describe_model(server)}"
    for sentence in server.evidence:
        yield f"               {sentence}"
    yield f"  connections  {formatting.count(server.connections)}"
    yield f"  queue wait   {_wait(report.queue_wait)}"
    data_wait = NOT_TRACED if report.data_wait is None else _wait(report.data_wait)
    yield f"  data wait    {data_wait}"
    for listener in group.listeners:
        full = f", {formatting.count(listener.drops)} dropped" if listener.drops else ""
        closed = ", closed" if listener.closed_ns else ""
        yield (
            f"  queue        {listener.queue} now, {listener.queue_max} max, limit {listener.backlog}{full}"
            f" (socket {listener.inode}{closed})"
        )
    if len(group.listeners) > 1 and group.spread.total:
        spread = group.spread
        yield f"  per socket   {describe_fairness(spread)}"
    yield from fairness_lines(report, history)
    yield ""
    yield from _worker_table(report)


def _slow_lines(report: ServerReport) -> Iterator[str]:
    found = report.slow_connections(_SLOW_SHOWN)
    if found:
        yield ""
        yield "  slowest connections"
    for one in found:
        yield f"  {formatting.duration(one.total_ns):>9}  {one.remote}: {one.words}; {one.path}"


def _worker_table(report: ServerReport) -> Iterator[str]:
    accepts, io, waiters = report.server.group.accepts, report.io, report.waiters
    total = sum(accepts.values())
    columns: dict[str, tuple[str, Callable[[Worker], str]]] = {
        "reads": (f" {'reads':>10}", lambda worker: f" {io[worker.id].reads or '–':>10}"),
        "writes": (f" {'writes':>10}", lambda worker: f" {io[worker.id].writes or '–':>10}"),
        "busy_ns": (f" {'busy':>8}", lambda worker: f" {format_busy(worker):>8}"),
    }
    shown = [column for metric, column in columns.items() if report.is_traced(metric)]
    if waiters.is_sufficient:
        shown.append((f" {'waiting':>8}", lambda worker: f" {format_waiting(waiters, worker):>8}"))
    if report.active:
        head = "".join(head for head, _ in shown)
        yield f"  {'pid/tid':<17}{'thread':<17}{'accepted':>9}{'':>8}{head}".rstrip()
    for worker in islice(report.active, _WORKERS_SHOWN):
        taken = accepts.get(worker.id, 0)
        share = formatting.share(taken, total) if taken else ""
        yield (
            f"  {f'{worker.pid}/{worker.number}':<17}{worker.comm:<17}{taken or '–':>9}{share:>8}"
            f"{''.join(cell(worker) for _, cell in shown)}"
        )
    if len(report.active) > _WORKERS_SHOWN:
        yield f"  … and {len(report.active) - _WORKERS_SHOWN} more threads"
    if idle := report.idle_count:
        yield f"  and {idle} thread{'s' * (idle > 1)} of its processes that used no connection"
    if waiters.is_sufficient:
        yield from (f"  ({line})" for line in describe_waiting(waiters))
    if report.works_for_others:
        yield f"  ({WORKS_FOR_OTHERS})"


def _wait(wait: Wait) -> str:
    if not wait.samples:
        return "not measured"
    return (
        f"p50 {formatting.duration(wait.p50)}, p99 {formatting.duration(wait.p99)}, max {formatting.duration(wait.longest)}"
        f"  ({formatting.count(wait.samples)} samples)"
    )


def _findings(frame: Frame) -> Iterator[str]:
    for finding in frame.findings:
        yield f"{finding.severity}: {finding.title} [{finding.id}]"
        yield f"  {finding.explanation}"
        if finding.cause:
            yield f"  Cause: {finding.cause}"
        if finding.effect:
            yield f"  Effect: {finding.effect}"
        for line in finding.remedy:
            yield f"  → {line}"
        if finding.verify:
            yield f"  Verify: {finding.verify}"
        yield ""


def _health(frame: Frame) -> Iterator[str]:
    health = frame.snapshot.health
    for what, number in health.lost:
        yield f"lost: {formatting.count(number)} {what}"
    if not health.lost:
        yield "lost: nothing"
    yield from describe_limitations(frame)
    for note in health.notes:
        yield f"note: {note}"
    if frame.overhead is not None:
        yield describe_overhead(frame)
