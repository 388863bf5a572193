"""Report on recordings of many hosts together, from the small tables of their exports."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sockscope.fleet.wording import Fleet

#: What ``--format`` offers → module and function of each.
FORMATS: tuple[tuple[str, str, str], ...] = (
    ("text", "text", "text"),
    ("json", "document", "render"),
    ("markdown", "text", "markdown"),
    ("html", "page", "render"),
)


def fleet(patterns: Sequence[str]) -> Fleet:
    """Return what Parquet files, directories or patterns of them contain.

    :raises SockscopeError: if there is no recording among them
    """
    from sockscope.fleet.gather import gather
    from sockscope.fleet.wording import fleet_of

    return fleet_of(gather(patterns))


def render(name: str, found: Fleet) -> str:
    """Return the report in one of :data:`FORMATS`."""
    module, function = next((module, function) for form, module, function in FORMATS if form == name)
    text: str = getattr(importlib.import_module(f"{__name__}.{module}"), function)(found)
    return text
