"""The report as JSON; docs/report.md documents every key with its unit."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.latency import from_histogram
from sockscope.analysis.server import Group, Wait
from sockscope.analysis.server_report import ServerReport
from sockscope.analysis.signal_requirements import is_traced
from sockscope.analysis.waiter_samples import WaiterSamples, sample_waiters
from sockscope.model.history import HistoryView
from sockscope.model.snapshot import Listener, Snapshot, Worker
from sockscope.records.layout import ConnectionEnd
from sockscope.report._fairness import plain_fairness, plain_shares
from sockscope.report._json_connections import LISTED, plain_connections


def render(frame: Frame, history: HistoryView | None = None, connections: int = LISTED) -> str:
    """Return the whole report as one JSON document, ending in a newline.

    :param history: time series; without it there is no fairness over time
    :param connections: how many connections are listed, those that waited longest
    """
    return json.dumps(document(frame, history, connections), ensure_ascii=False, allow_nan=False) + "\n"


def document(
    frame: Frame, history: HistoryView | None = None, connections: int | None = None
) -> dict[str, Any]:
    """Return the report as plain values.

    :param history: time series
    :param connections: how many connections are listed, those that waited longest; None lists all
    """
    snapshot = frame.snapshot
    roles, wakes = _roles(snapshot), _wakes(snapshot)
    names = {worker.id: worker for worker in snapshot.workers.values()}
    return {
        "meta": _meta(frame),
        "health": _health(frame),
        "listeners": [_listener(snapshot, listener) for listener in snapshot.listeners],
        "groups": [_group(frame, group) for group in frame.groups],
        "workers": [
            _worker(snapshot, worker, roles.get(worker.id, []), wakes.get(worker.id, []))
            for worker in snapshot.workers.values()
        ],
        "connections": list(plain_connections(snapshot, names, connections)),
        "servers": [_server(frame, report, history) for report in frame.reports.values()],
        "findings": [plain_finding(finding) for finding in frame.findings],
    }


def _meta(frame: Frame) -> dict[str, Any]:
    meta = asdict(frame.meta)
    meta["started_unix_ns"] = frame.meta.started_ns + frame.meta.monotonic_offset_ns
    meta["elapsed_ns"] = frame.snapshot.elapsed_ns
    meta["connections_total"] = frame.snapshot.connections_total
    return meta


def _health(frame: Frame) -> dict[str, Any]:
    snapshot, spent = frame.snapshot, frame.overhead
    health = snapshot.health
    return {
        "lost": [_loss(text, number) for text, number in health.lost],
        "overhead": asdict(health.cost) | {"request_ns": spent.request_ns if spent else None},
        "notes": list(health.notes),
        "hosts": [asdict(host) for host in snapshot.hosts],
    }


def _loss(text: str, number: int) -> dict[str, Any]:
    what, _, where = text.partition(": ")
    return {"what": what, "where": where, "count": number}


def _listener(snapshot: Snapshot, listener: Listener) -> dict[str, Any]:
    by = snapshot.workers.get(listener.listened_by)
    waiters = sample_waiters(snapshot, {listener.id})
    return {
        "inode": listener.inode,
        "netns": listener.netns,
        "address": listener.address,
        "port": listener.port,
        "family": listener.family,
        "reuseport": listener.reuseport,
        "mptcp": listener.mptcp,
        "defer_accept": listener.defer_accept,
        "backlog": listener.backlog,
        "queue": listener.queue,
        "queue_max": listener.queue_max,
        "drops": listener.drops,
        "syn_queue": listener.syn_queue,
        "established": listener.established,
        "accepts": listener.accepted,
        "ends": _ends(snapshot, listener),
        "accept_errors": _accept_errors(snapshot, listener),
        "samples": listener.samples,
        "samples_several": listener.samples_several,
        "samples_changed": listener.samples_changed,
        "waiters": listener.waiters,
        "exclusive": listener.exclusive,
        "waiting": _waiting(snapshot, waiters),
        "samples_unnamed": waiters.unnamed,
        "owners": [
            {"pid": held.pid, "comm": _comm(snapshot, held.pid), "descriptors": list(held.descriptors)}
            for held in listener.owners
        ],
        "listened_ns": listener.listened_ns or None,
        "listened_by": {"pid": by.pid, "tid": by.tid, "comm": by.comm} if by else None,
        "closed_ns": listener.closed_ns or None,
    }


def _ends(snapshot: Snapshot, listener: Listener) -> list[dict[str, Any]]:
    """How its closed connections ended."""
    return [
        {
            "ended": ConnectionEnd(int(row["ended"])).name.lower() if row["ended"] else "unknown",
            "answered": None if row["open_before"] else bool(row["answered"]),
            "connections": int(row["count"]),
        }
        for row in snapshot.ends[snapshot.ends["listener"] == listener.id]
    ]


def _accept_errors(snapshot: Snapshot, listener: Listener) -> list[dict[str, Any]]:
    """What accept() returned on it besides connections, most frequent first."""
    found = [one for one in snapshot.accept_errors if one.listener == listener.id]
    return [
        {
            "pid": worker.pid if worker else None,
            "tid": worker.tid if worker else None,
            "comm": worker.comm if worker else "",
            "errno": one.error,
            "name": errno.errorcode.get(one.error, ""),
            "count": one.count,
            "first_ns": one.first_ns,
            "last_ns": one.last_ns,
        }
        for one in sorted(found, key=lambda one: (-one.count, one.error, one.worker))
        for worker in [snapshot.workers.get(one.worker)]
    ]


def _waiting(snapshot: Snapshot, waiters: WaiterSamples) -> list[dict[str, Any]]:
    """Return the threads that waited for a listener, most frequent first."""
    found = waiters.by_worker
    return [
        {"pid": worker.pid, "tid": worker.tid, "comm": worker.comm, "samples": waited.times}
        for number, waited in sorted(found.items(), key=lambda item: (-item[1].times, item[0]))
        for worker in [snapshot.workers.get(number)]
        if worker is not None
    ]


def _comm(snapshot: Snapshot, pid: int) -> str:
    process = snapshot.processes.get(pid)
    return process.comm if process else ""


def _group(frame: Frame, group: Group) -> dict[str, Any]:
    workers = frame.snapshot.workers
    total = sum(group.accepts.values())
    return {
        "netns": group.netns,
        "address": group.address,
        "port": group.port,
        "reuseport": group.reuseport,
        "members": [listener.inode for listener in group.listeners],
        "accepts": total,
        "shares": [
            {
                "pid": workers[number].pid,
                "tid": workers[number].tid,
                "comm": workers[number].comm,
                "accepts": accepts,
                "share": accepts / total,
            }
            for number, accepts in sorted(group.accepts.items(), key=lambda item: -item[1])
            if number in workers
        ],
        "spread": plain_fairness(group.spread),
        "fairness": plain_fairness(group.fairness),
    }


def _wakes(snapshot: Snapshot) -> dict[int, list[dict[str, int]]]:
    """Return worker id → the threads of its process that it woke, most frequent first."""
    found: dict[int, list[dict[str, int]]] = {}
    for wake in sorted(snapshot.wakes, key=lambda wake: -wake.wakes):
        entry = {"tid": wake.wakee, "wakes": wake.wakes, "after_read": wake.after_read}
        found.setdefault(wake.waker, []).append(entry)
    return found


def _worker(
    snapshot: Snapshot, worker: Worker, roles: list[str], wakes: list[dict[str, int]]
) -> dict[str, Any]:
    counted = (
        "accepts", "accepts_eagain", "accepts_failed", "reads", "bytes_read", "reads_eagain", "eof_reads",
        "writes", "bytes_written", "waits", "wakeups", "wakeups_spurious", "deferred_replies", "wait_ns", "busy_ns",
        "stall_max_ns", "cpu_ns", "cpu_wait_ns",
    )  # fmt: skip
    return {
        "pid": worker.pid,
        "tid": worker.tid,
        "parent_pid": worker.parent_pid,
        "comm": worker.comm,
        "roles": roles,
        **{name: getattr(worker, name) if is_traced(snapshot, name) else None for name in counted},
        "answer_wait": _wait(from_histogram(worker.answer)) if is_traced(snapshot, "answer") else None,
        "wakes": wakes if is_traced(snapshot, "wakes") else None,
        "ended_ns": worker.ended_ns or None,
        "threads": worker.threads,
    }


def _roles(snapshot: Snapshot) -> dict[int, list[str]]:
    listened = {listener.listened_by for listener in snapshot.listeners}
    found: dict[int, list[str]] = {}
    for worker in snapshot.workers.values():
        played = (
            ("listener", worker.id in listened),
            ("acceptor", worker.accepts > 0),
            ("reader", worker.reads > 0),
            ("writer", worker.writes > 0),
        )
        found[worker.id] = [name for name, did in played if did]
    return found


def _server(frame: Frame, report: ServerReport, history: HistoryView | None) -> dict[str, Any]:
    server = report.server
    process = frame.snapshot.processes.get(server.pid)
    return {
        "pid": server.pid,
        "comm": server.comm,
        "command": process.command if process else "",
        "container": process.container if process else "",
        "address": server.group.address,
        "port": server.group.port,
        "netns": server.group.netns,
        "model": server.model,
        "handoff": server.handoff,
        "roaming": server.roaming,
        "confidence": server.confidence,
        "evidence": list(server.evidence),
        "why": server.why,
        "connections": server.connections,
        "acceptors": _threads(server.acceptors),
        "readers": _threads(server.readers) if report.is_traced("readers") else None,
        "writers": _threads(server.writers) if report.is_traced("writers") else None,
        "queue_wait": _wait(report.queue_wait),
        "data_wait": None if report.data_wait is None else _wait(report.data_wait),
        "shares": plain_shares(report, history),
    }


def _threads(workers: Iterable[Worker]) -> list[dict[str, int]]:
    return [{"pid": worker.pid, "tid": worker.tid} for worker in workers]


def _wait(wait: Wait) -> dict[str, Any]:
    return {
        "samples": wait.samples,
        "p50_ns": _number(wait.p50),
        "p99_ns": _number(wait.p99),
        "max_ns": _number(wait.longest),
    }


def plain_finding(finding: Finding) -> dict[str, Any]:
    """Return a finding as plain values."""
    return {
        "id": finding.id,
        "severity": finding.severity,
        "title": finding.title,
        "subject": finding.subject,
        "explanation": finding.explanation,
        "cause": finding.cause,
        "effect": finding.effect,
        "evidence": {
            name: _number(value) if isinstance(value, float) else value
            for name, value in finding.evidence.items()
        },
        "remedy": list(finding.remedy),
        "verify": finding.verify,
        "explains": list(finding.explains),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) or math.isinf(value) else value
