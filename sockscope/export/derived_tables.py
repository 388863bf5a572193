"""What was worked out from a recording, as tables to be asked and exported beside its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.fleet.gather import columns_of
from sockscope.fleet.rows import TABLES, Row, rows_of
from sockscope.session.load_recording import read

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def derived(path: Path) -> Mapping[str, Sequence[Row]]:
    """The rows of each table of :data:`sockscope.fleet.rows.TABLES`.

    :raises SockscopeError: when the recording cannot be read
    """
    return rows_of(*read(path))


def add_derived(database: DuckDBPyConnection, path: Path, query: str) -> None:
    """Make the tables that a question may be about; they take time only when it names one of them."""
    add_tables(database, derived(path) if names_derived(query) else {})


def names_derived(query: str) -> bool:
    """Whether a question may be about one of the tables that are worked out."""
    return any(re.search(rf"\b{table}\b", query, re.I) for table in TABLES)


def add_tables(database: DuckDBPyConnection, rows: Mapping[str, Sequence[Row]]) -> None:
    """Make all of them, with these rows."""
    for table in TABLES:
        columns = columns_of(table)
        defined = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        database.execute(f"CREATE TABLE memory.main.{table} ({defined})")
        if rows.get(table):
            lists = ", ".join(f"unnest(?::{kind}[])" for kind in columns.values())
            values = [[_value(getattr(row, name)) for row in rows[table]] for name in columns]
            database.execute(f"INSERT INTO memory.main.{table} SELECT {lists}", values)


def _value(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
