"""Ctrl-C between two statements, never inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Handle SIGINT and SIGTERM when the block is done, not in the middle of it; not at all when it fails:
    that ends what the signal would end, and shall say why.

    Python runs handlers in the main thread only, so elsewhere there is nothing to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in ours:
        signal.signal(number, lambda *call: came.append(call))
    try:
        yield
    except BaseException:
        came.clear()
        raise
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
        for which, frame in came[:1]:
            interrupted = ours[signal.Signals(which)]
            if callable(interrupted):
                interrupted(which, frame)


@contextmanager
def closing_after(error: BaseException | None) -> Iterator[None]:
    """Around what closes something that ``error`` has ended already: interrupts that come meanwhile are
    dropped, since it ends anyhow, and shall say why."""
    if error is None:
        yield
        return
    with suppress(KeyboardInterrupt), defer_signals():
        yield
