"""Replay: the batches of a recording, as its source gave them."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.errors import SockscopeError
from sockscope.records.batch import Batch, Meta, Records
from sockscope.store.columns import Array
from sockscope.store.database import CATALOG, RAW, TABLES, literal, open_memory, translated_errors
from sockscope.store.earlier_names import use_present_names
from sockscope.store.final_state import read_final_batch
from sockscope.store.format_check import check_file, check_schema
from sockscope.store.header import read_header
from sockscope.store.schema import SCHEMA, Part, object_of
from sockscope.store.tables import ROWS_AT_ONCE, RecordTable
from sockscope.store.temp_dir import TempDir
from sockscope.store.views import view_statements

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Beyond it, what a question needs is kept in a private folder until the reader is closed.
MEMORY_LIMIT = "256MB"

#: Ticks are read in stretches of about so many bytes, and at most so many ticks.
STRETCH_BYTES = 16_000_000
STRETCH_TICKS = 1000


class Reader:
    """A recording, read-only.

    Nothing that stands in the file is executed, and SQL run through it reaches no other file.

    :raises SockscopeError: when there is no such file, or it is no whole recording of this version
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._has_views = False
        with translated_errors(self.path, "read"):
            check_file(self.path)
            self._spill = TempDir()
            self._database = open_memory(MEMORY_LIMIT, self._spill.folder)
            try:
                self._database.execute(f"ATTACH {literal(self.path.absolute())} AS {CATALOG} (READ_ONLY)")
                self._database.execute("SET enable_external_access = false")
                self._database.execute("SET lock_configuration = true")
                self.schema = check_schema(self._database, self.path, SCHEMA)
                self._tables = use_present_names(self._database, self.schema)
                self.meta: Meta = read_header(self._database, self._tables)
            except BaseException:
                self.close()
                raise

    @property
    def tables(self) -> str:
        """The schema in which :meth:`connection` finds the tables with their row numbers."""
        return self._tables

    def batches(self, *, events: bool = True) -> Iterator[Batch]:
        """Every batch, in order and equal to what was written.

        :param events: with those of ``record --events``; frames are made without them
        :raises SockscopeError: when the file is damaged
        """
        parts = tuple(part for part in self.schema.parts if events or part.field != "events")
        stretches = self._stretches(parts)
        while True:
            with translated_errors(self.path, "read"):
                stretch = next(stretches, None)
                if stretch is None:
                    return
                batches = self._read(parts, *stretch)
            yield from batches

    def final_batch(self) -> Batch:
        """All batches folded into one: the last record of each connection, worker, listener, ...

        :raises SockscopeError: when the file is damaged, or has no batch
        """
        with translated_errors(self.path, "read"):
            last = self._database.execute(f"SELECT max(tick) FROM {self._tables}.ticks").fetchall()[0][0]
            if last is None:
                raise SockscopeError(
                    f"{self.path} has no data: tracing ended before the first batch", hint="record again"
                )
            row = self.schema.ticks.fetch(self._database, self._tables, f"tick = {last}")[0]
            return typing.cast(
                Batch,
                self.schema.build_batch(row[1:], read_final_batch(self._database, self._tables, self.schema)),
            )

    def count_events(self) -> int:
        """How many events of ``record --events`` there are."""
        if all(part.field != "events" for part in self.schema.parts):
            return 0
        with translated_errors(self.path, "read"):
            return int(self._database.execute(f"SELECT count(*) FROM {self._tables}.events").fetchall()[0][0])

    def events(self, first_ns: int = 0, last_ns: int = 2**64 - 1) -> Iterator[Records]:
        """The events of ``record --events`` between two moments, those of a thread in their order.

        :raises SockscopeError: when the file is damaged
        """
        table = next((part.table for part in self.schema.parts if part.field == "events"), None)
        if not isinstance(table, RecordTable):
            return
        with translated_errors(self.path, "read"):
            lowest, highest = self._database.execute(
                f"SELECT min(rowid), max(rowid) FROM {self._tables}.events WHERE time_ns BETWEEN ? AND ?",
                [first_ns, last_ns],
            ).fetchall()[0]
        for start in range(lowest, highest + 1, ROWS_AT_ONCE) if lowest is not None else ():
            end = min(start + ROWS_AT_ONCE, highest + 1)
            with translated_errors(self.path, "read"):
                rows = table.room_for(end - start)
                table.fetch(self._database, self._tables, f"rowid BETWEEN {start} AND {end - 1}", rows)
            yield rows[(rows["time_ns"] >= first_ns) & (rows["time_ns"] <= last_ns)]

    def connection(self) -> DuckDBPyConnection:
        """A DuckDB connection for questions of one's own: the views of docs/recording-schema.md, and ``raw``."""
        with translated_errors(self.path, "read"):
            if not self._has_views:
                self._make_views()
                self._has_views = True
            return self._database.cursor()

    def close(self) -> None:
        """Let the file go."""
        self._database.close()
        self._spill.remove()

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make_views(self) -> None:
        run = self._database.execute
        run(f"CREATE SCHEMA memory.{RAW}")
        columns = "*" if self._tables == TABLES else "* EXCLUDE (rowid)"
        for table in (
            "meta",
            "ticks",
            *(part.table.name for part in (*self.schema.parts, *self.schema.meta_lists)),
        ):
            run(f"CREATE VIEW memory.{RAW}.{table} AS SELECT {columns} FROM {self._tables}.{table}")
        for statement in view_statements(self._tables, self.schema):
            run(statement)

    def _stretches(self, parts: tuple[Part, ...]) -> Iterator[tuple[int, int]]:
        """Ranges of ticks, from the first to the last, with about as much to read in each."""
        run = self._database.execute
        count = run(f"SELECT count(*) FROM {self._tables}.ticks").fetchall()[0][0]
        weight: Array = np.full(count, STRETCH_BYTES // STRETCH_TICKS, np.int64)
        for part in parts:
            size = part.table.dtype.itemsize if isinstance(part.table, RecordTable) else 200
            found = run(
                f"SELECT tick, count(*) AS rows FROM {self._tables}.{part.table.name} GROUP BY tick"
            ).fetchnumpy()
            weight[np.asarray(found["tick"])] += np.asarray(found["rows"]) * size
        ends = np.cumsum(weight)
        start = 0
        while start < count:
            before = ends[start - 1] if start else 0
            end = max(start + 1, int(np.searchsorted(ends, before + STRETCH_BYTES, side="right")))
            yield start, end
            start = end

    def _read(self, parts: tuple[Part, ...], start: int, end: int) -> list[Batch]:
        head = self.schema.ticks.fetch(self._database, self._tables, f"tick BETWEEN {start} AND {end - 1}")
        columns = {part.field: self._read_part(part, start, end) for part in parts}
        return [
            self.schema.build_batch(row[1:], {field: values[index] for field, values in columns.items()})
            for index, row in enumerate(head)
        ]

    def _read_part(self, part: Part, start: int, end: int) -> list[Any]:
        """The part of each batch in a range of ticks."""
        if isinstance(part.table, RecordTable):
            ticks, records = part.table.fetch_ticks(self._database, self._tables, start, end - 1)
            if end - start == 1:
                return [records]
            cuts = np.searchsorted(ticks, np.arange(start, end + 1))
            return [records[cuts[index] : cuts[index + 1]].copy() for index in range(end - start)]
        things: list[list[Any]] = [[] for _ in range(start, end)]
        for row in part.table.fetch(self._database, self._tables, f"tick BETWEEN {start} AND {end - 1}"):
            things[row[0] - start].append(object_of(part, row[1:]))
        return [tuple(many) if part.many else many[0] for many in things]
