"""All batches folded into one, in SQL: what a report of a whole recording needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.records.batch import Records
from sockscope.store.latest import MOMENTS, latest
from sockscope.store.schema import Part, Schema, object_of
from sockscope.store.tables import ROWS_AT_ONCE, RecordTable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def read_final_batch(connection: DuckDBPyConnection, tables: str, schema: Schema) -> dict[str, Any]:
    """The parts of one batch that tells the same as all of them."""
    return {part.field: _fold(connection, tables, part) for part in schema.parts}


def _fold(connection: DuckDBPyConnection, tables: str, part: Part) -> Any:
    if part.field in MOMENTS and isinstance(part.table, RecordTable):
        return np.empty(0, part.table.dtype)
    rows = latest(tables, part.field)
    if isinstance(part.table, RecordTable):
        return _records(connection, tables, part.table, rows)
    found = part.table.fetch(connection, tables, f"rowid IN ({rows})")
    things = tuple(object_of(part, row[1:]) for row in found)
    return things if part.many else things[-1]


def _records(connection: DuckDBPyConnection, tables: str, table: RecordTable, rows: str) -> Records:
    """The records that stand in ``rows``, in the order they came."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE latest_rows AS {rows}")
    found = connection.execute("SELECT number FROM latest_rows").fetchnumpy()
    numbers = np.sort(np.asarray(found["number"]))
    records = table.room_for(len(numbers))
    for start in range(0, len(numbers), ROWS_AT_ONCE):
        some = numbers[start : start + ROWS_AT_ONCE]
        span = f"BETWEEN {some[0]} AND {some[-1]}"
        condition = f"rowid {span} AND rowid IN (SELECT number FROM latest_rows WHERE number {span})"
        table.fetch(connection, tables, condition, records[start : start + len(some)])
    connection.execute("DROP TABLE latest_rows")
    return records
