"""Columns of a table, made from a numpy record type: a new field is a new column.

A field of numbers is a column of the same width; a run of octets (an address, a name) is a BLOB;
any other run is a fixed-size array; a run of records is one column a member, numbered.  Numbers go
in and out as plain numpy arrays: nothing passes through a Python object per value, and nothing is
rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.records.batch import Records

Array = np.ndarray[Any, np.dtype[Any]]
Path = tuple[str | int, ...]

_LOW = 2**64 - 1


@dataclass(frozen=True)
class Column:
    """One number of a record.

    :param path: where in the record: names of fields, and indexes into runs of records
    """

    name: str
    type: str
    path: Path
    dtype: np.dtype[Any]

    def field(self, records: Records) -> Array:
        """The field of each record, as a view."""
        found = records
        for step in self.path:
            found = found[step] if isinstance(step, str) else found[:, step]
        return found

    def arrays(self, records: Records) -> dict[str, Array]:
        """What goes into the database: flat arrays, an element a record."""
        return {f"={self.name}": _plain(self.field(records))}

    def value(self, source: str) -> str:
        """SQL that makes the column from :meth:`arrays`, registered as ``source``."""
        return f"{source}.{quoted(f'={self.name}')}"

    def selections(self) -> tuple[str, ...]:
        """SQL that gives the column as arrays for :meth:`put`."""
        return (quoted(self.name),)

    def put(self, records: Records, arrays: Sequence[Array]) -> None:
        """Set the field of each record from what :meth:`selections` gave."""
        self.field(records)[...] = arrays[0]


@dataclass(frozen=True)
class BytesColumn(Column):
    """A run of octets, kept as a BLOB: cut into numbers on the way, as numpy has no such type."""

    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many octets a record has."""
        return math.prod(self.shape)

    def arrays(self, records: Records) -> dict[str, Array]:
        octets = np.ascontiguousarray(self.field(records)).reshape(len(records), self.count)
        return {
            f"{start}={self.name}": _plain(
                np.ascontiguousarray(octets[:, start : start + size]).view(f">u{size}")
            )
            for start, size in _words(self.count)
        }

    def value(self, source: str) -> str:
        words = (f"{source}.{quoted(f'{start}={self.name}')}" for start, _ in _words(self.count))
        return " || ".join(f"{word}::BIT::BLOB" for word in words)

    def selections(self) -> tuple[str, ...]:
        name = quoted(self.name)
        pieces = (
            name if self.count <= 16 else f"{name}[{start + 1}:{start + 16}]"
            for start in range(0, self.count, 16)
        )
        if self.count <= 8:
            return (f"{name}::BIT::UBIGINT",)
        return tuple(
            half
            for number in (f"{piece}::BIT::UHUGEINT" for piece in pieces)
            for half in (f"({number} >> 64)::UBIGINT", f"({number} & {_LOW}::UHUGEINT)::UBIGINT")
        )

    def put(self, records: Records, arrays: Sequence[Array]) -> None:
        width = 8 if self.count <= 8 else 16  # of the number that a piece came as, itself at its end
        words = (
            np.stack(arrays, axis=1)
            .astype(">u8")
            .view(np.uint8)
            .reshape(len(records), -(-self.count // 16), width)
        )
        sizes = [min(16, self.count - start) for start in range(0, self.count, 16)]
        octets = np.concatenate([words[:, piece, width - size :] for piece, size in enumerate(sizes)], axis=1)
        self.field(records)[...] = octets.reshape(len(records), *self.shape)


@dataclass(frozen=True)
class ArrayColumn(Column):
    """A run of numbers, kept as a fixed-size array (a histogram)."""

    shape: tuple[int, ...]

    def arrays(self, records: Records) -> dict[str, Array]:
        return {}

    @property
    def count(self) -> int:
        """How many numbers a record has."""
        return math.prod(self.shape)

    def elements(self, records: Records) -> dict[str, Array]:
        """All numbers of all records."""
        return {f"={self.name}": _plain(self.field(records))}

    def collected(self) -> str:
        """SQL that makes the column from :meth:`elements`, grouped by record."""
        name = quoted(f"={self.name}")
        return f"list({name})::{self.type} AS {name}"

    def put(self, records: Records, arrays: Sequence[Array]) -> None:
        if len(records):
            self.field(records)[...] = np.stack(list(arrays[0])).reshape(len(records), *self.shape)


def get_columns(dtype: np.dtype[Any]) -> tuple[Column, ...]:
    """The columns of a record type, in its order.

    :raises TypeError: when a field has a type that no column keeps exactly
    """
    return tuple(_columns(dtype, "", ()))


def _columns(dtype: np.dtype[Any], prefix: str, path: Path) -> Iterator[Column]:
    for name in dtype.names or ():
        field = dtype[name]
        base, shape = field.subdtype or (field, ())
        full = prefix + name
        here = (*path, name)
        if base.names is not None and not shape:
            yield from _columns(base, f"{full}_", here)
        elif base.names is not None:
            if len(shape) != 1:
                raise TypeError(f"{full}: a run of records may have one dimension only")
            for index in range(shape[0]):
                yield from _columns(base, f"{full}_{index}_", (*here, index))
        elif base == np.uint8 and shape:
            yield BytesColumn(full, "BLOB", here, base, shape)
        elif shape:
            yield ArrayColumn(full, f"{_type(full, base)}[{math.prod(shape)}]", here, base, shape)
        else:
            yield Column(full, _type(full, base), here, base)


def _type(name: str, dtype: np.dtype[Any]) -> str:
    size = {1: "TINYINT", 2: "SMALLINT", 4: "INTEGER", 8: "BIGINT"}
    if dtype.kind not in "iu":
        raise TypeError(f"{name}: no column keeps {dtype} exactly")
    return ("U" if dtype.kind == "u" else "") + size[dtype.itemsize]


def _words(count: int) -> Iterator[tuple[int, int]]:
    """Cut ``count`` octets into numbers: (start, size), the largest first."""
    start = 0
    for size in (8, 4, 2, 1):
        while count - start >= size:
            yield start, size
            start += size


def _plain(array: Array) -> Array:
    """A flat copy in native byte order, aligned: the only kind that DuckDB surely reads right."""
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C").reshape(-1)


def quoted(name: str) -> str:
    """``name`` as SQL's identifiers are written."""
    return '"' + name.replace('"', '""') + '"'
