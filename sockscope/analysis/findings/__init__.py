"""Findings: detect faults of a server, with evidence and remedy.

There is one detector per file, all in one tuple. A detector examines one server. Afterwards root causes
absorb their symptoms, so that one fault gives one finding.
"""

from __future__ import annotations

from dataclasses import replace

from sockscope.analysis.findings import (
    accept_failing,
    accept_lock_contention,
    accept_paused,
    accept_skew_reuseport,
    accept_skew_shared,
    acceptor_saturated,
    backlog_clamped,
    client_slow,
    close_wait_leak,
    closed_unanswered,
    connections_lost_in_queue,
    cpu_starved,
    dispatcher_saturated,
    handoff_across_cpus,
    heavy_connections,
    idle_workers,
    listener_orphaned,
    loop_stall,
    member_orphaned,
    member_stalled,
    open_connections_skew,
    queue_near_limit,
    queue_overflow,
    queue_stuck,
    queue_wait_high,
    queue_wait_limit,
    reader_late,
    reuseport_unused,
    share_limit,
    single_saturated,
    straggler,
    syn_queue_pressure,
    thundering_herd,
    too_few_cpus,
    wasted_wakeups,
    workers_blocked_on_clients,
    workers_saturated,
)
from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.findings._detector import Detector, Diagnosis
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.severity import rank
from sockscope.analysis.thresholds import Thresholds

#: Ordered from causes to symptoms: of two findings that explain each other the earlier is the cause.
FINDINGS: tuple[Detector, ...] = (
    accept_failing.DETECTOR,
    connections_lost_in_queue.DETECTOR,
    workers_blocked_on_clients.DETECTOR,
    accept_paused.DETECTOR,
    member_orphaned.DETECTOR,
    listener_orphaned.DETECTOR,
    closed_unanswered.DETECTOR,
    close_wait_leak.DETECTOR,
    reuseport_unused.DETECTOR,
    cpu_starved.DETECTOR,
    straggler.DETECTOR,
    too_few_cpus.DETECTOR,
    member_stalled.DETECTOR,
    loop_stall.DETECTOR,
    accept_lock_contention.DETECTOR,
    accept_skew_shared.DETECTOR,
    accept_skew_reuseport.DETECTOR,
    heavy_connections.DETECTOR,
    open_connections_skew.DETECTOR,
    acceptor_saturated.DETECTOR,
    dispatcher_saturated.DETECTOR,
    single_saturated.DETECTOR,
    workers_saturated.DETECTOR,
    backlog_clamped.DETECTOR,
    queue_overflow.DETECTOR,
    syn_queue_pressure.DETECTOR,
    thundering_herd.DETECTOR,
    wasted_wakeups.DETECTOR,
    queue_stuck.DETECTOR,
    queue_wait_high.DETECTOR,
    reader_late.DETECTOR,
    queue_near_limit.DETECTOR,
    queue_wait_limit.DETECTOR,
    share_limit.DETECTOR,
    idle_workers.DETECTOR,
    handoff_across_cpus.DETECTOR,
    client_slow.DETECTOR,
)


def detect_findings(frame: Frame, thresholds: Thresholds) -> tuple[Finding, ...]:
    """Return the findings of a frame, highest severity first, root causes without their symptoms.

    A root cause inherits the highest severity of the symptoms that it absorbs, and lists their ids in
    ``explains``.
    """
    diagnoses = [
        diagnosis
        for server in frame.servers
        for diagnosis in _causes(ServerContext(frame, server, thresholds))
    ]
    diagnoses.sort(key=lambda item: (-rank(item.finding.severity), -item.weight))
    return tuple(diagnosis.finding for diagnosis in diagnoses)


def evaluated_detectors(untraced: frozenset[str]) -> tuple[Detector, ...]:
    """Return the detectors that do not need any of these signals."""
    return tuple(detector for detector in FINDINGS if untraced.isdisjoint(detector.needs))


def all_evaluated(untraced: frozenset[str]) -> bool:
    """Return whether all detectors can run without these signals."""
    return evaluated_detectors(untraced) == FINDINGS


def _causes(context: ServerContext) -> list[Diagnosis]:
    """Return the root causes of one server, each with its symptoms absorbed."""
    if not len(context.connections) and not context.server.connections:
        return []
    left = [
        diagnosis
        for detector in evaluated_detectors(context.snapshot.untraced)
        for diagnosis in detector.detect(context)
    ]
    causes = []
    while left:
        # in a cycle of causes the first in the tuple is the root
        roots = [one for one in left if not any(_comes_from(one, other, left) for other in left)] or left[:1]
        taken = _reached(roots[0], left)
        causes.append(_with(roots[0], taken[1:]))
        left = [one for one in left if not any(one is other for other in taken)]
    return causes


def _reached(root: Diagnosis, among: list[Diagnosis]) -> list[Diagnosis]:
    """Return a cause and all its direct and indirect symptoms."""
    reached = [root]
    for cause in reached:
        reached += [
            one for one in among if _comes_from(one, cause, among) and not any(one is had for had in reached)
        ]
    return reached


def _comes_from(symptom: Diagnosis, cause: Diagnosis, order: list[Diagnosis]) -> bool:
    """Return whether ``cause`` causes ``symptom``; of two that explain each other the earlier is the cause."""
    if not _is_cause(cause, symptom):
        return False
    before = next(one is cause for one in order if one is cause or one is symptom)
    return before or not _is_cause(symptom, cause)


def _is_cause(cause: Diagnosis, symptom: Diagnosis) -> bool:
    if cause is symptom or cause.finding.severity == "info" or symptom.finding.id not in cause.explains:
        return False
    return not symptom.threads or not cause.threads or symptom.threads <= cause.threads


def _with(cause: Diagnosis, symptoms: list[Diagnosis]) -> Diagnosis:
    if not symptoms:
        return cause
    finding = cause.finding
    severity = max((finding.severity, *(one.finding.severity for one in symptoms)), key=rank)
    ids = sorted({one.finding.id for one in symptoms})
    return replace(
        cause,
        finding=replace(finding, severity=severity, explains=tuple(ids)),
    )
