"""A frame in the OpenMetrics text format 1.0, which Prometheus reads.

Label sets are bounded: so many servers and workers have series of their own, in the order of their
coming and for good; the work of all other workers is summed up under ``worker="other"``.  Metrics and
labels are listed in docs/metrics.md.  What needs a signal that was not traced has no series.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sockscope.analysis.frame import Frame
from sockscope.analysis.server import Server
from sockscope.analysis.server_report import ServerReport
from sockscope.analysis.signal_requirements import is_traced
from sockscope.model.histogram import EDGES
from sockscope.model.snapshot import Snapshot

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHER = "other"

#: Every fourth edge of the kernel's buckets: powers of two from 1 µs to 69 s, the last one open.
_STEP = 4

_WAITS = {
    "queue_wait": "Time in the accept queue",
    "data_wait": "Time that bytes lay unread",
    "answer": "Time from the first read to the first write after it",
    "stall": "Time that a thread stayed away from its event loop",
}
_WORK: tuple[tuple[str, str, str, float], ...] = (
    ("accepts", "accepts", "Connections accepted", 1),
    ("reads", "reads", "Reads that took bytes", 1),
    ("writes", "writes", "Writes that put bytes", 1),
    ("read_bytes", "bytes_read", "Bytes read", 1),
    ("written_bytes", "bytes_written", "Bytes written", 1),
    ("wakeups", "wakeups", "Wake-ups", 1),
    ("wakeups_spurious", "wakeups_spurious", "Wake-ups for nothing", 1),
    ("busy_seconds", "busy_ns", "Time away from waiting", 1e-9),
    ("cpu_seconds", "cpu_ns", "CPU time since the thread was made", 1e-9),
)


class Exposition:
    """Turns one frame after another into text; remembers who has series of its own.

    :param servers: how many servers have series
    :param workers: how many threads have series
    """

    def __init__(self, servers: int = 32, workers: int = 128) -> None:
        self._most = servers, workers
        self._servers: set[tuple[str, str]] = set()
        self._workers: dict[int, str] = {}

    def render(self, frame: Frame, classic: bool = False) -> str:
        """The whole exposition.

        :param classic: in the text format that was before OpenMetrics, which is all that some scrapers know
        """
        self._remember(frame)
        out = _Text(classic)
        meta, snapshot = frame.meta, frame.snapshot
        out.family("sockscope", "info", "What is traced")
        out.sample(
            "sockscope_info", 1, host=meta.host, kernel=meta.kernel, target=meta.target, version=meta.version
        )
        self._of_servers(out, frame)
        self._of_workers(out, snapshot)
        _of_findings(out, frame)
        _of_itself(out, frame)
        return out.text()

    def _remember(self, frame: Frame) -> None:
        servers, workers = self._most
        for server in frame.servers:
            if len(self._servers) < servers:
                self._servers.add(_key(server))
        for worker in frame.snapshot.workers.values():
            if len(self._workers) < workers and worker.did_something and worker.threads == 1:
                self._workers.setdefault(worker.id, f"{worker.comm}/{worker.pid}/{worker.tid}")

    def _of_servers(self, out: _Text, frame: Frame) -> None:
        shown = {_key(server): server for server in frame.servers if _key(server) in self._servers}
        labelled = [
            ({"listen": listen, "program": program}, server) for (listen, program), server in shown.items()
        ]
        out.family("sockscope_server", "info", "How a server shares its work")
        for labels, server in labelled:
            out.sample("sockscope_server_info", 1, **labels, model=server.model, handoff=server.handoff)
        out.family("sockscope_connections", "counter", "Connections of a server")
        for labels, server in labelled:
            out.sample("sockscope_connections_total", server.connections, **labels)
        _of_queues(out, labelled)
        _of_shares(out, [(labels, frame.reports[server.group.name]) for labels, server in labelled])
        for kind, words in _WAITS.items():
            if not is_traced(frame.snapshot, kind):
                continue
            name = f"sockscope_{kind}_seconds"
            out.family(name, "histogram", words + "; the sum is taken from the middles of buckets", "seconds")
            for labels, server in labelled:
                out.histogram(name, _sum(getattr(worker, kind) for worker in server.workers), labels)

    def _of_workers(self, out: _Text, snapshot: Snapshot) -> None:
        # a name is that of one thread, also when it is the first of many that were put together
        named = {
            number: worker
            for number, worker in snapshot.workers.items()
            if number in self._workers and worker.threads == 1
        }
        rest = [
            worker for worker in snapshot.workers.values() if worker.id not in named and worker.did_something
        ]
        for name, field, words, unit in _WORK:
            if not is_traced(snapshot, field):
                continue
            full = f"sockscope_worker_{name}"
            out.family(
                full, "counter", words, name.rpartition("_")[2] if name.endswith(("bytes", "seconds")) else ""
            )
            for number, label in self._workers.items():
                if number in named:
                    out.sample(f"{full}_total", getattr(named[number], field) * unit, worker=label)
            if rest:
                out.sample(
                    f"{full}_total", sum(getattr(worker, field) for worker in rest) * unit, worker=OTHER
                )


def _key(server: Server) -> tuple[str, str]:
    return server.group.name, server.comm


def _of_queues(out: _Text, labelled: list[tuple[dict[str, str], Server]]) -> None:
    gauges = (
        ("accept_queue_longest", "Connections in the longest accept queue of a server", "queue"),
        ("accept_queue_limit", "Limit of its accept queues", "backlog"),
        ("syn_queue", "Handshakes under way", "syn_queue"),
    )
    for name, words, field in gauges:
        out.family(f"sockscope_{name}", "gauge", words)
        for labels, server in labelled:
            longest = max(
                (getattr(one, field) for one in server.group.listeners if not one.closed_ns), default=0
            )
            out.sample(f"sockscope_{name}", longest, **labels)
    out.family(
        "sockscope_dropped", "counter", "Connections dropped by listening sockets, since these were made"
    )
    for labels, server in labelled:
        out.sample("sockscope_dropped_total", sum(one.drops for one in server.group.listeners), **labels)


def _of_shares(out: _Text, labelled: list[tuple[dict[str, str], ServerReport]]) -> None:
    figures = [(labels, figure) for labels, report in labelled for figure in report.distribution]
    measures = (
        ("max_over_mean", "The largest share over a fair one"),
        ("cv", "Coefficient of variation of shares"),
        ("noise_cv", "The coefficient of variation that chance alone gives"),
    )
    for name, words in measures:
        out.family(f"sockscope_share_{name}", "gauge", words)
        for labels, figure in figures:
            value = getattr(figure.fairness, name)
            if not math.isnan(value):
                out.sample(f"sockscope_share_{name}", value, **labels, work=_word(figure.name))
    out.family(
        "sockscope_share_skewed", "gauge", "1: shares are uneven, by more than chance and enough to matter"
    )
    for labels, figure in figures:
        uneven = int(figure.fairness.judgement == "skewed")
        out.sample("sockscope_share_skewed", uneven, **labels, work=_word(figure.name))
    out.family("sockscope_open_connections", "gauge", "Accepted connections that are open")
    for labels, report in labelled:
        out.sample("sockscope_open_connections", report.open_connections, **labels)


def _word(name: str) -> str:
    return name.lower().replace(" ", "_")


def _of_findings(out: _Text, frame: Frame) -> None:
    found: dict[tuple[str, str], int] = {}
    for finding in frame.findings:
        found[finding.id, finding.severity] = found.get((finding.id, finding.severity), 0) + 1
    out.family("sockscope_findings", "gauge", "Findings now, by what they are")
    for (number, severity), count in sorted(found.items()):
        out.sample("sockscope_findings", count, finding=number, severity=severity)


def _of_itself(out: _Text, frame: Frame) -> None:
    health = frame.snapshot.health
    out.family("sockscope_lost_records", "counter", "Records that were lost")
    out.sample("sockscope_lost_records_total", sum(count for _, count in health.lost))
    out.family(
        "sockscope_own_cpu_seconds", "counter", "CPU time of sockscope itself, without probes", "seconds"
    )
    out.sample("sockscope_own_cpu_seconds_total", health.cost.user_cpu_ns / 1e9)
    out.family("sockscope_own_resident_bytes", "gauge", "Resident memory of sockscope itself", "bytes")
    out.sample("sockscope_own_resident_bytes", health.cost.resident_bytes)


def _sum(histograms: Iterable[Any]) -> Any:
    return sum((one.astype(np.int64) for one in histograms), np.zeros(len(EDGES) - 1, np.int64))


class _Text:
    """Lines of an exposition; in the classic format a family is called as its samples are, and an info
    is a gauge."""

    def __init__(self, classic: bool) -> None:
        self._lines: list[str] = []
        self._classic = classic

    def family(self, name: str, kind: str, words: str, unit: str = "") -> None:
        if self._classic:
            name += {"counter": "_total", "info": "_info"}.get(kind, "")
            kind = "gauge" if kind == "info" else kind
        self._lines.append(f"# TYPE {name} {kind}")
        if unit and not self._classic:
            self._lines.append(f"# UNIT {name} {unit}")
        self._lines.append(f"# HELP {name} {words}")

    def sample(self, metric: str, value: float, **labels: str) -> None:
        self._lines.append(f"{metric}{_labels(labels)} {_number(value)}")

    def histogram(self, metric: str, counts: Any, labels: Mapping[str, str]) -> None:
        """Cumulative counts at every fourth edge; the kernel's buckets end just before theirs."""
        below = np.cumsum(counts)
        for edge in range(1, len(EDGES) - 1, _STEP):
            self.sample(
                f"{metric}_bucket", int(below[edge - 1]), **labels, le=_number(float(EDGES[edge]) / 1e9)
            )
        self.sample(f"{metric}_bucket", int(below[-1]), **labels, le="+Inf")
        middles = (EDGES[:-1] + np.append(EDGES[1:-1], EDGES[-2])) / 2
        self.sample(f"{metric}_count", int(below[-1]), **labels)
        self.sample(f"{metric}_sum", float((counts * middles).sum() / 1e9), **labels)

    def text(self) -> str:
        return "\n".join(self._lines if self._classic else [*self._lines, "# EOF"]) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
