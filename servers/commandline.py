"""What the command lines of this package have in common."""

import argparse
from typing import NoReturn

from .errors import UsageError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, by an exception: the usage is for those who ask for it."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


class WholeNumber:
    """A whole number between two limits, as an argparse type."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        """The number; argparse turns the exception into its error."""
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"{value} is not between {self._low} and {self._high}")
        return value
