"""The result of analysis: one frozen value that screens, reports and checks format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from sockscope.analysis.exactness import Exactness, count_exact
from sockscope.analysis.overhead import Overhead, measure_overhead
from sockscope.analysis.server import NO_WAIT, Group, Server, Wait
from sockscope.analysis.server_report import ServerReport
from sockscope.analysis.severity import Severity
from sockscope.analysis.signal_requirements import is_traced
from sockscope.model.snapshot import Snapshot
from sockscope.records.batch import Meta


@dataclass(frozen=True)
class Finding:
    """A diagnosis.

    ``id`` is stable. ``explanation`` is the evidence in one or two sentences, ``evidence`` the same as
    numbers by name, ``effect`` what clients notice, ``remedy`` what to do, ``verify`` how to check the
    fix. ``explains`` are the ids of findings that are symptoms of this one.
    """

    id: str
    severity: Severity
    title: str
    subject: str
    explanation: str
    evidence: Mapping[str, float | int | str]
    remedy: tuple[str, ...]
    cause: str = ""
    effect: str = ""
    verify: str = ""
    explains: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """A snapshot with everything derived from it."""

    meta: Meta
    snapshot: Snapshot
    groups: tuple[Group, ...]
    servers: tuple[Server, ...]
    queue_wait: Mapping[str, Wait]
    data_wait: Mapping[str, Wait]
    findings: tuple[Finding, ...] = ()

    @cached_property
    def reports(self) -> Mapping[str, ServerReport]:
        """Return name of the listen group → everything that is shown of its server."""
        data_traced = is_traced(self.snapshot, "data_wait")
        return {
            server.group.name: ServerReport(
                self.snapshot,
                server,
                self.queue_wait.get(server.group.name, NO_WAIT),
                self.data_wait.get(server.group.name, NO_WAIT) if data_traced else None,
            )
            for server in self.servers
        }

    @cached_property
    def exactness(self) -> Exactness:
        """Return how many connections are exact, and why the others are not."""
        return count_exact(self.snapshot.connections)

    @cached_property
    def overhead(self) -> Overhead | None:
        """Return what tracing costs; None for a source that does not measure it."""
        return measure_overhead(self.snapshot)
