"""Common parts of the command lines of this package."""

import argparse
from typing import NoReturn

from .errors import UsageError


class Parser(argparse.ArgumentParser):
    """A parser that raises an exception with one line instead of printing the usage."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


class WholeNumber:
    """A whole number between two limits, as an argparse type."""

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def __call__(self, text: str) -> int:
        """Parse the number; argparse turns the exception into its error."""
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not self._low <= value <= self._high:
            raise argparse.ArgumentTypeError(f"{value} is not between {self._low} and {self._high}")
        return value
