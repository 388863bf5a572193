"""A command that is started under tracing, and does not begin before tracing has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from sockscope.errors import UsageError

_PATIENCE_S = 5.0
# the child waits for a byte from us, then becomes the command: its pid is known before it begins
_WAIT_THEN_BECOME = """
import os, sys
gate = int(sys.argv[1])
if os.read(gate, 1):
    os.close(gate)
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class Child:
    """A command that waits for :meth:`go`.

    :raises UsageError: when there is no such command
    """

    def __init__(self, words: Sequence[str]) -> None:
        if shutil.which(words[0]) is None:
            raise UsageError(f"command not found: {words[0]!r}", hint="check the PATH")
        gate, self._gate = os.pipe()
        command = [sys.executable, "-S", "-c", _WAIT_THEN_BECOME, str(gate), *words]
        self._process = subprocess.Popen(command, pass_fds=(gate,))
        os.close(gate)
        self.pid = self._process.pid

    def go(self) -> None:
        """Let the command begin."""
        os.write(self._gate, b"g")
        self._close_gate()

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def status(self) -> int:
        """The command's exit status; 0 while it runs and when we ended it."""
        code = self._process.poll()
        return code if code and code > 0 else 0

    def end(self) -> None:
        """SIGTERM, then SIGKILL, to what we started, if it still runs."""
        self._close_gate()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _close_gate(self) -> None:
        if self._gate >= 0:
            os.close(self._gate)
            self._gate = -1
