"""Tables: how the parts of a batch go into the database and come back equal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sockscope.records.batch import Records
from sockscope.sources.trace.columns import Array, Column, columns_of
from sockscope.sources.trace.objects import Attribute

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: How much is handed to DuckDB at once: more is no faster and costs memory.
CHUNK_BYTES = 2_000_000


@dataclass(frozen=True)
class RecordTable:
    """A table of numpy records, each row with the number of the tick that it came in."""

    name: str
    dtype: np.dtype[Any]

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns after ``tick``."""
        return columns_of(self.dtype)

    def definition(self) -> str:
        """The columns as ``CREATE TABLE`` wants them."""
        return _definition((column.name, column.type) for column in self.columns)

    def insert(self, connection: DuckDBPyConnection, schema: str, tick: int, records: Records) -> None:
        """Append ``records``."""
        step = max(1, CHUNK_BYTES // self.dtype.itemsize)
        for start in range(0, len(records), step):
            self._insert(connection, schema, tick, records[start : start + step])

    def fetch(self, connection: DuckDBPyConnection, schema: str, condition: str) -> tuple[Array, Records]:
        """The rows for which ``condition`` holds, in the order they came, and the tick of each."""
        selections = [selection for column in self.columns for selection in column.selections()]
        named = ", ".join(f"{selection} AS c{index}" for index, selection in enumerate(selections))
        found = connection.execute(
            f"SELECT tick, {named} FROM {schema}.{self.name} WHERE {condition}"
        ).fetchnumpy()
        ticks: Array = np.asarray(found.pop("tick"))
        records = np.zeros(len(ticks), self.dtype)
        index = 0
        for column in self.columns:
            count = len(column.selections())
            column.put(records, [np.asarray(found.pop(f"c{index + offset}")) for offset in range(count)])
            index += count
        return ticks, records

    def _insert(self, connection: DuckDBPyConnection, schema: str, tick: int, records: Records) -> None:
        arrays: dict[str, dict[str, Array]] = {"_records": {}}
        sources, values = ["_records"], []
        for column in self.columns:
            runs = column.runs(records)
            if runs is None:
                arrays["_records"].update(column.arrays(records))
                values.append(column.value("_records"))
                continue
            source = f"_run_{len(arrays)}"
            arrays[source] = runs
            sources.append(
                f"(SELECT list(value)::{column.type} AS value FROM {source}"
                f" GROUP BY row ORDER BY row) AS {source}"
            )
            values.append(f"{source}.value")
        if not arrays["_records"]:
            del arrays["_records"], sources[0]
        for source, content in arrays.items():
            connection.register(source, content)
        try:
            connection.execute(
                f"INSERT INTO {schema}.{self.name} SELECT {tick}::UINTEGER, {', '.join(values)}"
                f" FROM {' POSITIONAL JOIN '.join(sources)}"
            ).fetchall()
        finally:
            for source in arrays:
                connection.unregister(source)


@dataclass(frozen=True)
class ObjectTable:
    """A table of what is few: objects, a row each, with the number of the tick they came in."""

    name: str
    attributes: tuple[Attribute, ...]

    def definition(self) -> str:
        """The columns as ``CREATE TABLE`` wants them."""
        return _definition((attribute.name, attribute.type) for attribute in self.attributes)

    def insert(self, connection: DuckDBPyConnection, schema: str, tick: int, things: Iterable[Any]) -> None:
        """Append a row for each of ``things``."""
        places = ", ".join(f"?::{attribute.type}" for attribute in self.attributes)
        rows = [[attribute.of(thing) for attribute in self.attributes] for thing in things]
        connection.executemany(f"INSERT INTO {schema}.{self.name} VALUES ({tick}, {places})", rows)

    def fetch(self, connection: DuckDBPyConnection, schema: str, condition: str) -> list[tuple[Any, ...]]:
        """Rows for which ``condition`` holds, in the order they came; the tick is the first value."""
        names = ", ".join(f'"{attribute.name}"' for attribute in self.attributes)
        return connection.execute(
            f"SELECT tick, {names} FROM {schema}.{self.name} WHERE {condition}"
        ).fetchall()


def _definition(columns: Iterable[tuple[str, str]]) -> str:
    named = "".join(f', "{name}" {kind} NOT NULL' for name, kind in columns)
    return f"tick UINTEGER NOT NULL{named}"
