"""The report as GitHub-flavoured Markdown, for a ticket or a wiki."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from sockscope import formatting
from sockscope.analysis.findings import all_evaluated
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.idle_servers import split_idle_servers
from sockscope.analysis.server import Wait
from sockscope.analysis.server_report import ServerReport
from sockscope.analysis.signal_requirements import NOT_TRACED
from sockscope.model.snapshot import Worker
from sockscope.report.wording import (
    NO_LISTENER,
    WORKS_FOR_OTHERS,
    describe_exactness,
    describe_limitations,
    describe_model,
    describe_overhead,
    format_busy,
)

_WORKERS, _SLOW = 16, 5


def render(frame: Frame) -> str:
    """Return the whole report, ending in a newline."""
    return "\n".join(_lines(frame)) + "\n"


def escaped(text: str) -> str:
    """Return ``text`` escaped, also for cells of a table."""
    plain = re.sub(r"([\\`*_{}\[\]<>|#~$!@])", r"\\\1", text.replace("&", "&amp;"))
    return re.sub(r"\s+", " ", plain)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1) -> Iterator[str]:
    """Yield a table; cells are escaped.

    :param numbers_from: the first right-aligned column
    """
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join('---' if column < numbers_from else '---:' for column in range(len(head)))}|"
    for row in rows:
        yield f"| {' | '.join(escaped(cell) for cell in row)} |"


def _lines(frame: Frame) -> Iterator[str]:
    meta, snapshot = frame.meta, frame.snapshot
    yield f"# {escaped(meta.target)} on {escaped(meta.host)}"
    yield ""
    yield (
        f"Traced for {formatting.duration(snapshot.elapsed_ns)}, Linux {escaped(meta.kernel)}, "
        f"{formatting.count(snapshot.connections_total)} connections."
    )
    yield ""
    if not frame.servers:
        yield NO_LISTENER
        yield ""
    for finding in frame.findings:
        yield from _finding(finding)
    if frame.servers and not frame.findings:
        if not snapshot.connections_total:
            yield "No connections were observed, so nothing can be judged."
        else:
            yield (
                "No findings."
                if all_evaluated(snapshot.untraced)
                else "No findings in the signals that were traced."
            )
        yield ""
    servers, others = split_idle_servers(frame.servers)
    for server in servers:
        yield from _server(frame.reports[server.group.name])
    if others:
        yield others
        yield ""
    yield "## Health and exactness"
    yield ""
    lost = snapshot.health.lost
    yield (
        "Lost: "
        + (", ".join(f"{formatting.count(number)} {escaped(what)}" for what, number in lost) or "nothing")
        + "."
    )
    yield describe_exactness(frame)
    for line in describe_limitations(frame):
        yield f"{escaped(line[0].upper() + line[1:])}."
    yield describe_overhead(frame)


def _finding(finding: Finding) -> Iterator[str]:
    yield f"## {finding.severity}: {escaped(finding.title)}"
    yield ""
    yield f"{escaped(finding.subject)} (`{finding.id}`)"
    yield ""
    yield escaped(finding.explanation)
    yield ""
    for name, words in (("Cause", finding.cause), ("Effect on clients", finding.effect)):
        if words:
            yield f"**{name}.** {coded(words)}"
            yield ""
    if finding.remedy:
        yield "**What to do.**"
        yield ""
        yield from (f"- {coded(line)}" for line in finding.remedy)
        yield ""
    if finding.verify:
        yield f"**How to verify.** {coded(finding.verify)}"
        yield ""


def coded(text: str) -> str:
    """Return escaped text in which code in backticks is kept."""
    return "".join(f"`{part}`" if index % 2 else escaped(part) for index, part in enumerate(text.split("`")))


def _server(report: ServerReport) -> Iterator[str]:
    server = report.server
    yield f"## {escaped(server.group.name)} {escaped(server.comm)} (pid {server.pid})"
    yield ""
    yield f"**{escaped(describe_model(server))}**"
    yield ""
    yield from (f"- {escaped(sentence)}" for sentence in server.evidence)
    yield ""
    yield from grid(
        ("wait", "samples", "p50", "p99", "max"),
        [("queue wait", *_wait(report.queue_wait)), ("data wait", *_wait(report.data_wait))],
    )
    yield ""
    yield from grid(
        ("listening socket", "established", "max queue", "limit", "dropped"),
        [
            (
                f"{one.inode}",
                *(
                    formatting.count(value)
                    for value in (one.established, one.queue_max, one.backlog, one.drops)
                ),
            )
            for one in server.group.listeners
        ],
    )
    yield ""
    if shared := report.shared:
        yield from grid(
            ("shared work", "judgement", "sharers", "max/mean", "Jain", "p"),
            [
                (
                    figure.name,
                    figure.fairness.words,
                    str(len(figure.workers)),
                    f"{figure.fairness.max_over_mean:.2f}",
                    f"{figure.fairness.jain:.3f}",
                    _p(figure.fairness.p_value),
                )
                for figure in shared
            ],
            2,
        )
        yield ""
    yield from _workers(report)
    if slow := report.slow_connections(_SLOW):
        yield from grid(
            ("slowest connections", "total wait", "details"),
            [(one.remote, formatting.duration(one.total_ns), f"{one.words}; {one.path}") for one in slow],
            3,
        )
        yield ""


def _p(value: float) -> str:
    return "–" if value != value else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _wait(wait: Wait | None) -> tuple[str, ...]:
    if wait is None:
        return (NOT_TRACED, "–", "–", "–")
    return (
        formatting.count(wait.samples),
        *(formatting.duration(ns) for ns in (wait.p50, wait.p99, wait.longest)),
    )


def _workers(report: ServerReport) -> Iterator[str]:
    accepts, io, active = report.server.group.accepts, report.io, report.active
    if not active:
        yield "No thread used a connection."
        yield ""
        return
    columns: dict[str, tuple[str, Callable[[Worker], str]]] = {
        "reads": ("reads", lambda worker: formatting.count(io[worker.id].reads)),
        "writes": ("writes", lambda worker: formatting.count(io[worker.id].writes)),
        "busy_ns": ("busy", format_busy),
    }
    shown = [column for metric, column in columns.items() if report.is_traced(metric)]
    yield from grid(
        ("thread", "pid", "tid", "accepts", *(head for head, _ in shown)),
        [
            (
                worker.comm,
                str(worker.pid),
                str(worker.tid),
                formatting.count(accepts.get(worker.id, 0)),
                *(cell(worker) for _, cell in shown),
            )
            for worker in islice(active, _WORKERS)
        ],
    )
    if len(active) > _WORKERS:
        yield ""
        yield f"and {len(active) - _WORKERS} more threads"
    yield ""
    if report.works_for_others:
        yield f"({WORKS_FOR_OTHERS})"
        yield ""
