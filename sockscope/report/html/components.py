"""The parts of every page: tables, figures, cards, findings.

They are values without markup.  The templates lay them out and escape every text in them; only pictures
are markup already.
"""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup


@dataclass(frozen=True)
class Cell:
    """A table cell that is more than a text."""

    text: str
    link: str = ""
    strong: bool = False
    style: str = ""
    note: str = ""
    note_style: str = ""


@dataclass(frozen=True)
class Table:
    """A table with its caption.

    :param numeric_from: index of the first column that holds numbers and is aligned to the right
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    numeric_from: int = 1

    def __post_init__(self) -> None:
        if any(len(row) != len(self.head) for row in self.rows):
            raise ValueError(f"a row of {self.caption!r} has not {len(self.head)} cells")


@dataclass(frozen=True)
class Figure:
    """A chart with its title and caption, and the table of its numbers.

    :param pictures: variants of the same chart; style sheets show one of them
    :param region: name of the scrollable region around a chart that is wider than a phone
    :param scale: what the darkest colour of a heat map stands for
    """

    title: str
    pictures: tuple[Markup, ...] = ()
    caption: str = ""
    table: Table | None = None
    region: str = ""
    scale: str = ""


@dataclass(frozen=True)
class Card:
    """A heading, and a line or several below it."""

    heading: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class FindingSection:
    """A finding as a page shows it.

    :param where: the server or the hosts that the finding is about
    :param occurrences: host and evidence, where several hosts have the finding
    """

    id: str
    severity: str
    title: str
    where: str
    explanation: str = ""
    occurrences: tuple[tuple[str, str], ...] = ()
    cause: str = ""
    effect: str = ""
    remedy: tuple[str, ...] = ()
    verify: str = ""
    evidence: str = ""
