"""A line on a terminal that is updated in place, for commands that run for some time."""

from __future__ import annotations

import os
import shutil
from typing import TextIO

from sockscope import formatting

_ERASE_LINE = "\r\033[K"


class StatusLine:
    """Show progress in the last line of a terminal; print nothing when the stream is not one.

    Use it as a context manager: an error message then begins at the start of a line.

    :param stream: usually stderr
    :param enabled: False to show no progress even on a terminal
    """

    def __init__(self, stream: TextIO, *, enabled: bool = True) -> None:
        self._stream = stream
        self._enabled = enabled and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._shown = False

    def update(self, text: str) -> None:
        """Replace the line by ``text``, cut at the width of the terminal."""
        if not self._enabled or not _is_foreground(self._stream):
            return
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(_ERASE_LINE + formatting.printable(text)[:width])
        self._stream.flush()
        self._shown = True

    def clear(self) -> None:
        """Erase the progress."""
        if self._shown:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()
            self._shown = False

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()


def format_progress(elapsed_ns: int, duration_ns: int | None) -> str:
    """Return ``0:12 of 0:30, 0:18 left``, or ``0:12`` when no duration is given."""
    elapsed = _clock_time(elapsed_ns)
    if duration_ns is None:
        return elapsed
    left = max(duration_ns - elapsed_ns, 0)
    return f"{elapsed} of {_clock_time(duration_ns)}, {_clock_time(left)} left"


def _clock_time(ns: int) -> str:
    """Return minutes and seconds, with hours if there are any: ``1:05`` or ``2:00:09``."""
    minutes, seconds = divmod(round(ns / 1e9), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _is_foreground(stream: TextIO) -> bool:
    """Return whether this process may write to its terminal without disturbing another."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except OSError:
        return True  # not the controlling terminal: nobody else writes there
