"""An interrupt in the middle of a batch must not lose it: nothing of it is left in the kernel."""

from __future__ import annotations

import signal
from types import SimpleNamespace
from typing import cast

import pytest

from sockscope.errors import SockscopeError
from sockscope.records.batch import Batch
from sockscope.session.frames import run
from sockscope.session.live import LiveSession
from sockscope.store.recording import RecordingSink


class _Session:
    """Gives numbers for batches; the signal arrives after one was taken out, before it is handed on."""

    def __init__(self, number: int) -> None:
        self._signal = number
        self.given = 0

    def batch(self, *, whole: bool) -> int:
        self.given += 1
        if self.given == 3:
            signal.raise_signal(self._signal)
        return self.given

    def stop(self) -> int:
        self.given += 1
        signal.raise_signal(self._signal)  # the user is impatient
        return self.given

    def target_has_ended(self) -> bool:
        return False

    def under_pressure(self) -> bool:
        return True  # a batch at every turn

    def wait_for_tick(self, until_ns: int) -> None:
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_batch_that_was_taken_out_of_the_kernel_is_kept_whenever_the_interrupt_comes(
    number: signal.Signals,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    session, taken = _Session(number), cast(list[Batch], [])
    try:
        with pytest.raises(KeyboardInterrupt):  # the second one, once all is kept
            run(cast(LiveSession, session), taken.append, None)
    finally:
        signal.signal(number, before)
    assert taken == [1, 2, 3, 4]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("thing", [LiveSession, RecordingSink])
def test_what_ends_with_an_error_says_so_though_an_interrupt_comes_while_it_closes(
    thing: type[LiveSession] | type[RecordingSink], number: signal.Signals
) -> None:
    closed = []

    def close(*_: object) -> None:
        signal.raise_signal(number)
        closed.append("to the end")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    made = object.__new__(thing)  # what it closes is all that matters
    vars(made).update(close=close, _writer=SimpleNamespace(close=close))
    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(MemoryError), made:
            raise MemoryError
        assert closed == ["to the end"]
        with pytest.raises(KeyboardInterrupt), made:
            pass  # without an error it is what ends it
    finally:
        signal.signal(number, before)


def test_a_batch_that_cannot_be_kept_is_what_is_told_though_an_interrupt_comes_meanwhile() -> None:
    def fail(batch: object) -> None:
        signal.raise_signal(signal.SIGINT)
        raise SockscopeError("no space left")

    with pytest.raises(SockscopeError, match="no space left"):
        run(cast(LiveSession, _Session(signal.SIGINT)), fail, None)
