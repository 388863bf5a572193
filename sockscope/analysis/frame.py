"""The result of analysis: one frozen value that screens, reports and checks format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sockscope.analysis.fairness import Fairness
from sockscope.analysis.severity import Severity
from sockscope.model.snapshot import Listener, Snapshot, Worker
from sockscope.records.batch import Meta

Handoff = Literal["none", "thread", "process", "fork", "request", "unknown"]


@dataclass(frozen=True)
class Group:
    """All listeners on one address and port in one network namespace.

    ``accepts`` maps worker ids to connections accepted from the group, ``per_listener`` listener
    ids to connections that entered their queues; ``spread`` judges the latter, ``fairness`` the
    former (over all acceptors, idle ones of the same kind included).
    """

    netns: int
    address: str
    port: int
    family: int
    reuseport: bool
    listeners: tuple[Listener, ...]
    accepts: Mapping[int, int]
    per_listener: Mapping[int, int]
    spread: Fairness
    fairness: Fairness
    qualifier: str = ""

    @property
    def name(self) -> str:
        """``address:port``, unique in a frame: ``qualifier`` names the namespace if there are several."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}{self.qualifier}"


@dataclass(frozen=True)
class Server:
    """The verdict on how one listen group's work is shared.

    ``model`` is ``single``, ``handoff``, ``dispatch``, ``shared``, ``reuseport``, a hybrid such as
    ``shared+handoff``, or ``unknown`` with the reason in ``why``.  ``confidence`` is the lower end
    of the 95 % interval of the part of all connections that behave as the verdict says, 0 to 1; below
    a half where ``evidence`` says that another model is as likely.
    ``evidence`` are sentences with numbers that a person can check.
    """

    group: Group
    pid: int
    comm: str
    model: str
    handoff: Handoff
    roaming: bool
    confidence: float
    evidence: tuple[str, ...]
    why: str
    acceptors: tuple[Worker, ...]
    readers: tuple[Worker, ...]
    writers: tuple[Worker, ...]
    workers: tuple[Worker, ...]
    connections: int


@dataclass(frozen=True)
class Wait:
    """A distribution of durations: nanoseconds, NaN when nothing was measured."""

    samples: int
    p50: float
    p99: float
    longest: float


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
    """A snapshot and everything concluded from it."""

    meta: Meta
    snapshot: Snapshot
    groups: tuple[Group, ...]
    servers: tuple[Server, ...]
    queue_wait: Mapping[str, Wait]
    data_wait: Mapping[str, Wait]
    findings: tuple[Finding, ...] = ()
