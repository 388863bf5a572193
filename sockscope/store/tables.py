"""Tables: how the parts of a batch go into the database and come back equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.records.batch import Records
from sockscope.store.columns import Array, ArrayColumn, Column, get_columns, quoted
from sockscope.store.objects import Attribute

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: How much is handed to DuckDB at once: more is no faster and costs memory.
CHUNK_BYTES = 4_000_000

#: How many rows are fetched at once: DuckDB's result, its copy in numpy and the records each take
#: as much memory.
ROWS_AT_ONCE = 65_536

_NUMPY = {"UBIGINT": np.dtype(np.uint64), "BOOLEAN": np.dtype(np.bool_), "VARCHAR": np.dtype(object)}


@dataclass(frozen=True)
class RecordTable:
    """A table of numpy records, each row with the number of the tick that it came in.

    :param lacks: fields for which an older recording has no column; they are read as 0
    :param earlier_name: its name in the file, if an older recording calls it otherwise
    :param earlier_columns: (column, its name in the file) of those that an older recording calls otherwise
    """

    name: str
    dtype: np.dtype[Any]
    lacks: frozenset[str] = frozenset()
    earlier_name: str = ""
    earlier_columns: tuple[tuple[str, str], ...] = ()

    @property
    def stored_name(self) -> str:
        """Its name in the file."""
        return self.earlier_name or self.name

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns after ``tick``."""
        return tuple(column for column in get_columns(self.dtype) if column.name not in self.lacks)

    def room_for(self, count: int) -> Records:
        """Records for :meth:`fetch` to fill."""
        return np.zeros(count, self.dtype) if self.lacks else np.empty(count, self.dtype)

    def definition(self) -> str:
        """The columns as ``CREATE TABLE`` wants them."""
        return _definition(
            ((column.name, column.type) for column in self.columns), dict(self.earlier_columns)
        )

    def insert(self, connection: DuckDBPyConnection, schema: str, tick: int, records: Records) -> None:
        """Append ``records``."""
        step = max(1, CHUNK_BYTES // self.dtype.itemsize)
        for start in range(0, len(records), step):
            self._insert(connection, schema, tick, records[start : start + step])

    def fetch_ticks(
        self, connection: DuckDBPyConnection, schema: str, first: int, last: int
    ) -> tuple[Array, Records]:
        """The rows of these ticks in the order they came, and the tick of each.

        :raises ValueError: when the rows of a tick do not stand together, as they were written
        """
        lowest, highest, count = connection.execute(
            f"SELECT min(rowid), max(rowid), count(*) FROM {schema}.{self.name}"
            f" WHERE tick BETWEEN {first} AND {last}"
        ).fetchall()[0]
        ticks: Array = np.empty(count, np.uint32)
        records = self.room_for(count)
        for start in range(0, count, ROWS_AT_ONCE):
            stretch = slice(start, min(start + ROWS_AT_ONCE, count))
            condition = f"rowid BETWEEN {lowest + stretch.start} AND {lowest + stretch.stop - 1}"
            ticks[stretch] = self.fetch(connection, schema, condition, records[stretch])
        if count and (highest - lowest + 1 != count or np.any(ticks[1:] < ticks[:-1])):
            raise ValueError(f"rows of {self.name} are out of order")
        return ticks, records

    def fetch(self, connection: DuckDBPyConnection, schema: str, condition: str, into: Records) -> Array:
        """Fill ``into`` with the rows for which ``condition`` holds, in the order they came.

        :returns: the tick of each
        """
        selections = [selection for column in self.columns for selection in column.selections()]
        named = ", ".join(f"{selection} AS c{index}" for index, selection in enumerate(selections))
        found = connection.execute(
            f"SELECT tick, {named} FROM {schema}.{self.name} WHERE {condition}"
        ).fetchnumpy()
        ticks: Array = np.asarray(found.pop("tick"))
        names = iter(list(found))
        for column in self.columns:
            column.put(into, [np.asarray(found.pop(next(names))) for _ in column.selections()])
        return ticks

    def _insert(self, connection: DuckDBPyConnection, schema: str, tick: int, records: Records) -> None:
        arrays: dict[str, dict[str, Array]] = {"_numbers": {}}
        collected: dict[str, list[str]] = {}
        values = []
        for column in self.columns:
            source = "_numbers"
            if isinstance(column, ArrayColumn):
                source = f"_runs_of_{column.count}"
                rows = np.arange(len(records), dtype=np.uint32)
                runs = arrays.setdefault(source, {"record": np.repeat(rows, column.count)})
                runs.update(column.elements(records))
                collected.setdefault(source, []).append(column.collected())
            else:
                arrays["_numbers"].update(column.arrays(records))
            values.append(column.value(source))
        sources = ["_numbers"] if arrays["_numbers"] else []
        sources += [
            f"(SELECT {', '.join(lists)} FROM {source} GROUP BY record ORDER BY record) AS {source}"
            for source, lists in collected.items()
        ]
        registered = {source: content for source, content in arrays.items() if content}
        for source, content in registered.items():
            connection.register(source, content)
        connection.execute(
            f"INSERT INTO {schema}.{self.name} SELECT {tick}::UINTEGER, {', '.join(values)}"
            f" FROM {' POSITIONAL JOIN '.join(sources)}"
        ).fetchall()
        for source in registered:
            connection.unregister(source)


@dataclass(frozen=True)
class ObjectTable:
    """A table of what is few: objects, a row each, with the number of the tick they came in."""

    name: str
    attributes: tuple[Attribute, ...]
    earlier_name: str = ""
    earlier_columns: tuple[tuple[str, str], ...] = ()

    @property
    def stored_name(self) -> str:
        """Its name in the file."""
        return self.earlier_name or self.name

    def definition(self) -> str:
        """The columns as ``CREATE TABLE`` wants them."""
        return _definition(
            ((attribute.name, attribute.type) for attribute in self.attributes), dict(self.earlier_columns)
        )

    def insert(self, connection: DuckDBPyConnection, schema: str, tick: int, things: Iterable[Any]) -> None:
        """Append a row for each of ``things``.

        Numbers and text go as arrays, lists as parameters: in an array DuckDB would guess their types.
        """
        rows = list(things)
        arrays: dict[str, Array] = {"": np.arange(len(rows))}
        sources, values = ["_objects"], []
        lists: list[list[Any]] = []
        for attribute in self.attributes:
            column = [attribute.of(row) for row in rows]
            kind = _NUMPY.get(attribute.type)
            if kind is None:
                source = f"_list_{len(lists)}"
                sources.append(f"(SELECT unnest(?::{attribute.type}[]) AS value) AS {source}")
                values.append(f"{source}.value")
                lists.append(column)
            else:
                arrays[attribute.name] = np.array(column, kind)
                values.append(f"_objects.{quoted(attribute.name)}")
        connection.register("_objects", arrays)
        connection.execute(
            f"INSERT INTO {schema}.{self.name} SELECT {tick}::UINTEGER, {', '.join(values)}"
            f" FROM {' POSITIONAL JOIN '.join(sources)}",
            lists,
        ).fetchall()
        connection.unregister("_objects")

    def fetch(self, connection: DuckDBPyConnection, schema: str, condition: str) -> list[tuple[Any, ...]]:
        """Rows for which ``condition`` holds, in the order they came; the tick is the first value."""
        names = ", ".join(f'"{attribute.name}"' for attribute in self.attributes)
        return connection.execute(
            f"SELECT tick, {names} FROM {schema}.{self.name} WHERE {condition}"
        ).fetchall()


def _definition(columns: Iterable[tuple[str, str]], earlier: Mapping[str, str]) -> str:
    named = "".join(f", {quoted(earlier.get(name, name))} {kind} NOT NULL" for name, kind in columns)
    return f"tick UINTEGER NOT NULL{named}"
