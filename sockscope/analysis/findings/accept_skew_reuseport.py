"""Detect a SO_REUSEPORT group whose members get connections less evenly than hashing would give."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.fairness import fairness
from sockscope.analysis.findings._context import ServerContext, shares, skew_evidence
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class AcceptSkewReuseport:
    id = "accept-skew-reuseport"
    title = "SO_REUSEPORT distributes connections unevenly"
    cause = (
        "A steering program, SO_INCOMING_CPU, or few distinct client addresses and ports defeat the "
        "kernel's hash."
    )
    effect = "Connections to the preferred members wait longer while other members are idle."
    verify = (
        "Record again: accepts per member should be within random variation (ss -ltn sport = :{port} "
        "lists the members)."
    )
    needs: tuple[str, ...] = ()

    def detect(self, context: ServerContext) -> Iterator[Diagnosis]:
        members, limits = context.listeners, context.thresholds
        if len(members) < 2 or not context.group.reuseport:
            return
        # members that joined later had a shorter time: count from when the last one was added
        begun = max(listener.listened_ns for listener in members)
        since = context.columns["established_ns"] > begun
        if begun:
            whose, number = np.unique(context.columns["listener"][since], return_counts=True)
            counts = dict(zip(whose.tolist(), number.tolist(), strict=True))
            each = [float(counts.get(listener.id, 0)) for listener in members]
        else:
            each = [float(listener.established) for listener in members]
        fair = fairness(each)
        if fair.total < limits.fewest or fair.judgement != "skewed" or fair.max_over_mean < limits.effect:
            return
        rows = context.connections[since]
        sources = len(np.unique(rows["remote"], axis=0)) if len(rows) else 0
        tuples = len(np.unique(rows[["remote", "remote_port"]])) if len(rows) else 0
        empty = sum(not number for number in each)
        nothing = f" {empty} members got none." if empty else ""
        again = (
            f" They come from only {tuples} pairs of client address and port."
            if tuples < 0.5 * len(rows)
            else ""
        )
        yield diagnosis(
            self,
            context,
            "warning" if empty or fair.max_over_mean >= 2 else "notice",
            context.name,
            f"Connections per member: {shares(each)} ({len(members)} members). Coefficient of variation {fair.cv:.2f};"
            f" {fair.noise_cv:.2f} expected from random hashing of {formatting.count(fair.total)} connections"
            f" (p {fair.p_value:.1g}).{nothing}{again}",
            {
                **skew_evidence("per_listener", fair),
                "members": len(members),
                "members_with_none": empty,
                "client_addresses": sources,
                "client_tuples": tuples,
            },
            (
                "Check the group for a steering program (SO_ATTACH_REUSEPORT_CBPF or _EBPF) that does not match"
                " the number of members or of CPUs that handle packets.",
                "Check for SO_INCOMING_CPU: combined with SO_REUSEPORT it is faulty from Linux 4.6 until 6.2.",
                "If few clients (a proxy) reuse their ports, let them open more connections or use more source"
                " ports.",
            ),
            weight=min(1 - 1 / fair.max_over_mean, 1),
            explains=(
                "idle-workers",
                "heavy-connections",
                "open-connections-skew",
                "reader-late",
                "queue-wait-high",
            ),
        )


DETECTOR = AcceptSkewReuseport()
