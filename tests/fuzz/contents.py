"""A recording whose file is sound, and whose contents are anything: what a stranger may have put into it.

DuckDB finds a changed octet by its checksums, so changes to the file seldom get further.  Here they are
made in SQL, in a transaction that is taken back.
"""

from __future__ import annotations

import functools
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.store import Reader, Writer
from sockscope.store.columns import quoted
from sockscope.store.database import CATALOG, TABLES, open_memory, translated_errors
from sockscope.store.header import read_header
from sockscope.store.schema import SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: One change: which table, column and row, what is done to it, and with which value.
CHANGE = struct.Struct("<BBBBq")

_ODD = (
    "0",
    "-1",
    "18446744073709551615",
    "",
    "[]",
    "{}",
    "[1, 2]",
    "\\x",
    "\\udc80",
    "nan",
    "1e999",
    "false",
)


class _Opened(Reader):
    """A reader of a database that is open already; its tables were compared when they were made."""

    def __init__(self, database: DuckDBPyConnection) -> None:
        self.path = Path("x.sockscope")
        self._database = database
        self.schema = SCHEMA
        with translated_errors(self.path, "read"):
            self._tables = TABLES
            self.meta = read_header(database, self._tables)


def recording() -> bytes:
    """A small file, as a recorder leaves it."""
    from tests.unit.store.recordings import META, batch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sockscope"
        with Writer(path, META) as writer:
            for tick in range(2):
                writer.write(batch(tick, 3, 2))
                writer.commit()
        return path.read_bytes()


@functools.cache
def _opened() -> tuple[DuckDBPyConnection, tuple[tuple[str, tuple[tuple[str, str], ...]], ...]]:
    """The recording in memory, and its tables with the name and type of each column."""
    database = open_memory("256MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.sockscope"
        path.write_bytes(recording())
        database.execute(f"ATTACH '{path}' AS original (READ_ONLY)")
        database.execute(f"ATTACH ':memory:' AS {CATALOG}")
        database.execute(f"COPY FROM DATABASE original TO {CATALOG}")
        database.execute("DETACH original")
    found: dict[str, list[tuple[str, str]]] = {}
    for table, column, kind in database.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        f"WHERE database_name = '{CATALOG}' AND schema_name = 'raw' ORDER BY ALL"
    ).fetchall():
        found.setdefault(table, []).append((column, kind))
    return database, tuple((table, tuple(columns)) for table, columns in found.items())


def _statements(raw: bytes) -> Iterator[tuple[str, list[str]]]:
    """The changes that ``raw`` asks for, at most eight."""
    _, tables = _opened()
    whole = raw[: min(len(raw) // CHANGE.size, 8) * CHANGE.size]
    for which, column, row, what, number in CHANGE.iter_unpack(whole):
        name, columns = tables[which % len(tables)]
        changed, kind = columns[column % len(columns)]
        place = f"{TABLES}.{name}"
        at = f"rowid = (SELECT rowid FROM {place} LIMIT 1 OFFSET {row % 8})"
        if what % 4 == 0:
            yield f"DELETE FROM {place} WHERE {at}", []
            continue
        if what % 4 == 1:
            yield f"INSERT INTO {place} SELECT * FROM {place} WHERE {at}", []
            continue
        value = str(number) if what % 4 == 2 else _ODD[number % len(_ODD)]
        yield (
            f"UPDATE {place} SET {quoted(changed)} = TRY_CAST($1 AS {kind}) "
            f"WHERE {at} AND TRY_CAST($1 AS {kind}) IS NOT NULL",
            [value],
        )


def read_changed(raw: bytes) -> None:
    """Read a recording with the changes that ``raw`` asks for: tick by tick, or its last state.

    :raises SockscopeError: as the reader does
    """
    database, _ = _opened()
    database.begin()
    try:
        for statement, values in _statements(raw):
            database.execute(statement, values)
        reader = _Opened(database)
        if len(raw) % 2:
            reader.final_batch()
        else:
            for _ in reader.batches():
                pass
    finally:
        database.rollback()
