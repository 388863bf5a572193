"""Listen groups, and the verdict on how each server shares its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sockscope.analysis.fairness import Fairness
from sockscope.model.snapshot import Listener, Worker

Handoff = Literal["none", "thread", "process", "fork", "request", "unknown"]


@dataclass(frozen=True)
class Group:
    """All listeners on one address and port in one network namespace.

    ``accepts`` maps worker ids to accepted connections, ``per_listener`` listener ids to connections
    that entered the accept queue. ``fairness`` judges the former over all acceptors (idle ones of the
    same kind included), ``spread`` the latter.
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
        """Return ``address:port``; ``qualifier`` adds the namespace where that is not unique."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}{self.qualifier}"


@dataclass(frozen=True)
class Server:
    """The verdict on how the work of one listen group is shared.

    ``model`` is ``single``, ``handoff``, ``dispatch``, ``shared``, ``reuseport``, a hybrid such as
    ``shared+handoff``, or ``unknown`` with the reason in ``why``.  ``confidence`` is the lower end
    of the 95 % interval of the part of all connections that behave as the verdict says, 0 to 1; below
    0.5 if ``evidence`` says that another model is as likely. ``evidence`` has sentences with numbers.
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


#: Nothing was measured.
NO_WAIT = Wait(0, float("nan"), float("nan"), float("nan"))
