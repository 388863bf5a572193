"""All batches folded into one, in SQL: what a report of a whole recording needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.records.batch import Records
from sockscope.sources.trace.schema import Part, Schema, object_of
from sockscope.sources.trace.tables import RecordTable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: What makes two records the same thing at two times.  Of the holders of listening sockets the whole
#: last list counts: a process that is no longer in it holds nothing.
IDENTITIES: dict[str, tuple[str, ...]] = {
    "connections": ("id",),
    "more_io": ("connection", "worker"),
    "workers": ("id",),
    "listeners": ("id",),
    "wakes": ("waker", "wakee"),
    "holders": (),
    "queues": ("netns", "inode"),
    "threads": ("pid", "tid"),
    "processes": ("pid",),
    "hosts": ("netns",),
    "health": (),
}

ROWS_AT_ONCE = 65_536


def fold(connection: DuckDBPyConnection, tables: str, schema: Schema) -> dict[str, Any]:
    """The parts of one batch that tells the same as all of them."""
    return {part.field: _fold(connection, tables, part) for part in schema.parts}


def _fold(connection: DuckDBPyConnection, tables: str, part: Part) -> Any:
    name, identity = part.table.name, IDENTITIES[part.field]
    if isinstance(part.table, RecordTable):
        return _records(connection, tables, part.table, identity)
    rows = part.table.fetch(connection, tables, _last(f"{tables}.{name}", identity))
    things = tuple(object_of(part, row[1:]) for row in rows)
    return things if part.many else things[-1]


def _records(
    connection: DuckDBPyConnection, tables: str, table: RecordTable, identity: tuple[str, ...]
) -> Records:
    source = f"{tables}.{table.name}"
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE last_rows AS"
        f" SELECT rowid AS number FROM {source} WHERE {_last(source, identity)}"
    )
    numbers = np.sort(np.asarray(connection.execute("SELECT number FROM last_rows").fetchnumpy()["number"]))
    records = np.zeros(len(numbers), table.dtype)
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        some = numbers[start : start + ROWS_AT_ONCE]
        span = f"BETWEEN {some[0]} AND {some[-1]}"
        _, found = table.fetch(
            connection,
            tables,
            f"rowid {span} AND rowid IN (SELECT number FROM last_rows WHERE number {span})",
        )
        records[start : start + len(some)] = found
    connection.execute("DROP TABLE last_rows")
    return records


def _last(source: str, identity: tuple[str, ...]) -> str:
    if not identity:
        return f"tick = (SELECT max(tick) FROM {source})"
    return f"rowid IN (SELECT max(rowid) FROM {source} GROUP BY {', '.join(identity)})"
