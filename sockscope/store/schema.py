"""What a recording consists of, read off :class:`Batch` and :class:`Meta`: a table for each field.

Nothing here lists columns.  A new field in a record, or in a batch, is a new column or table, and a
recording that was made without it is told apart from one that is damaged.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.records.batch import Batch, Meta
from sockscope.store.database import RAW
from sockscope.store.objects import build, get_attributes
from sockscope.store.tables import ObjectTable, RecordTable

#: Grows with every change that a reader of an older recording would stumble over.
SCHEMA_VERSION = 5

#: Tables by the version that brought them: a recording of an earlier one lacks just them.
SINCE = {"events": 2, "waiting": 3, "accept_errors": 5}
#: Columns by the version that brought them, for each table: read as 0 from an earlier recording.
COLUMNS_SINCE = {
    "listeners": {"samples_changed": 4, "waiting": 4, "mptcp": 5, "defer_accept": 5},
    "connections": {"close_wait_ns": 5, "unread_bytes": 5, "closed_by": 5, "ended": 5},
}
OLDEST_VERSION = 1


@dataclass(frozen=True)
class Renamed:
    """A table whose names changed: what it and its columns are called in earlier recordings.

    :param version: the first with the new names
    :param table: its earlier name
    :param columns: column → its earlier name
    """

    version: int
    table: str
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)


#: Tables by their present name.
RENAMED = {
    "io_overflow": Renamed(5, "more_io"),
    "owners": Renamed(5, "holders"),
    "waiting": Renamed(5, "waiting", {"samples": "looks"}),
    "listeners": Renamed(
        5,
        "listeners",
        {"samples": "looks", "samples_several": "looks_several", "samples_changed": "looks_changed"},
    ),
    "workers": Renamed(
        5,
        "workers",
        {
            "accepts_eagain": "accepts_empty",
            "reads_eagain": "reads_empty",
            "eof_reads": "ends_of_stream",
            "wakeups_spurious": "wakeups_wasted",
            "read_turns": "bursts",
            "deferred_replies": "answers_later",
        },
    ),
    "signals": Renamed(5, "signals", {"method": "way", "limitations": "weaker"}),
}

_META = "key VARCHAR NOT NULL, value VARCHAR NOT NULL"


@dataclass(frozen=True)
class Part:
    """A field of a batch with its table.

    :param kind: the class of its objects; None for records
    :param many: whether a batch has any number of them, or exactly one
    """

    field: str
    table: RecordTable | ObjectTable
    kind: type | None
    many: bool

    def things(self, batch: Any) -> Any:
        """What of ``batch`` goes into the table."""
        value = getattr(batch, self.field)
        return value if self.many else (value,)


@dataclass(frozen=True)
class Schema:
    """All tables of a recording of batches of one class."""

    batch: type
    meta: type
    ticks: ObjectTable
    parts: tuple[Part, ...]
    meta_lists: tuple[Part, ...]

    def as_of(self, version: int) -> Schema:
        """The tables that recordings of this version have."""
        parts = tuple(_as_of(part, version) for part in self.parts if SINCE.get(part.field, 0) <= version)
        meta_lists = tuple(_as_of(part, version) for part in self.meta_lists)
        return dataclasses.replace(self, parts=parts, meta_lists=meta_lists)

    @property
    def tables(self) -> tuple[RecordTable | ObjectTable, ...]:
        """All tables but ``meta``, which has keys and values."""
        return (self.ticks, *(part.table for part in (*self.parts, *self.meta_lists)))

    def statements(self, catalog: str) -> list[str]:
        """The SQL that makes the tables."""
        return [
            f"CREATE SCHEMA {catalog}.{RAW}",
            f"CREATE TABLE {catalog}.{RAW}.meta ({_META})",
            *(
                f"CREATE TABLE {catalog}.{RAW}.{table.stored_name} ({table.definition()})"
                for table in self.tables
            ),
        ]

    def build_batch(self, ticks_row: tuple[Any, ...], values: dict[str, Any]) -> Any:
        """The batch with these scalars and parts."""
        scalars = {
            attribute.name: attribute.loaded(value)
            for attribute, value in zip(self.ticks.attributes, ticks_row, strict=True)
        }
        return self.batch(**scalars, **values)


def schema_of(batch: type, meta: type) -> Schema:
    """The tables for batches of class ``batch`` under a header of class ``meta``.

    :raises TypeError: when a field has a type that no column keeps exactly
    """
    parts, scalars = [], []
    hints = typing.get_type_hints(batch)
    for field in dataclasses.fields(batch):
        part = _part(field, hints[field.name])
        if part:
            parts.append(part)
        else:
            scalars.append((field.name, hints[field.name]))
    head = dataclasses.make_dataclass("Scalars", scalars)
    meta_hints = typing.get_type_hints(meta)
    lists = [_part(field, meta_hints[field.name]) for field in dataclasses.fields(meta)]
    return Schema(
        batch,
        meta,
        ObjectTable("ticks", get_attributes(head)),
        tuple(parts),
        tuple(part for part in lists if part),
    )


def _as_of(part: Part, version: int) -> Part:
    table = part.table
    if isinstance(table, RecordTable):
        columns = COLUMNS_SINCE.get(part.field, {})
        lacks = frozenset(name for name, since in columns.items() if since > version)
        table = dataclasses.replace(table, lacks=lacks)
    renamed = RENAMED.get(part.field)
    if renamed and renamed.version > version:
        table = dataclasses.replace(
            table, earlier_name=renamed.table, earlier_columns=tuple(renamed.columns.items())
        )
    return dataclasses.replace(part, table=table)


def object_of(part: Part, row: tuple[Any, ...]) -> Any:
    """The object that a row of an :class:`ObjectTable` (without its tick) tells of."""
    assert part.kind is not None
    assert isinstance(part.table, ObjectTable)
    return build(part.kind, part.table.attributes, row)


def _part(field: dataclasses.Field[Any], hint: Any) -> Part | None:
    """The table for a field; None for a single number, text or truth."""
    name = field.name
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
        if isinstance(default, np.ndarray):
            return Part(name, RecordTable(name, default.dtype), None, many=True)
    if dataclasses.is_dataclass(hint):
        kind = typing.cast(type, hint)
        return Part(name, ObjectTable(name, get_attributes(kind)), kind, many=False)
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple and dataclasses.is_dataclass(arguments[0]):
        kind = typing.cast(type, arguments[0])
        return Part(name, ObjectTable(name, get_attributes(kind)), kind, many=True)
    return None


SCHEMA = schema_of(Batch, Meta)
