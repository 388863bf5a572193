"""The ground truth: one JSON line per connection with the threads of each step."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ServerError

_BATCH_LINES = 256


class Ledger:
    """Appends lines to a file that several threads and processes share.

    Lines are kept in memory and written in batches, so that the account does not slow down what it
    accounts for. A batch is whole lines in one write to a descriptor opened with O_APPEND: lines of
    different processes never mix.
    """

    def __init__(self, path: Path | None) -> None:
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._path = path
        self._fd = -1
        if path is not None:
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise ServerError(f"cannot write the ledger {path}: {error.strerror}") from error

    @property
    def kept(self) -> bool:
        """Return whether a file was configured."""
        return self._fd >= 0

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add one closed connection."""
        line = json.dumps(entry) + "\n"
        with self._lock:
            self._lines.append(line)
            full = len(self._lines) >= _BATCH_LINES
        if full:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines; every process calls it before it ends."""
        with self._lock:
            lines, self._lines = self._lines, []
        data = memoryview("".join(lines).encode())
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            raise ServerError(f"cannot write the ledger {self._path}: {error.strerror}") from error
