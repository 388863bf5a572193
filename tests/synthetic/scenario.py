"""What a synthetic server is to act out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["single", "handoff", "dispatch", "shared", "reuseport"]

#: When its time begins, on its own monotonic clock.
START_NS = 1_000 * 10**9
NETNS = 4026531840
PROGRAMS = {
    "single": "node",
    "handoff": "memcached",
    "dispatch": "ramcloud",
    "shared": "nginx",
    "reuseport": "envoy",
}


@dataclass(frozen=True)
class Scenario:
    """What to act out.

    :param imbalance: 0 is a fair share for all; 1 gives the first worker about twice its share
    :param straggler: the index of a worker that reads late and stalls
    :param overflow: whether accepting is too slow: the queue fills and connections are dropped
    :param lost: records lost each tick
    :param gone_at: the tick from which on the processes are gone
    :param names: thread names, instead of the program's
    """

    kind: Kind = "shared"
    workers: int = 4
    rate: float = 400.0
    lifetime_s: float = 0.5
    requests_per_s: float = 20.0
    imbalance: float = 0.0
    straggler: int | None = None
    overflow: bool = False
    lost: int = 0
    gone_at: int | None = None
    interval_ns: int = 500_000_000
    backlog: int = 128
    port: int = 8080
    seed: int = 1
    names: tuple[str, ...] = ()
