"""What a recording is of: a table of keys and values, and a table for each list in :class:`Meta`."""

from __future__ import annotations

import dataclasses
import typing
from typing import TYPE_CHECKING, Any

from sockscope.records.batch import Meta
from sockscope.store.objects import escaped, unescaped
from sockscope.store.schema import SCHEMA, SCHEMA_VERSION, object_of
from sockscope.store.tables import ObjectTable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORMAT = "sockscope"


def write_header(connection: DuckDBPyConnection, tables: str, meta: Meta) -> None:
    """Fill the tables that tell what the recording is of."""
    rows = {"format": FORMAT, "schema_version": str(SCHEMA_VERSION)}
    lists = {part.field: part for part in SCHEMA.meta_lists}
    for field in dataclasses.fields(meta):
        value = getattr(meta, field.name)
        if field.name not in lists:
            rows[field.name] = escaped(str(value))
        elif value:
            lists[field.name].table.insert(connection, tables, 0, value)
    connection.executemany(f"INSERT INTO {tables}.meta VALUES (?, ?)", [list(row) for row in rows.items()])


def read_keys(connection: DuckDBPyConnection, tables: str) -> dict[str, str]:
    """The keys and values as they stand there."""
    return dict(connection.execute(f"SELECT key, value FROM {tables}.meta").fetchall())


def read_header(connection: DuckDBPyConnection, tables: str) -> Meta:
    """What :func:`write_header` was given."""
    told = read_keys(connection, tables)
    lists = {part.field: part for part in SCHEMA.meta_lists}
    hints = typing.get_type_hints(Meta)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Meta):
        part = lists.get(field.name)
        if part is None:
            values[field.name] = hints[field.name](unescaped(told[field.name]))
        else:
            assert isinstance(part.table, ObjectTable)
            rows = part.table.fetch(connection, tables, "true")
            values[field.name] = tuple(object_of(part, row[1:]) for row in rows)
    return Meta(**values)
