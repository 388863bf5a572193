"""Whether a file is a recording that this version reads, before anything in it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.errors import SockscopeError
from sockscope.store.database import CATALOG, RAW, TABLES
from sockscope.store.header import FORMAT, read_keys
from sockscope.store.schema import OLDEST_VERSION, SCHEMA_VERSION, Schema
from sockscope.store.secure_file import wal_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MAGIC = b"DUCK"


def check_file(path: Path) -> None:
    """:raises SockscopeError: when ``path`` is nothing that DuckDB could have written"""
    if path.is_dir():
        raise SockscopeError(f"{path} is a directory", hint="name a recording in it")
    for part in (path, wal_of(path)):
        if part.exists() and not part.is_file():
            raise SockscopeError(
                f"{part} is not a regular file", hint="name a file written by sockscope record"
            )
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        raise SockscopeError(
            f"{path} does not exist", hint=f"make it with: sockscope record -o {path}"
        ) from None
    if not start:
        raise SockscopeError(f"{path} is empty", hint="name a file written by sockscope record")
    if start[8:12] != _MAGIC:
        what = "an SQLite database" if start.startswith(b"SQLite format 3") else "no recording"
        raise SockscopeError(f"{path} is {what}", hint="name a file written by sockscope record")


def check_schema(connection: DuckDBPyConnection, path: Path, schema: Schema) -> Schema:
    """Compare the tables in the file with those that a recording has, to the letter.

    Anything else there, a view, a macro, a default, is SQL from a stranger: it is never run.

    :returns: the tables that this recording has: an older one lacks what came later
    :raises SockscopeError: when they differ
    """
    found = _tables(connection, CATALOG)
    if found.get("meta") != _expected(connection, schema)["meta"]:
        raise SockscopeError(
            f"{path} is a DuckDB database, but not a recording",
            hint="name a file written by sockscope record",
        )
    told = read_keys(connection, TABLES)
    if told.get("format") != FORMAT or not told.get("schema_version", "").isdecimal():
        raise SockscopeError(
            f"{path} is a DuckDB database, but not a recording",
            hint="name a file written by sockscope record",
        )
    version, maker = int(told["schema_version"]), told.get("version", "?")
    if version > SCHEMA_VERSION:
        raise SockscopeError(
            f"{path} was recorded by a newer sockscope ({maker}, schema {version}; this version reads {SCHEMA_VERSION})",
            hint="update sockscope",
        )
    if version < OLDEST_VERSION:
        raise SockscopeError(
            f"{path} was recorded by an older sockscope ({maker}, schema {version}; this version reads {OLDEST_VERSION} to {SCHEMA_VERSION})",
            hint="read it with that version, or with plain DuckDB",
        )
    there = schema.as_of(version)
    if any(found.get(name) != definition for name, definition in _expected(connection, there).items()):
        raise SockscopeError(
            f"{path} has other columns than schema {version} of this sockscope (it was made by {maker})",
            hint="read it with that version, or with plain DuckDB",
        )
    return there


def _expected(connection: DuckDBPyConnection, schema: Schema) -> dict[str, str]:
    connection.execute("ATTACH ':memory:' AS expected")
    for statement in schema.statements("expected"):
        connection.execute(statement)
    expected = _tables(connection, "expected")
    connection.execute("DETACH expected")
    return expected


def _tables(connection: DuckDBPyConnection, catalog: str) -> dict[str, str]:
    """The definition of each table: it has the types, and would show defaults and generated columns."""
    return dict(
        connection.execute(
            "SELECT table_name, sql FROM duckdb_tables() WHERE database_name = ? AND schema_name = ?",
            [catalog, RAW],
        ).fetchall()
    )
