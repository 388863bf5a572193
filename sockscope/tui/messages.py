"""Messages that concern more than one widget."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


class Arrived(Message):
    """Posted when the collector has a new context."""


@dataclass
class Ended(Message):
    """Posted when there are no further frames; ``failed`` if because of an error."""

    reason: str
    failed: bool = False


@dataclass
class ServerChosen(Message):
    """Posted when the user chose another server (by the name of its group)."""

    name: str


@dataclass
class RowOpened(Message):
    """Posted on Enter or a double click on a row of a table."""

    table: str
    key: int

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowOpened) and message.table == self.table


@dataclass
class RowChosen(Message):
    """Posted when the cursor of a table moved to another row."""

    table: str
    key: int

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowChosen) and message.table == self.table


@dataclass
class FilterChanged(Message):
    """Posted when the text of the filter bar changed."""

    text: str

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, FilterChanged)
