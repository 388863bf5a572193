"""What a detector is, and what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sockscope.analysis.findings._context import Case
from sockscope.analysis.frame import Finding, Severity


@dataclass(frozen=True)
class Diagnosis:
    """A finding, how much it weighs among those of its severity (0 to 1), and what it is the cause of.

    ``explains`` are ids of findings on the same server that are its symptoms; of those that are
    about threads (``threads``: worker ids) only the ones about the same threads.
    """

    finding: Finding
    weight: float = 0.5
    threads: frozenset[int] = frozenset()
    explains: frozenset[str] = frozenset()


class Detector(Protocol):
    """Looks at one server and says what is wrong with it; says nothing when all is well.

    ``needs`` are the optional signals without which it cannot tell, and is not asked.
    """

    id: str
    title: str
    needs: tuple[str, ...]

    def look(self, case: Case) -> Iterable[Diagnosis]: ...


def diagnosis(
    detector: Detector,
    severity: Severity,
    subject: str,
    explanation: str,
    evidence: Mapping[str, float | int | str],
    remedy: Sequence[str],
    *,
    weight: float = 0.5,
    threads: Iterable[int] = (),
    explains: Iterable[str] = (),
) -> Diagnosis:
    """A diagnosis in a detector's name."""
    finding = Finding(
        detector.id, severity, detector.title, subject, explanation, dict(evidence), tuple(remedy)
    )
    return Diagnosis(finding, weight, frozenset(threads), frozenset(explains))
