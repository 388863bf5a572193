"""Stop all threads and processes of a server."""

import os
import select
import signal
from contextlib import suppress

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """One pipe that every thread and every process of the server watches.

    It is written and never read, so it stays readable. It is created before the workers are forked: a signal to
    any process of the server ends all of them.
    """

    def __init__(self) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def set(self) -> None:
        """Ask all workers to end; can be called repeatedly."""
        with suppress(BlockingIOError):  # the pipe is full: already asked
            os.write(self._write, b"\0")

    def is_set(self, within_s: float = 0) -> bool:
        """Return whether the end was requested, waiting up to `within_s` seconds."""
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        return bool(poller.poll(within_s * 1000))

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT set this stop; forked workers inherit it.

        Python writes to the pipe immediately. A Python handler would run only when the main thread returns from its
        system call, so a signal that arrives just before it waits for events would be ignored
        (signal.set_wakeup_fd; PEP 475).
        """
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def reached(self) -> None:
        """Ignore further signals: the server has ended, and a second signal must not change its exit status."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
