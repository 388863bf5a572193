"""Build listen groups: which listeners belong together, and how many connections each thread accepted."""

from __future__ import annotations

from collections import defaultdict

from sockscope.analysis.fairness import fairness
from sockscope.analysis.server import Group
from sockscope.model.snapshot import Listener, Snapshot


def build_groups(snapshot: Snapshot) -> tuple[Group, ...]:
    """Every listen group, by address and port."""
    members: dict[tuple[int, int, str, int], list[Listener]] = defaultdict(list)
    for listener in snapshot.listeners:
        members[listener.netns, listener.port, listener.address, listener.family].append(listener)
    accepts: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for flow, number in zip(snapshot.roles, snapshot.role_counts, strict=True):
        if flow["acceptor"]:
            accepts[int(flow["listener"])][int(flow["acceptor"])] += int(number)
    several = len({netns for netns, *_ in members}) > 1
    return tuple(
        _group(listeners, accepts, f"@{key[0]}" if several else "")
        for key, listeners in sorted(members.items())
    )


def _group(listeners: list[Listener], accepts: dict[int, dict[int, int]], qualifier: str) -> Group:
    first = listeners[0]
    per_acceptor: dict[int, int] = defaultdict(int)
    for listener in listeners:
        for acceptor, number in accepts.get(listener.id, {}).items():
            per_acceptor[acceptor] += number
    # a listener that was closed before another took its place was no rival of it
    rivals = [listener for listener in listeners if not listener.closed_ns] or listeners
    return Group(
        netns=first.netns,
        address=first.address,
        port=first.port,
        family=first.family,
        reuseport=any(listener.reuseport for listener in listeners),
        listeners=tuple(sorted(listeners, key=lambda listener: listener.inode)),
        accepts=dict(per_acceptor),
        per_listener={listener.id: listener.established for listener in listeners},
        spread=fairness([listener.established for listener in rivals]),
        fairness=fairness(list(per_acceptor.values())),
        qualifier=qualifier,
    )
