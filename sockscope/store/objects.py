"""Columns of a table, made from a dataclass: what is few, and text.

A text is kept readable and exact at once.  DuckDB takes only valid UTF-8, and a command line may be
any bytes, which Python shows as lone surrogates: such a byte is kept as ``\\udcff``, and a backslash
as two.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import types
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Attribute:
    """One column: an attribute of an object, or of an object inside it."""

    name: str
    type: str
    path: tuple[str, ...]
    stored: Callable[[Any], Any]
    loaded: Callable[[Any], Any]

    def of(self, thing: Any) -> Any:
        """Its value for ``thing``, as it is stored."""
        for name in self.path:
            thing = getattr(thing, name)
        return self.stored(thing)


def get_attributes(kind: type) -> tuple[Attribute, ...]:
    """The columns of a dataclass, in its order.

    :raises TypeError: when an attribute has a type that no column keeps exactly
    """
    return tuple(_attributes(kind, "", ()))


def build(kind: type, attributes: tuple[Attribute, ...], row: tuple[Any, ...]) -> Any:
    """The object whose columns are ``row``."""
    values = {
        attribute.path: attribute.loaded(value) for attribute, value in zip(attributes, row, strict=True)
    }
    return _build(kind, values, ())


def escaped(text: str) -> str:
    """``text`` as valid UTF-8 can hold it."""
    return text.replace("\\", "\\\\").encode("utf-8", "backslashreplace").decode("utf-8")


def unescaped(text: str) -> str:
    """What :func:`escaped` was given."""
    return re.sub(
        r"\\(\\|u[0-9a-f]{4})", lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), text
    )


_hints = functools.cache(typing.get_type_hints)


def _attributes(kind: type, prefix: str, path: tuple[str, ...]) -> Iterator[Attribute]:
    hints = _hints(kind)
    for field in dataclasses.fields(kind):
        hint, here = hints[field.name], (*path, field.name)
        if dataclasses.is_dataclass(hint):
            yield from _attributes(typing.cast(type, hint), f"{prefix}{field.name}_", here)
        else:
            yield Attribute(prefix + field.name, *_kept(hint, prefix + field.name, here))


def _kept(
    hint: Any, name: str, path: tuple[str, ...]
) -> tuple[str, tuple[str, ...], Callable[[Any], Any], Callable[[Any], Any]]:
    kind, stored, loaded = _codec(hint, name)
    return kind, path, stored, loaded


def _codec(hint: Any, name: str) -> tuple[str, Callable[[Any], Any], Callable[[Any], Any]]:
    """The column's type, and how a value gets in and out."""
    if hint is int:
        return "UBIGINT", int, int
    if hint is bool:
        return "BOOLEAN", bool, bool
    if hint is str:
        return "VARCHAR", escaped, unescaped
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        if len(parts) == 2 and parts[1] is Ellipsis:
            kind, stored, loaded = _codec(parts[0], name)
            return (
                f"{kind}[]",
                lambda many: [stored(one) for one in many],
                lambda many: tuple(map(loaded, many)),
            )
        return _record(name, dict(zip(("name", "value"), parts, strict=True)), tuple)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = _hints(hint)
        return _record(
            name, {f.name: hints[f.name] for f in dataclasses.fields(hint)}, lambda values: hint(*values)
        )
    raise TypeError(f"{name}: no column keeps {hint} exactly")


def _record(
    name: str, members: dict[str, Any], make: Callable[[list[Any]], Any]
) -> tuple[str, Callable[[Any], Any], Callable[[Any], Any]]:
    """A pair or an object inside a list: a STRUCT."""
    codecs = {member: _codec(hint, name) for member, hint in members.items()}

    def stored(one: Any) -> dict[str, Any]:
        values = one if isinstance(one, tuple) else [getattr(one, member) for member in members]
        return {member: codecs[member][1](value) for member, value in zip(members, values, strict=True)}

    def loaded(one: Any) -> Any:
        return make([codecs[member][2](one[member]) for member in members])

    columns = ", ".join(f"{member} {codec[0]}" for member, codec in codecs.items())
    return f"STRUCT({columns})", stored, loaded


def _build(kind: type, values: dict[tuple[str, ...], Any], path: tuple[str, ...]) -> Any:
    hints = _hints(kind)
    arguments = {}
    for field in dataclasses.fields(kind):
        here = (*path, field.name)
        hint = hints[field.name]
        nested = dataclasses.is_dataclass(hint) and not isinstance(hint, types.GenericAlias)
        arguments[field.name] = _build(hint, values, here) if nested else values[here]
    return kind(**arguments)
