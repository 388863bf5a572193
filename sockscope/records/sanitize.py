"""Text that came with records, made fit to be shown: it may be anybody's, and hold anything.

A process names itself; a recording may come from a stranger.  A terminal obeys control characters,
and text that runs right to left, or is invisible, can make a line read as what it is not.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from sockscope import formatting

Thing = TypeVar("Thing")


def sanitize(thing: Thing) -> Thing:
    """``thing``, a frozen record of any depth, with :func:`sockscope.formatting.printable` text only."""
    value: Any = thing
    if isinstance(value, str):
        value = formatting.printable(value)
    elif isinstance(value, tuple):
        value = tuple(sanitize(part) for part in value)
    elif is_dataclass(value):
        kind: Any = type(value)
        value = kind(**{field.name: sanitize(getattr(value, field.name)) for field in fields(value)})
    result: Thing = value
    return result
