"""A SO_REUSEPORT group whose members get connections more unevenly than hashing would."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sockscope import formatting
from sockscope.analysis.fairness import fairness
from sockscope.analysis.findings._context import Case, shares, skew_evidence
from sockscope.analysis.findings._detector import Diagnosis, diagnosis


class AcceptSkewReuseport:
    id = "accept-skew-reuseport"
    title = "The SO_REUSEPORT group is more uneven than hashing explains"
    needs: tuple[str, ...] = ()

    def look(self, case: Case) -> Iterator[Diagnosis]:
        members, limits = case.listeners, case.thresholds
        if len(members) < 2 or not case.group.reuseport:
            return
        # those that joined later had not the same chance: count from the last one's birth on
        begun = max(listener.listened_ns for listener in members)
        since = case.columns["established_ns"] > begun
        if begun:
            whose, number = np.unique(case.columns["listener"][since], return_counts=True)
            counts = dict(zip(whose.tolist(), number.tolist(), strict=True))
            each = [float(counts.get(listener.id, 0)) for listener in members]
        else:
            each = [float(listener.established) for listener in members]
        fair = fairness(each)
        if fair.total < limits.fewest or fair.judgement != "uneven" or fair.max_over_mean < limits.effect:
            return
        rows = case.connections[since]
        sources = len(np.unique(rows["remote"], axis=0)) if len(rows) else 0
        tuples = len(np.unique(rows[["remote", "remote_port"]])) if len(rows) else 0
        empty = sum(not number for number in each)
        nothing = f" {empty} of them got none at all." if empty else ""
        again = (
            f" Only {tuples} pairs of client address and port made them." if tuples < 0.5 * len(rows) else ""
        )
        yield diagnosis(
            self,
            "warning" if empty or fair.max_over_mean >= 2 else "notice",
            case.name,
            f"The {len(members)} listening sockets of the group got {shares(each)} connections. Hashing"
            f" {formatting.count(fair.total)} connections gives a coefficient of variation of about"
            f" {fair.noise_cv:.2f}; it is {fair.cv:.2f} (p {fair.p_value:.1g}).{nothing}{again}",
            {
                **skew_evidence("per_listener", fair),
                "members": len(members),
                "members_with_none": empty,
                "client_addresses": sources,
                "client_tuples": tuples,
            },
            (
                (
                    "Look for a steering program on the group (SO_ATTACH_REUSEPORT_CBPF or _EBPF) that does"
                    " not fit the number of members or of CPUs that take interrupts."
                ),
                "Look for SO_INCOMING_CPU: with SO_REUSEPORT it is faulty from Linux 4.6 until 6.2.",
                (
                    "If few clients (a proxy) reuse their ports, let them open more connections or use more"
                    " source ports."
                ),
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
