"""CPU work of a given duration."""

import hashlib
import time

_CALIBRATION_ROUNDS = 2_000
_LAST_STEP_US = 100


class Burner:
    """Burns CPU time on request, in the calling thread only.

    The work is key derivation because hashlib releases the interpreter lock for it: a straggling
    *thread* then delays its own connections and not those of every other thread of the process.
    """

    def __init__(self) -> None:
        self._rounds_a_us = 0.0
        self._call_us = 0.0

    def calibrate(self) -> None:
        """Measure the cost of a round and a call (about 10 ms); the best of several runs, since other processes use the CPU."""
        call_us = min(_cost_us(1) for _ in range(8))
        long_us = min(_cost_us(_CALIBRATION_ROUNDS) for _ in range(5))
        self._call_us = call_us
        self._rounds_a_us = _CALIBRATION_ROUNDS / max(long_us - call_us, 1.0)

    def burn(self, microseconds: int) -> None:
        """Use this much CPU time of the calling thread, by the thread's own CPU clock.

        Goes half of the way at a time, so that a CPU that is slower now than it was when calibrated
        (a busy sibling, a lower clock) does not make it much too long. It ends some 10 microseconds late.
        """
        if microseconds <= 0:
            return
        end_ns = time.thread_time_ns() + microseconds * 1000
        while (left_us := (end_ns - time.thread_time_ns()) / 1000) > 0:
            step_us = left_us if left_us < _LAST_STEP_US else left_us / 2
            _rounds(int((step_us - self._call_us) * self._rounds_a_us))


def _rounds(count: int) -> None:
    hashlib.pbkdf2_hmac("sha256", b"sockscope", b"salt", max(count, 1))


def _cost_us(count: int) -> float:
    begin = time.thread_time_ns()
    _rounds(count)
    return (time.thread_time_ns() - begin) / 1000
