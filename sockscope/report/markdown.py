"""The report as Markdown (GitHub's, with tables): to paste into a ticket or a wiki."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from sockscope import formatting
from sockscope.analysis.findings import all_evaluated
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.idle_servers import split_idle_servers
from sockscope.analysis.server import Server, Wait
from sockscope.analysis.server_io import ELSEWHERE, ServerIo
from sockscope.analysis.signal_requirements import NOT_TRACED, is_traced
from sockscope.analysis.slow_connections import find_slow_connections
from sockscope.analysis.work_distribution import get_work_distribution
from sockscope.model.snapshot import Worker
from sockscope.report._health import cost, exactness
from sockscope.report.text import busy_words, model_words

_WORKERS, _SLOW = 16, 5


def render(frame: Frame) -> str:
    """The whole report, ending in a newline."""
    return "\n".join(_lines(frame)) + "\n"


def escaped(text: str) -> str:
    """``text`` so that Markdown shows it as it is, in a table's cell too."""
    plain = re.sub(r"([\\`*_{}\[\]<>|#~$!@])", r"\\\1", text.replace("&", "&amp;"))
    return re.sub(r"\s+", " ", plain)


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1) -> Iterator[str]:
    """A table; cells are escaped.

    :param numbers_from: the first column that is set to the right
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
        yield "Nobody listened there while it was traced."
        yield ""
    for finding in frame.findings:
        yield from _finding(finding)
    if frame.servers and not frame.findings:
        if not snapshot.connections_total:
            yield "No connection was seen, so nothing of it can be judged."
        else:
            yield "No findings." if all_evaluated(snapshot.untraced) else "No findings in what was traced."
        yield ""
    servers, others = split_idle_servers(frame.servers)
    for server in servers:
        yield from _server(frame, server)
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
    yield exactness(frame)
    for signal in frame.meta.signals:
        if signal.limitations:
            yield f"Signal {escaped(signal.name)} ({escaped(signal.method) or NOT_TRACED}): {escaped(signal.limitations)}."
    yield cost(frame)


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
    """Escaped text, but for what stands in backticks as code."""
    return "".join(f"`{part}`" if index % 2 else escaped(part) for index, part in enumerate(text.split("`")))


def _server(frame: Frame, server: Server) -> Iterator[str]:
    name = server.group.name
    yield f"## {escaped(name)} {escaped(server.comm)} (pid {server.pid})"
    yield ""
    yield f"**{escaped(model_words(server))}**"
    yield ""
    yield from (f"- {escaped(sentence)}" for sentence in server.evidence)
    yield ""
    yield from grid(
        ("wait", "measured", "p50", "p99", "longest"),
        [("queue", *_wait(frame.queue_wait[name])), ("data", *_data_wait(frame, name))],
    )
    yield ""
    yield from grid(
        ("listening socket", "established", "longest queue", "limit", "dropped"),
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
    shared = [
        figure
        for figure in get_work_distribution(frame.snapshot, server)
        if len(figure.workers) > 1 and figure.fairness.total
    ]
    if shared:
        yield from grid(
            ("shared work", "is", "sharers", "max/mean", "Jain", "p"),
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
    yield from _workers(frame, server)
    slow = find_slow_connections(frame.snapshot, server, _SLOW)
    if slow:
        yield from grid(
            ("waited longest", "in all", "by"),
            [(one.remote, formatting.duration(one.total_ns), f"{one.words}; {one.path}") for one in slow],
            3,
        )
        yield ""


def _p(value: float) -> str:
    return "–" if value != value else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _wait(wait: Wait) -> tuple[str, ...]:
    return (
        formatting.count(wait.samples),
        *(formatting.duration(ns) for ns in (wait.p50, wait.p99, wait.longest)),
    )


def _data_wait(frame: Frame, name: str) -> tuple[str, ...]:
    if is_traced(frame.snapshot, "data_wait"):
        return _wait(frame.data_wait[name])
    return (NOT_TRACED, "–", "–", "–")


def _workers(frame: Frame, server: Server) -> Iterator[str]:
    accepts = server.group.accepts
    done = ServerIo(frame.snapshot, server)
    active = [worker for worker in server.workers if worker.did_something]
    if not active:
        yield "No thread touched a connection."
        yield ""
        return
    active.sort(key=lambda worker: (-accepts.get(worker.id, 0), -done[worker.id].reads, worker.tid))
    columns: dict[str, tuple[str, Callable[[Worker], str]]] = {
        "reads": ("reads", lambda worker: formatting.count(done[worker.id].reads)),
        "writes": ("writes", lambda worker: formatting.count(done[worker.id].writes)),
        "busy_ns": ("busy", busy_words),
    }
    shown = [column for figure, column in columns.items() if is_traced(frame.snapshot, figure)]
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
    if done.is_less_than_all(active):
        yield f"({ELSEWHERE})"
        yield ""
