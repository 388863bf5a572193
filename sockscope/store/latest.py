"""Which rows tell how things stood at the end: what makes two records the same thing at two times."""

from __future__ import annotations

from sockscope.records.layout import ConnectionFlag

#: What identifies a thing, for each part of a batch.  Of the owners of listening sockets the whole
#: last list counts: who is no longer in it holds nothing.
IDENTITIES: dict[str, tuple[str, ...]] = {
    "connections": ("id",),
    "io_overflow": ("connection", "worker"),
    "workers": ("id",),
    "listeners": ("id",),
    "wakes": ("waker", "wakee"),
    "waiting": ("listener", "worker"),
    "accept_errors": ("listener", "worker", "error"),
    "owners": (),
    "queues": ("netns", "inode"),
    "threads": ("pid", "tid"),
    "processes": ("pid",),
    "hosts": ("netns",),
    "health": (),
}

#: What tells moments alone: nothing of it belongs to how things stood at the end.
MOMENTS = frozenset({"events"})

_LAST = "max(rowid)"

#: Where the last row alone does not tell it.  A connection's final record may stand before one that
#: was read earlier in that tick; of a queue, its peak is told too, in a row before the last.
_ROWS: dict[str, tuple[str, ...]] = {
    "connections": (
        f"coalesce(max(rowid) FILTER (WHERE flags & {int(ConnectionFlag.CLOSED)} <> 0), {_LAST})",
    ),
    "queues": (_LAST, "arg_max(rowid, queue)"),
}


def latest(tables: str, part: str) -> str:
    """SQL for the numbers of these rows, as ``number``.

    :param tables: the schema that holds the tables
    """
    source, identity = f"{tables}.{part}", IDENTITIES[part]
    if not identity:
        return f"SELECT rowid AS number FROM {source} WHERE tick = (SELECT max(tick) FROM {source})"
    rows = _ROWS.get(part, (_LAST,))
    grouped = f"FROM {source} GROUP BY {', '.join(identity)}"
    if len(rows) == 1:
        return f"SELECT {rows[0]} AS number {grouped}"
    return f"SELECT DISTINCT unnest([{', '.join(rows)}]) AS number {grouped}"
