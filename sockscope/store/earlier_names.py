"""Read recordings that were made under earlier names of tables and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sockscope.store.columns import quoted
from sockscope.store.database import TABLES
from sockscope.store.schema import Schema
from sockscope.store.tables import RecordTable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Holds a view for each table of an older recording, under the present names.
_VIEWS = "memory.present_names"


def use_present_names(connection: DuckDBPyConnection, schema: Schema) -> str:
    """Make the tables of the attached recording readable under the names that ``schema`` uses.

    The views carry ``rowid`` as a column, so a query that reads a table by row number works on both.

    :returns: the schema to read them from: that of the file, unless names differ
    """
    if not any(table.earlier_name for table in schema.tables):
        return TABLES
    connection.execute(f"CREATE SCHEMA {_VIEWS}")
    connection.execute(f"CREATE VIEW {_VIEWS}.meta AS SELECT rowid, * FROM {TABLES}.meta")
    for table in schema.tables:
        renamed = ", ".join(f"{quoted(old)} AS {quoted(new)}" for new, old in _existing(schema, table.name))
        columns = f"* RENAME ({renamed})" if renamed else "*"
        connection.execute(
            f"CREATE VIEW {_VIEWS}.{table.name} AS SELECT rowid, {columns} FROM {TABLES}.{table.stored_name}"
        )
    return _VIEWS


def _existing(schema: Schema, name: str) -> list[tuple[str, str]]:
    """(column, its earlier name) of the table's columns that the file has."""
    table = next(table for table in schema.tables if table.name == name)
    lacks = table.lacks if isinstance(table, RecordTable) else frozenset[str]()
    return [(new, old) for new, old in table.earlier_columns if new not in lacks]
