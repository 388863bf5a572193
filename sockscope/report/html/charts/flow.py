"""The way of connections through a server: listener, queue, acceptors, readers, writers.

A diagram and no chart, so drawn here.  Heights are parts of all connections of the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from sockscope import formatting
from sockscope.analysis.server import Server
from sockscope.model.snapshot import Listener, Records, Snapshot
from sockscope.report.html.charts.svg import Drawn
from sockscope.report.html.markup import Safe, tag

_MOST = 7
_OTHERS = -1
_ROW, _GAP, _TOP, _HEIGHT = 34.0, 8.0, 34.0, 190.0
_WIDTHS = (128, 100, 142, 142, 142)
_BETWEEN = 56
_ROLES = ("acceptor", "reader", "writer")


@dataclass
class Node:
    """A listener or a thread, or several of them put together."""

    label: str
    weight: int
    note: str = ""
    filled: float = 0.0
    top: float = 0.0
    height: float = 0.0
    taken: dict[str, float] = field(default_factory=lambda: {"in": 0.0, "out": 0.0})


Column = dict[int, Node]


def flow(snapshot: Snapshot, server: Server) -> Drawn:
    """The picture, and the same in words."""
    columns, links = _stations(snapshot, server)
    tall = max(sum(max(_ROW, 0) + _GAP for _ in column) for column in columns)
    height = max(_HEIGHT, tall)
    for column in columns:
        _place(column, height)
    parts: list[Safe] = []
    lefts = [sum(_WIDTHS[:index]) + _BETWEEN * index for index in range(len(_WIDTHS))]
    for index, link in enumerate(links):
        for (source, target), weight in link.items():
            parts.append(
                _band(
                    lefts[index] + _WIDTHS[index],
                    lefts[index + 1],
                    columns[index][source],
                    columns[index + 1][target],
                    weight,
                )
            )
    titles = ("listening sockets", "accept queues", "acceptors", "readers", "writers")
    for index, column in enumerate(columns):
        parts.append(tag("text", titles[index], x=f"{lefts[index]}", y="16", class_="station"))
        parts += [_box(lefts[index], _WIDTHS[index], node, index) for node in column.values()]
    width = lefts[-1] + _WIDTHS[-1]
    alt = "; ".join(
        f"{title}: " + ", ".join(f"{node.label} {node.note}" for node in column.values())
        for title, column in zip(titles, columns, strict=True)
    )
    return Drawn(
        tag(
            "svg",
            parts,
            viewBox=f"-1 0 {width + 2} {_TOP + height + 4:.0f}",
            role="img",
            aria_label=alt,
            class_="chart flow",
        ),
        alt,
    )


def _stations(snapshot: Snapshot, server: Server) -> tuple[list[Column], list[dict[tuple[int, int], int]]]:
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
        sockets[number] = Node(_socket(members), weight, formatting.share(weight, total))
        most, limit = max(member.queue_max for member in members), max(member.backlog for member in members)
        queues[number] = Node(
            f"{most:,} of {limit:,}", weight, "at most", min(most / limit, 1.0) if limit else 0.0
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
            column[key] = Node(_thread(snapshot, key, merged), weight, formatting.share(weight, total))
        link: dict[tuple[int, int], int] = defaultdict(int)
        for source, target, number in zip(before, now, counts, strict=True):
            link[int(source), int(target)] += int(number)
        columns.append(column)
        links.append(dict(link))
        before = now
    return columns, links


def _kept(keys: Records, counts: Records) -> Mapping[int, int]:
    """Each key's place: its own, or that of the others; the largest come first."""
    unique, where = np.unique(keys, return_inverse=True)
    weights = np.bincount(where, counts, len(unique))
    order = [int(unique[index]) for index in np.argsort(-weights, kind="stable")]
    return {
        key: key if place < _MOST - 1 or len(order) <= _MOST else _OTHERS for place, key in enumerate(order)
    }


def _order(kept: Mapping[int, int]) -> list[int]:
    """Places from top to bottom: a thread stands in the same order in each column."""
    return sorted(set(kept.values()), key=lambda key: (key == _OTHERS, key == 0, key))


def _socket(members: list[Listener]) -> str:
    if len(members) == 1:
        return f"socket {members[0].inode}"
    return f"{len(members)} more sockets"


def _thread(snapshot: Snapshot, key: int, merged: int) -> str:
    if key == _OTHERS:
        return f"{merged} more threads"
    worker = snapshot.workers.get(key)
    return f"{worker.comm} {worker.number}" if worker else "nobody yet" if not key else "unknown"


def _place(column: Column, height: float) -> None:
    """Heights by weight, with room for the label in each."""
    free = height - len(column) * (_ROW + _GAP) + _GAP
    total = sum(node.weight for node in column.values()) or 1
    y = _TOP
    for node in column.values():
        node.top, node.height = y, _ROW + max(free, 0) * node.weight / total
        y += node.height + _GAP


def _band(left: float, right: float, source: Node, target: Node, weight: int) -> Safe:
    edges = []
    for node, side in ((source, "out"), (target, "in")):
        thick = node.height * weight / max(node.weight, 1)
        begin = node.top + node.taken[side]
        node.taken[side] += thick
        edges.append((begin, begin + thick))
    (a, b), (c, d) = edges
    middle = (left + right) / 2
    path = (
        f"M{left},{a:.1f} C{middle},{a:.1f} {middle},{c:.1f} {right},{c:.1f} "
        f"V{d:.1f} C{middle},{d:.1f} {middle},{b:.1f} {left},{b:.1f} Z"
    )
    return tag("path", d=path, class_="band")


def _box(left: float, width: int, node: Node, column: int) -> Safe:
    kind = ("socket", "queue", *_ROLES)[column] if node.label not in ("nobody yet", "unknown") else "nobody"
    shapes = [
        tag(
            "rect",
            x=f"{left}",
            y=f"{node.top:.1f}",
            width=f"{width}",
            height=f"{node.height:.1f}",
            rx="5",
            class_=f"node {kind}",
        ),
    ]
    if node.filled:
        shapes.append(
            tag("rect", x=f"{left}", y=f"{node.top:.1f}", width=f"{width * node.filled:.1f}", height=f"{node.height:.1f}", rx="5",
                class_="filled" if node.filled < 0.8 else "filled high")
        )  # fmt: skip
    middle = node.top + node.height / 2
    # 15 characters of a name and a thread id fit at this size; what does not is squeezed, not cut
    squeezed = f"{width - 14}" if len(node.label) * 6.6 > width - 14 else None
    shapes.append(
        tag("text", node.label, x=f"{left + 7}", y=f"{middle - 2:.1f}", class_="name", textLength=squeezed, lengthAdjust=squeezed and "spacingAndGlyphs")
    )  # fmt: skip
    shapes.append(tag("text", node.note, x=f"{left + 7}", y=f"{middle + 12:.1f}", class_="note"))
    return tag("g", shapes)
