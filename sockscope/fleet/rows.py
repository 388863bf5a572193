"""What a recording says of its servers, as rows of small tables: what a fleet is compared by.

``sockscope export`` writes them beside the recording's own tables, so a report on a thousand hosts
reads a few rows of each, whatever they recorded, and any engine can ask the same rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.analysis.server_waits import sum_waits
from sockscope.analysis.signal_requirements import is_traced
from sockscope.model.connection_io import is_exact
from sockscope.model.history import HistoryView
from sockscope.records.histogram import EDGES
from sockscope.report.json import plain_finding


@dataclass(frozen=True)
class RecordingRow:
    """What was recorded; one row.  ``exact`` counts connections that were seen whole."""

    hostname: str
    kernel: str
    target: str
    version: str
    cpus: int
    started_at: datetime
    elapsed_ns: int
    connections: int
    exact: int
    lost: int
    limitations: str


@dataclass(frozen=True)
class ServerRow:
    """A server; ``server`` numbers those of a recording.  ``drops`` are those while it was traced; None:
    not traced."""

    server: int
    address: str
    port: int
    comm: str
    pid: int
    container: str
    model: str
    handoff: str
    roaming: bool
    confidence: float
    connections: int
    listeners: int
    acceptors: int
    readers: int | None
    writers: int | None
    queue_max: int
    backlog: int
    drops: int


@dataclass(frozen=True)
class WaitRow:
    """A bucket of a server's wait that is not empty: ``bucket`` begins at ``from_ns``."""

    server: int
    wait: str
    bucket: int
    from_ns: int
    count: int


@dataclass(frozen=True)
class ShareRow:
    """How evenly a kind of work is shared; None: not known."""

    server: int
    work: str
    sharers: int
    max_over_mean: float | None
    cv: float | None
    noise_cv: float | None
    p_value: float | None
    judgement: str


@dataclass(frozen=True)
class FindingRow:
    """A finding; ``evidence`` is a JSON object."""

    id: str
    severity: str
    title: str
    subject: str
    explanation: str
    evidence: str
    remedy: tuple[str, ...]


Row = RecordingRow | ServerRow | WaitRow | ShareRow | FindingRow

#: Table → what its rows are.
TABLES: dict[str, type[Row]] = {
    "recordings": RecordingRow,
    "servers": ServerRow,
    "server_waits": WaitRow,
    "server_shares": ShareRow,
    "findings": FindingRow,
}


def rows_of(frame: Frame, history: HistoryView) -> dict[str, list[Row]]:
    """The rows of each of :data:`TABLES`."""
    servers = list(enumerate(frame.servers))
    return {
        "recordings": [_recording(frame)],
        "servers": [_server(frame, history, number, server) for number, server in servers],
        "server_waits": [row for number, server in servers for row in _waits(number, server)],
        "server_shares": [row for number, server in servers for row in _shares(frame, number, server)],
        "findings": [_finding(plain_finding(finding)) for finding in frame.findings],
    }


def _recording(frame: Frame) -> RecordingRow:
    meta, snapshot = frame.meta, frame.snapshot
    started = datetime.fromtimestamp((meta.started_ns + meta.monotonic_offset_ns) // 1000 / 1e6, UTC)
    return RecordingRow(
        hostname=meta.host,
        kernel=meta.kernel,
        target=meta.target,
        version=meta.version,
        cpus=meta.cpus,
        started_at=started.replace(tzinfo=None),
        elapsed_ns=snapshot.elapsed_ns,
        connections=snapshot.connections_total,
        exact=int(np.count_nonzero(is_exact(snapshot.connections))),
        lost=sum(number for _, number in snapshot.health.lost),
        limitations="; ".join(
            f"{signal.name}: {signal.limitations}" for signal in meta.signals if signal.limitations
        ),
    )


def _server(frame: Frame, history: HistoryView, number: int, server: Server) -> ServerRow:
    listeners = server.group.listeners
    process = frame.snapshot.processes.get(server.pid)
    dropped = history.listener("drops", [one.id for one in listeners]).sum() if history.ticks else 0
    return ServerRow(
        server=number,
        address=server.group.name,
        port=server.group.port,
        comm=server.comm,
        pid=server.pid,
        container=process.container if process else "",
        model=server.model,
        handoff=server.handoff,
        roaming=server.roaming,
        confidence=server.confidence,
        connections=server.connections,
        listeners=len(listeners),
        acceptors=len(server.acceptors),
        readers=len(server.readers) if is_traced(frame.snapshot, "readers") else None,
        writers=len(server.writers) if is_traced(frame.snapshot, "writers") else None,
        queue_max=max((one.queue_max for one in listeners), default=0),
        backlog=max((one.backlog for one in listeners), default=0),
        drops=int(dropped),
    )


def _waits(number: int, server: Server) -> Iterator[WaitRow]:
    for kind, counts in sum_waits(server).items():
        for bucket in np.flatnonzero(counts):
            yield WaitRow(number, kind, int(bucket), int(EDGES[bucket]), int(counts[bucket]))


def _shares(frame: Frame, number: int, server: Server) -> Iterator[ShareRow]:
    for figure in frame.reports[server.group.name].distribution:
        judged = figure.fairness
        yield ShareRow(
            number,
            figure.name,
            len(judged.values),
            _known(judged.max_over_mean),
            _known(judged.cv),
            _known(judged.noise_cv),
            _known(judged.p_value),
            judged.judgement,
        )


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _finding(finding: dict[str, Any]) -> FindingRow:
    evidence = json.dumps(finding["evidence"], ensure_ascii=False, allow_nan=False)
    words = {name: finding[name] for name in ("id", "severity", "title", "subject", "explanation")}
    return FindingRow(**words, evidence=evidence, remedy=tuple(finding["remedy"]))
