"""Start, watch and end worker threads and worker processes."""

import os
import select
import signal
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from .errors import EXHAUSTED, ServerError, complain
from .linux import die_with_parent, set_thread_name
from .model import Context

_READY_WITHIN_S = 30.0
_END_WITHIN_S = 5.0

Work = Callable[[int, Callable[[], None]], None]
"""Called with the worker's index and a function to call once, when it is ready to serve."""


class WorkerPool:
    """The workers of one server. Only the main thread uses it."""

    def __init__(self, context: Context, processes: bool) -> None:
        self._context = context
        self._processes = processes
        self._threads: list[threading.Thread] = []
        self._children: dict[int, tuple[int, str]] = {}  # pidfd → pid, name
        self._ready_read, self._ready_write = os.pipe2(os.O_CLOEXEC)
        self._failed = False

    def start(self, work: Work) -> None:
        """Start all workers and wait until each of them is ready."""
        count = self._context.settings.workers
        for index in range(count):
            if self._processes:
                self._fork(index, work)
            else:
                self._spawn(index, work)
        waiting = select.poll()
        for descriptor in (self._ready_read, self._context.stop.fd, *self._children):
            waiting.register(descriptor, select.POLLIN)
        deadline = time.monotonic() + _READY_WITHIN_S
        ready = 0
        while ready < count and not self._context.stop.is_set():
            found = dict(waiting.poll(max(deadline - time.monotonic(), 0) * 1000))
            if self._ready_read in found:
                ready += len(os.read(self._ready_read, count))
            elif not found or found.keys() & self._children.keys():
                self._context.stop.set()
                self.end()
                raise ServerError("a worker could not start")

    def watch(self) -> None:
        """Wait until the server stops or no worker is left; report workers that ended unexpectedly."""
        waiting = select.poll()
        for descriptor in (self._context.stop.fd, *self._children):
            waiting.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in waiting.poll():
                if descriptor == self._context.stop.fd:
                    return
                waiting.unregister(descriptor)
                self._reap(descriptor, expected=False)
                if not self._children:
                    self._context.stop.set()

    def end(self) -> bool:
        """Wait for all workers to end, after the stop is set.

        :return: False if a worker failed, ended unexpectedly or was killed
        """
        deadline = time.monotonic() + _END_WITHIN_S
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0))
            self._failed |= thread.is_alive()
        while self._children:
            left = deadline - time.monotonic()
            if left <= 0:
                for pid, _ in self._children.values():
                    os.kill(pid, signal.SIGKILL)
                self._failed = True
            waiting = select.poll()
            for descriptor in self._children:
                waiting.register(descriptor, select.POLLIN)
            for descriptor, _ in waiting.poll(left * 1000 if left > 0 else None):
                self._reap(descriptor, expected=True)
        return not self._failed

    def _reap(self, pidfd: int, expected: bool) -> None:
        pid, name = self._children.pop(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if not expected:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
            complain(f"servers: {name} (pid {pid}) {how}")
        self._failed |= code != 0 or not expected

    def _spawn(self, index: int, work: Work) -> None:
        name = f"ss-worker-{index}"
        thread = threading.Thread(target=self._run, args=(index, name, work), name=name, daemon=True)
        self._threads.append(thread)
        # Signals are for the main thread: a worker starts with them blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        try:
            thread.start()
        except RuntimeError as error:
            raise ServerError(f"cannot start {name}: {error}") from error
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def _fork(self, index: int, work: Work) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._be_child(parent, index, work)
        self._children[os.pidfd_open(pid)] = (pid, f"ss-worker-{index}")

    def _be_child(self, parent: int, index: int, work: Work) -> NoReturn:
        die_with_parent(parent)
        for pidfd in self._children:
            os.close(pidfd)
        self._children.clear()
        self._run(index, f"ss-worker-{index}", work)
        os._exit(1 if self._failed else 0)

    def _run(self, index: int, name: str, work: Work) -> None:
        set_thread_name(name)
        try:
            work(index, self._say_ready)
            if self._processes:
                self._context.ledger.flush()
        except ServerError as error:
            self._fail(f"servers: {error}")
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in EXHAUSTED:
                self._fail(f"servers: {name}: {error.strerror}")
                return
            self._fail(traceback.format_exc())

    def _say_ready(self) -> None:
        os.write(self._ready_write, b".")

    def _fail(self, text: str) -> None:
        complain(text)
        self._failed = True
        self._context.stop.set()
