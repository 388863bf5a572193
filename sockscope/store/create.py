"""A recording with nothing in it yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.records.batch import Meta
from sockscope.store.database import CATALOG, RAW, TABLES, literal
from sockscope.store.header import write_header
from sockscope.store.schema import SCHEMA
from sockscope.store.views import view_statements

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Chosen by measurement (docs/recording-schema.md): small groups of rows keep the memory of a checkpoint small.
#: DuckDB 1.4, the oldest with long support, can read the file.
_LAYOUT = "BLOCK_SIZE 131072, ROW_GROUP_SIZE 10240, STORAGE_VERSION 'v1.4.0'"


def attach(connection: DuckDBPyConnection, path: Path) -> None:
    """Attach the recording at ``path`` for writing; make the file if there is none."""
    connection.execute(f"ATTACH {literal(path)} AS {CATALOG} ({_LAYOUT})")


def detach(connection: DuckDBPyConnection) -> None:
    """Work the log into the file, and let the file go."""
    connection.execute(f"CHECKPOINT {CATALOG}")
    connection.execute(f"DETACH {CATALOG}")


def make_blank(connection: DuckDBPyConnection, path: Path, meta: Meta) -> None:
    """Make the file of a recording: tables, views, and what it is of."""
    attach(connection, path)
    connection.begin()
    for statement in SCHEMA.statements(CATALOG):
        connection.execute(statement)
    write_header(connection, TABLES, meta)
    connection.execute(f"USE {CATALOG}")
    for statement in view_statements(RAW):
        connection.execute(statement)
    connection.execute("USE memory")
    connection.commit()
    detach(connection)
