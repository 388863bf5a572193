"""The filter language: ``port:443 reader:nginx wait:>10ms !state:closed word``.

Terms are joined by "and"; ``!`` negates one.  A number or a duration may follow ``>``, ``<``,
``>=``, ``<=`` or be a range ``1ms..10ms``; a bare word is searched in every name and address.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from sockscope.errors import UsageError
from sockscope.formatting import parse_duration

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Unit = Literal["text", "number", "duration"]

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "=": operator.eq,
}  # fmt: skip


@dataclass(frozen=True)
class Key:
    """A key that rows can be filtered by."""

    name: str
    unit: Unit
    help: str


class Filtered(Protocol):
    """Rows that can be filtered."""

    @property
    def keys(self) -> tuple[Key, ...]: ...
    def __len__(self) -> int: ...
    def numbers(self, key: str) -> np.ndarray[Any, np.dtype[Any]]:
        """Return the value of each row; NaN if it has none."""

    def contains(self, key: str, word: str) -> Mask:
        """Return which rows have the (lower-case) word in the text of a key; "" means any text."""


@dataclass(frozen=True)
class Term:
    """One parsed term of a filter."""

    key: str
    unit: Unit
    text: str
    tests: tuple[tuple[str, float], ...]
    negated: bool


@dataclass(frozen=True)
class Filter:
    """A parsed filter; an empty one matches everything."""

    terms: tuple[Term, ...]

    def mask(self, rows: Filtered) -> Mask:
        chosen = np.ones(len(rows), bool)
        for term in self.terms:
            if term.unit == "text":
                fits = rows.contains(term.key, term.text)
            else:
                values = rows.numbers(term.key)
                fits = ~np.isnan(values)
                for sign, number in term.tests:
                    fits &= _OPERATORS[sign](values, number)
            chosen &= ~fits if term.negated else fits
        return chosen


def parse(text: str, keys: tuple[Key, ...]) -> Filter:
    """Parse a filter.

    :raises UsageError: for an unknown key or an invalid value
    """
    by_name = {key.name: key for key in keys}
    return Filter(tuple(_term(word, by_name) for word in text.split()))


def _term(word: str, keys: Mapping[str, Key]) -> Term:
    negated = len(word) > 1 and word[0] == "!"
    name, colon, value = word[negated:].partition(":")
    if not colon or not value:
        if colon and name in keys:
            return Term("", "text", "", (), False)  # still being typed
        return Term("", "text", word[negated:].lower(), (), negated)
    key = keys.get(name.lower())
    if key is None:
        if not name.isalpha() or ":" in value:  # an endpoint or an IPv6 address
            return Term("", "text", word[negated:].lower(), (), negated)
        raise UsageError(f"unknown key {name!r}", hint=f"keys: {', '.join(sorted(keys))}")
    if key.unit == "text":
        return Term(key.name, "text", value.lower(), (), negated)
    return Term(key.name, key.unit, "", _tests(key, value), negated)


def _tests(key: Key, value: str) -> tuple[tuple[str, float], ...]:
    low, dots, high = value.partition("..")
    if dots:
        ends = ((">=", low), ("<=", high))
        return tuple((sign, _number(key, part)) for sign, part in ends if part)
    for sign in _OPERATORS:
        if value.startswith(sign):
            rest = value[len(sign) :]
            return ((sign, _number(key, rest)),) if rest else ()
    return (("=", _number(key, value)),)


def _number(key: Key, text: str) -> float:
    if key.unit == "duration":
        return float(parse_duration(text))
    try:
        return float(text.rstrip("%"))
    except ValueError:
        raise UsageError(f"{key.name}:{text} is not a number") from None
