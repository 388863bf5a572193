"""Findings as they come up while a session runs."""

from __future__ import annotations

from sockscope.analysis.analyse import analyse
from sockscope.analysis.finding_filter import FindingFilter
from sockscope.analysis.frame import Finding
from sockscope.model.state import State
from sockscope.records.batch import Batch, Meta
from sockscope.store.rebase import Rebaser

_KEPT_CLOSED = 5000


class FindingWatcher:
    """Tells which findings are new in each batch, judged over a stretch that begins anew now and then:
    over hours, a bad minute would drown.

    :param bar: the findings that count
    :param quiet_ns: one that was not there for so long is new again
    """

    def __init__(self, meta: Meta, bar: FindingFilter, quiet_ns: int) -> None:
        self._meta, self._bar, self._quiet_ns = meta, bar, quiet_ns
        self._seen: dict[tuple[str, str], int] = {}
        self._stretch: Rebaser | None = None
        self._state = State(_KEPT_CLOSED)
        self._state.started_at(meta.started_ns)

    def begin(self, stretch: Rebaser) -> None:
        """Judge over this stretch from now on."""
        self._meta, self._stretch = stretch.meta, stretch
        self._state = State(_KEPT_CLOSED)
        self._state.started_at(stretch.started_ns)
        self._state.apply(stretch.first())

    def new(self, batch: Batch) -> list[Finding]:
        """Take in a batch; the findings that count and were not there lately."""
        self._state.apply(self._stretch.of(batch) if self._stretch else batch)
        found = []
        for finding in analyse(self._meta, self._state.snapshot()).findings:
            if not self._bar.counts(finding):
                continue
            before = self._seen.get((finding.id, finding.subject))
            self._seen[finding.id, finding.subject] = batch.time_ns
            if before is None or batch.time_ns - before > self._quiet_ns:
                found.append(finding)
        return found
