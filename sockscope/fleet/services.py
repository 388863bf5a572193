"""Servers of the same program on the same port, on many hosts: alike, or does one stand out?

Each host is compared with all others together.  That is many comparisons, so the probability of each is
multiplied by their number (C. E. Bonferroni, 1936) before it is called small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.analysis.fairness import Fairness, fairness
from sockscope.analysis.server_waits import NAMES
from sockscope.analysis.severity import rank
from sockscope.analysis.statistics import Change, judge, proportion_change, quantile_change
from sockscope.fleet.gather import Member
from sockscope.fleet.rows import FindingRow, ServerRow, ShareRow
from sockscope.model.histogram import percentile
from sockscope.records.layout import BUCKETS

Counts = np.ndarray[Any, np.dtype[Any]]

#: Recordings whose lengths differ by more than this are no basis for shares of connections.
_ALIKE = 1.1


@dataclass(frozen=True)
class Place:
    """A server on one host.  ``stands_out`` has what is worse there than elsewhere, and by how much."""

    name: str
    member: Member
    server: ServerRow
    waits: Mapping[str, Counts]
    shares: Mapping[str, ShareRow]
    stands_out: Mapping[str, Change]

    def p(self, wait: str, part: float) -> float:
        """A percentile of a wait, in nanoseconds; NaN: nothing was measured."""
        return percentile(self.waits[wait], part)

    @property
    def rate(self) -> float:
        """Connections a second."""
        return self.server.connections / max(self.member.recording.elapsed_ns / 1e9, 1e-9)

    @property
    def uneven(self) -> list[ShareRow]:
        """Kinds of work that are not shared fairly among its threads."""
        return [share for share in self.shares.values() if share.judgement == "skewed"]


@dataclass(frozen=True)
class Service:
    """One program on one port.  ``spread`` is how its connections are shared by the hosts, where that
    can be said: None when the recordings are of different length."""

    program: str
    port: int
    places: tuple[Place, ...]
    spread: Fairness | None

    @property
    def name(self) -> str:
        return f"{self.program} on port {self.port}"

    @property
    def connections(self) -> int:
        return sum(place.server.connections for place in self.places)

    @property
    def waits(self) -> dict[str, Counts]:
        """Those of all places together."""
        return {kind: np.sum([place.waits[kind] for place in self.places], axis=0) for kind in NAMES}

    @property
    def models(self) -> dict[str, int]:
        """Verdict → on how many hosts."""
        found: dict[str, int] = {}
        for place in self.places:
            found[place.server.model] = found.get(place.server.model, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def names_of(members: Sequence[Member]) -> list[str]:
    """What each is called: its host, with the time where there are several of one host."""
    hosts = [member.host for member in members]
    return [
        member.host if hosts.count(member.host) == 1 else f"{member.host} {member.start}"
        for member in members
    ]


def services_of(members: Sequence[Member]) -> list[Service]:
    """Everything that was connected to, the busiest first."""
    grouped: dict[tuple[str, int], list[Place]] = {}
    for name, member in zip(names_of(members), members, strict=True):
        for server in member.servers:
            if server.connections:
                grouped.setdefault((server.comm, server.port), []).append(_place(name, member, server))
    services = [
        Service(program, port, tuple(_compared(places)), _spread(places))
        for (program, port), places in grouped.items()
    ]
    return sorted(services, key=lambda service: -service.connections)


def _place(name: str, member: Member, server: ServerRow) -> Place:
    waits: dict[str, Counts] = {kind: np.zeros(BUCKETS, np.int64) for kind in NAMES}
    for row in member.waits:
        if row.server == server.server and row.wait in waits and 0 <= row.bucket < BUCKETS:
            waits[row.wait][row.bucket] += row.count
    shares = {share.work: share for share in member.shares if share.server == server.server}
    if sum(other.comm == server.comm and other.port == server.port for other in member.servers) > 1:
        name = f"{name} {server.address}"
    return Place(name, member, server, waits, shares, {})


def _compared(places: list[Place]) -> list[Place]:
    if len(places) < 2:
        return places
    tests = len(places) * (len(NAMES) + 1)
    together = {kind: np.sum([place.waits[kind] for place in places], axis=0) for kind in NAMES}
    drops = sum(place.server.drops for place in places)
    whole = drops + sum(place.server.connections for place in places)
    found = []
    for place in places:
        changes = {}
        for kind in NAMES:
            others = together[kind] - place.waits[kind]
            values = percentile(others, 0.99), place.p(kind, 0.99)
            changes[kind] = quantile_change(others, place.waits[kind], 0.99, values)
        own = place.server.drops + place.server.connections
        changes["dropped"] = proportion_change(
            drops - place.server.drops, whole - own, place.server.drops, own
        )
        out = {name: _corrected(change, tests) for name, change in changes.items() if change.ratio > 1}
        worse = {name: change for name, change in out.items() if change.verdict == "higher"}
        found.append(Place(place.name, place.member, place.server, place.waits, place.shares, worse))
    return found


def _corrected(change: Change, tests: int) -> Change:
    if change.verdict == "insufficient_data":
        return change
    return judge(1.0, change.ratio, min(change.p_value * tests, 1.0))


def _spread(places: list[Place]) -> Fairness | None:
    lengths = [place.member.recording.elapsed_ns for place in places]
    if len(places) < 2 or max(lengths) > _ALIKE * min(lengths):
        return None
    if len({place.member.host for place in places}) < len(places):
        return None
    return fairness([place.server.connections for place in places])


@dataclass(frozen=True)
class Spotted:
    """A finding, and where it was made: names of members, with what was found there."""

    finding: FindingRow
    where: tuple[tuple[str, FindingRow], ...]


def findings_of(members: Sequence[Member]) -> list[Spotted]:
    """Return the findings of all hosts, highest severity and most frequent first."""
    found: dict[tuple[str, str], list[tuple[str, FindingRow]]] = {}
    for name, member in zip(names_of(members), members, strict=True):
        for finding in member.findings:
            found.setdefault((finding.id, finding.severity), []).append((name, finding))
    spotted = [Spotted(where[0][1], tuple(where)) for where in found.values()]

    return sorted(spotted, key=lambda one: (-rank(one.finding.severity), -len(one.where)))
