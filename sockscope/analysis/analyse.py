"""Derive a frame from a snapshot: the entry point of analysis."""

from __future__ import annotations

from dataclasses import replace

from sockscope.analysis.findings import detect_findings
from sockscope.analysis.frame import Frame
from sockscope.analysis.groups import build_groups
from sockscope.analysis.latency import data_waits, queue_waits
from sockscope.analysis.signal_requirements import untraced
from sockscope.analysis.thresholds import Thresholds
from sockscope.analysis.verdict import verdict
from sockscope.model.snapshot import Snapshot
from sockscope.records.batch import Meta
from sockscope.records.sanitize import sanitize

_DEFAULTS = Thresholds()


def analyse(meta: Meta, snapshot: Snapshot, thresholds: Thresholds = _DEFAULTS) -> Frame:
    """Return groups, verdicts, waits and findings of one snapshot."""
    snapshot = replace(snapshot, untraced=untraced(meta))
    groups = build_groups(snapshot)
    servers = tuple(verdict(snapshot, group) for group in groups)
    frame = Frame(
        meta=sanitize(meta),
        snapshot=snapshot,
        groups=groups,
        servers=servers,
        queue_wait={server.group.name: queue_waits(snapshot, server.group) for server in servers},
        data_wait={
            server.group.name: data_waits(snapshot, server.group, server.readers) for server in servers
        },
    )
    return replace(frame, findings=detect_findings(frame, thresholds))
