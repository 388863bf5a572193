"""The rows of the table of listeners."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope import formatting
from sockscope.analysis.server import Group
from sockscope.host.requested_backlog import requested_backlog
from sockscope.model.snapshot import Listener
from sockscope.tui.columns import TableColumn
from sockscope.tui.data_source import FrameContext
from sockscope.tui.filters import Key, Mask
from sockscope.tui.text_line import plain, sparkline

Array = np.ndarray[Any, np.dtype[Any]]

COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("name", "Listens on", 18, grows=True, least_first=True),
    TableColumn("queue", "Queue", 6, right=True),
    TableColumn("limit", "Limit", 6, right=True),
    TableColumn("over", "Last minute", 12),
    TableColumn("peak", "Max", 5, right=True),
    TableColumn("drops", "Drops", 6, right=True),
    TableColumn("state", "State", 11),
    TableColumn("asked", "Asked", 6, right=True),
    TableColumn("syn", "SYN", 4, right=True),
    TableColumn("rate", "New/s", 6, right=True),
    TableColumn("held", "Held by", 18, grows=True),
    TableColumn("socket", "Socket", 8, right=True, least_first=True),
    TableColumn("established", "Arrived", 9, right=True),
    TableColumn("accepted", "Accepted", 9, right=True),
)
_MINUTE_S = 60.0
KEYS: tuple[Key, ...] = (
    Key("port", "number", "port"),
    Key("address", "text", "address"),
    Key("holder", "text", "name or id of an owning process"),
    Key("queue", "number", "connections waiting to be accepted"),
    Key("drops", "number", "connections dropped by the listening socket"),
)


class ListenerRows:
    """All listeners, sorted by address, port and socket."""

    def __init__(self, context: FrameContext) -> None:
        frame, self._history = context.frame, context.history
        self._groups = [(group, listener) for group in frame.groups for listener in group.listeners]
        self.listeners = [listener for _, listener in self._groups]
        ids = [listener.id for listener in self.listeners]
        self._rates = self._history.listener_rates("established", ids)
        ago = self._history.seconds[::-1].cumsum()
        ticks = max(int((ago <= _MINUTE_S * 1.001).sum()), 1)
        self._queues = self._history.listener("queue", ids, ticks)
        self._somaxconn = {host.netns: host.somaxconn for host in frame.snapshot.hosts}
        names = {pid: plain(process.comm) for pid, process in frame.snapshot.processes.items()}
        self._held = [_held(listener, names) for listener in self.listeners]
        self._traced = bool(self._history.ticks)

    @property
    def keys(self) -> tuple[Key, ...]:
        return KEYS

    def __len__(self) -> int:
        return len(self.listeners)

    def identities(self) -> Array:
        return np.array([listener.id for listener in self.listeners], np.int64)

    def numbers(self, key: str) -> Array:
        return np.array([getattr(listener, key) for listener in self.listeners], np.float64)

    def contains(self, key: str, word: str) -> Mask:
        found = []
        for (group, listener), held in zip(self._groups, self._held, strict=True):
            text = {"address": listener.address, "holder": held}.get(
                key, f"{group.name} {held} {listener.inode}"
            )
            found.append(word in text.lower())
        return np.array(found, bool)

    def order(self, column: str) -> Array:
        if column == "name":
            return np.array([f"{group.name} {index:06}" for index, (group, _) in enumerate(self._groups)])
        if column == "held":
            return np.array(self._held)
        if column == "state":
            return np.array([self.cell(row, "state")[0] for row in range(len(self))])
        if column == "rate":
            return self._rates
        name = {
            "socket": "inode",
            "limit": "backlog",
            "asked": "backlog",
            "over": "queue",
            "peak": "queue_max",
            "syn": "syn_queue",
        }.get(column, column)
        return np.array([getattr(listener, name) for listener in self.listeners], np.float64)

    def cell(self, row: int, column: str) -> tuple[str, str]:
        group, listener = self._groups[row]
        full = bool(listener.backlog) and listener.queue >= listener.backlog
        if column == "name":
            place = (
                f"  {group.listeners.index(listener) + 1}/{len(group.listeners)}"
                if len(group.listeners) > 1
                else ""
            )
            return group.name + place, "text"
        if column == "queue":
            return str(listener.queue), "critical" if full else "warning" if listener.queue else "text"
        if column == "over":
            top = max(float(self._queues[row].max(initial=0)), 1.0)
            return sparkline(
                [float(value) for value in self._queues[row]], 12, top
            ), "warning" if full else "accent"
        if column == "peak":
            return str(
                listener.queue_max
            ), "warning" if listener.backlog and listener.queue_max > listener.backlog else "text"
        if column == "asked":
            most = self._somaxconn.get(listener.netns, 0)
            return requested_backlog(
                listener.backlog, most
            ).short if most and listener.backlog else "–", "muted"
        if column == "drops":
            return formatting.count(listener.drops), "critical" if listener.drops else "faint"
        if column == "rate":
            return formatting.count(float(self._rates[row])), "text"
        if column == "held":
            return self._held[row], "muted"
        if column == "state":
            return _state(group, listener)
        value = {
            "socket": listener.inode, "limit": listener.backlog, "syn": listener.syn_queue,
        }.get(column)  # fmt: skip
        if value is not None:
            return str(value), "muted"
        return formatting.count(getattr(listener, column)), "text"


def _held(listener: Listener, names: dict[int, str]) -> str:
    if not listener.owners:
        return "nobody" if listener.closed_ns else "not known"
    first = listener.owners[0]
    more = f" +{len(listener.owners) - 1}" if len(listener.owners) > 1 else ""
    return f"{names.get(first.pid, 'pid')} {first.pid}{more}"


def _state(group: Group, listener: Listener) -> tuple[str, str]:
    if listener.closed_ns:
        return "closed", "muted"
    if listener.established and not listener.accepted and listener.queue:
        return "no acceptor", "critical"
    if listener.backlog and listener.queue >= listener.backlog:
        return "queue full", "critical"
    return "listening", "good"
