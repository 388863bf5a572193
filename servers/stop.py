"""How the whole server learns that it has to end."""

import os
import select
import signal


class Stop:
    """One eventfd that every thread and every process of the server watches.

    It is written once and never read, so it stays readable for whoever looks later. It is made before
    the workers are forked: a signal to any process of the server ends all of it.
    """

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def set(self) -> None:
        """Ask everyone to end; safe in a signal handler and when repeated."""
        os.eventfd_write(self.fd, 1)

    def is_set(self, within_s: float = 0) -> bool:
        """Whether the end was asked for, now or within `within_s` seconds."""
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        return bool(poller.poll(within_s * 1000))

    def on_signals(self) -> None:
        """Let SIGTERM and SIGINT set this stop; forked workers inherit it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.set())

    def reached(self) -> None:
        """The server has ended: a second signal must not make a failure of it while the interpreter ends."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
