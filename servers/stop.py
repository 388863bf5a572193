"""How the whole server learns that it has to end."""

import os
import select
import signal
from contextlib import suppress

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """One pipe that every thread and every process of the server watches.

    It is written and never read, so it stays readable for whoever looks later. It is made before the
    workers are forked: a signal to any process of the server ends all of it.
    """

    def __init__(self) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def set(self) -> None:
        """Ask everyone to end; safe when repeated."""
        with suppress(BlockingIOError):  # full: asked often enough
            os.write(self._write, b"\0")

    def is_set(self, within_s: float = 0) -> bool:
        """Whether the end was asked for, now or within `within_s` seconds."""
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        return bool(poller.poll(within_s * 1000))

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT set this stop; forked workers inherit it.

        Python writes to the pipe itself, at once. A handler of ours would run only when the main thread is back
        from its system call: for ever too late for a signal that comes just before it goes to wait for events
        (signal.set_wakeup_fd; PEP 475).
        """
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)

    def reached(self) -> None:
        """The server has ended: a second signal must not make a failure of it while the interpreter ends."""
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
