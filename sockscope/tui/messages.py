"""What happens in the dashboard that more than one widget cares about."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message


class Arrived(Message):
    """The collector has a moment that has not been taken: the newest, when there were several."""


@dataclass
class Ended(Message):
    """No further moment will come; ``failed`` when that was not meant."""

    reason: str
    failed: bool = False


@dataclass
class ServerChosen(Message):
    """The user turned to another server (by its group's name)."""

    name: str


@dataclass
class RowOpened(Message):
    """Enter or a double click on a row of a table."""

    table: str
    key: int

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowOpened) and message.table == self.table


@dataclass
class RowChosen(Message):
    """The cursor of a table went to another row."""

    table: str
    key: int

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, RowChosen) and message.table == self.table


@dataclass
class FilterChanged(Message):
    """The text of the filter bar, after each key."""

    text: str

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, FilterChanged)
