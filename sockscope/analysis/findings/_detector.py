"""The interface of detectors, and the diagnosis that they return."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sockscope.analysis.findings._context import ServerContext
from sockscope.analysis.frame import Finding
from sockscope.analysis.severity import Severity


@dataclass(frozen=True)
class Diagnosis:
    """A finding with its rank and its relation to other findings.

    :param weight: rank among findings of the same severity, 0 to 1
    :param threads: worker ids that the finding is about; empty for the whole server
    :param explains: ids of findings on the same server that are symptoms of this one, if they are
        about the same threads or about the whole server
    """

    finding: Finding
    weight: float = 0.5
    threads: frozenset[int] = frozenset()
    explains: frozenset[str] = frozenset()


class Detector(Protocol):
    """Detects one kind of fault on one server.

    ``cause``, ``effect`` (on clients) and ``verify`` (the fix) are sentences of the finding; ``{port}``
    in them is replaced. ``needs`` are the optional signals without which the detector is not run.
    """

    id: str
    title: str
    cause: str
    effect: str
    verify: str
    needs: tuple[str, ...]

    def detect(self, context: ServerContext) -> Iterable[Diagnosis]:
        """Yield a diagnosis for each fault found."""
        ...


def diagnosis(
    detector: Detector,
    context: ServerContext,
    severity: Severity,
    subject: str,
    explanation: str,
    evidence: Mapping[str, float | int | str],
    remedy: Sequence[str],
    *,
    weight: float = 0.5,
    threads: Iterable[int] = (),
    explains: Iterable[str] = (),
    cause: str = "",
    effect: str = "",
) -> Diagnosis:
    """Build the diagnosis of a detector.

    :param explanation: the evidence in one or two sentences with numbers
    :param remedy: what to do, one step each, with actual pids and ports
    :param cause: replaces the detector's, where it is known more precisely
    :param effect: replaces the detector's, likewise
    """

    def fill(text: str) -> str:
        return text.replace("{port}", str(context.group.port))

    finding = Finding(
        id=detector.id,
        severity=severity,
        title=detector.title,
        subject=subject,
        explanation=explanation,
        evidence=dict(evidence),
        remedy=tuple(remedy),
        cause=fill(cause or detector.cause),
        effect=fill(effect or detector.effect),
        verify=fill(detector.verify),
    )
    return Diagnosis(finding, weight, frozenset(threads), frozenset(explains))
