"""Which findings count: for a check that is to fail, or for a recorder that is to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sockscope.analysis.findings import FINDINGS
from sockscope.analysis.frame import Finding
from sockscope.analysis.severity import SEVERITIES
from sockscope.errors import UsageError

#: Limits that the user set count whatever else the bar is.
_LIMITS = frozenset({"share-above-limit", "queue-wait-above-limit"})


@dataclass(frozen=True)
class FindingFilter:
    """A severity, with those above it (empty: none), and findings by id."""

    severity: str
    ids: frozenset[str]

    def __str__(self) -> str:
        return " or ".join([*([self.severity] if self.severity else []), *sorted(self.ids - _LIMITS)])

    def counts(self, finding: Finding) -> bool:
        """Whether it reaches the bar, by itself or by what it explains."""
        if self.ids & {finding.id, *finding.explains}:
            return True
        order: Sequence[str] = SEVERITIES
        return bool(self.severity) and order.index(finding.severity) >= order.index(self.severity)


def parse_finding_filter(given: Sequence[str], option: str) -> FindingFilter:
    """The bar that the words of an option make; none: warnings.

    :raises UsageError: for a word that is neither a severity nor the id of a finding
    """
    words = [word.strip() for text in given for word in text.split(",") if word.strip()] or ["warning"]
    known = {detector.id for detector in FINDINGS}
    severities: list[str] = [word for word in SEVERITIES if word in words]
    for word in words:
        if word not in known and word not in severities:
            raise UsageError(
                f"{option}: unknown severity or finding {word!r}",
                hint=f"severities: {', '.join(SEVERITIES)}; findings: {', '.join(sorted(known))}",
            )
    return FindingFilter(severities[0] if severities else "", frozenset(words) & known | _LIMITS)
