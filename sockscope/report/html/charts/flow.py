"""The flow of connections through a server: listener, queue, acceptors, readers, writers.

It is a diagram, which the chart library does not offer, so ``templates/flow.svg`` draws it.  Heights are
shares of all connections of the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from markupsafe import Markup

from sockscope import formatting
from sockscope.analysis.server import Server
from sockscope.model.snapshot import Listener, Records, Snapshot
from sockscope.report.html.charts.svg import Drawn
from sockscope.report.html.environment import render_template

_MOST = 7
_OTHERS = -1
_ROW, _GAP, _TOP, _HEIGHT = 34.0, 8.0, 34.0, 190.0
_WIDTHS = (128, 100, 142, 142, 142)
_BETWEEN = 56
_ROLES = ("acceptor", "reader", "writer")
_TITLES = ("listening sockets", "accept queues", "acceptors", "readers", "writers")
_NO_THREAD, _UNKNOWN = "none yet", "unknown"


@dataclass
class Node:
    """A listener or a thread, or several of them merged.

    :param kind: style of its frame
    :param filled: the longest length of a queue as a part of its limit
    :param taken: height of the bands that are attached already, on each side
    """

    label: str
    weight: int
    kind: str
    note: str = ""
    filled: float = 0.0
    top: float = 0.0
    height: float = 0.0
    taken: dict[str, float] = field(default_factory=lambda: {"in": 0.0, "out": 0.0})


Column = dict[int, Node]


@dataclass(frozen=True)
class Stage:
    """A column of the diagram."""

    title: str
    left: int
    width: int
    nodes: tuple[Node, ...]


def flow(snapshot: Snapshot, server: Server) -> Drawn:
    """Return the diagram, and the same in words."""
    columns, links = _build_columns(snapshot, server)
    height = max(_HEIGHT, *(len(column) * (_ROW + _GAP) for column in columns))
    for column in columns:
        _set_heights(column, height)
    lefts = [sum(_WIDTHS[:index]) + _BETWEEN * index for index in range(len(_WIDTHS))]
    bands = [
        _band_path(
            lefts[index] + _WIDTHS[index],
            lefts[index + 1],
            columns[index][source],
            columns[index + 1][target],
            weight,
        )
        for index, link in enumerate(links)
        for (source, target), weight in link.items()
    ]
    stages = [
        Stage(title, left, width, tuple(column.values()))
        for title, left, width, column in zip(_TITLES, lefts, _WIDTHS, columns, strict=True)
    ]
    alt = "; ".join(
        f"{stage.title}: " + ", ".join(f"{node.label} {node.note}" for node in stage.nodes)
        for stage in stages
    )
    svg = render_template(
        "flow.svg",
        width=lefts[-1] + _WIDTHS[-1],
        height=_TOP + height + 4,
        alt=alt,
        bands=bands,
        stages=stages,
    )
    return Drawn(Markup(svg), alt)


def _build_columns(
    snapshot: Snapshot, server: Server
) -> tuple[list[Column], list[dict[tuple[int, int], int]]]:
    numbers = [listener.id for listener in server.group.listeners]
    mine = np.isin(snapshot.roles["listener"], numbers)
    roles, counts = snapshot.roles[mine], snapshot.role_counts[mine]
    total = max(int(counts.sum()), 1)
    steps = [_kept(roles["listener"], counts), *(_kept(roles[role], counts) for role in _ROLES)]
    listeners = {listener.id: listener for listener in server.group.listeners}
    sockets: Column = {}
    queues: Column = {}
    for number in _order(steps[0]):
        members = [listeners[key] for key, kept in steps[0].items() if kept == number and key in listeners]
        weight = int(counts[np.isin(roles["listener"], [member.id for member in members])].sum())
        sockets[number] = Node(_socket(members), weight, "socket", formatting.share(weight, total))
        longest = max(member.queue_max for member in members)
        limit = max(member.backlog for member in members)
        queues[number] = Node(
            f"{longest:,} of {limit:,}",
            weight,
            "queue",
            "longest",
            min(longest / limit, 1.0) if limit else 0.0,
        )
    columns = [sockets, queues]
    links: list[dict[tuple[int, int], int]] = [{(key, key): node.weight for key, node in sockets.items()}]
    before = np.array([steps[0][int(key)] for key in roles["listener"]], np.int64)
    for role, kept in zip(_ROLES, steps[1:], strict=True):
        now = np.array([kept[int(key)] for key in roles[role]], np.int64)
        column: Column = {}
        for key in _order(kept):
            weight = int(counts[now == key].sum())
            merged = sum(1 for target in kept.values() if target == key)
            label = _thread(snapshot, key, merged)
            kind = "absent" if label in (_NO_THREAD, _UNKNOWN) else role
            column[key] = Node(label, weight, kind, formatting.share(weight, total))
        link: dict[tuple[int, int], int] = defaultdict(int)
        for source, target, number in zip(before, now, counts, strict=True):
            link[int(source), int(target)] += int(number)
        columns.append(column)
        links.append(dict(link))
        before = now
    return columns, links


def _kept(keys: Records, counts: Records) -> Mapping[int, int]:
    """Return under which key each key is drawn: its own for the largest, ``_OTHERS`` for the rest."""
    unique, positions = np.unique(keys, return_inverse=True)
    weights = np.bincount(positions, counts, len(unique))
    order = [int(unique[index]) for index in np.argsort(-weights, kind="stable")]
    return {
        key: key if rank < _MOST - 1 or len(order) <= _MOST else _OTHERS for rank, key in enumerate(order)
    }


def _order(kept: Mapping[int, int]) -> list[int]:
    """Return the keys from top to bottom, in the same order in every column."""
    return sorted(set(kept.values()), key=lambda key: (key == _OTHERS, key == 0, key))


def _socket(members: list[Listener]) -> str:
    if len(members) == 1:
        return f"socket {members[0].inode}"
    return f"{len(members)} more sockets"


def _thread(snapshot: Snapshot, key: int, merged: int) -> str:
    if key == _OTHERS:
        return f"{merged} more threads"
    worker = snapshot.workers.get(key)
    return f"{worker.comm} {worker.number}" if worker else _UNKNOWN if key else _NO_THREAD


def _set_heights(column: Column, height: float) -> None:
    """Set the position and height of each node by weight, with room for its label."""
    free = height - len(column) * (_ROW + _GAP) + _GAP
    total = sum(node.weight for node in column.values()) or 1
    y = _TOP
    for node in column.values():
        node.top, node.height = y, _ROW + max(free, 0) * node.weight / total
        y += node.height + _GAP


def _band_path(left: int, right: int, source: Node, target: Node, weight: int) -> str:
    """Return the outline of the band between two nodes, and attach it to both."""
    edges = []
    for node, side in ((source, "out"), (target, "in")):
        thickness = node.height * weight / max(node.weight, 1)
        top = node.top + node.taken[side]
        node.taken[side] += thickness
        edges.append((top, top + thickness))
    (a, b), (c, d) = edges
    middle = (left + right) / 2
    return (
        f"M{left},{a:.1f} C{middle},{a:.1f} {middle},{c:.1f} {right},{c:.1f} "
        f"V{d:.1f} C{middle},{d:.1f} {middle},{b:.1f} {left},{b:.1f} Z"
    )
