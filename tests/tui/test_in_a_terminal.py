"""However the dashboard ends, the terminal is as it was and the exit status says how."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECORDING = Path("docs", "recordings", "straggler.sockscope")
ALTERNATE, MAIN = b"\x1b[?1049h", b"\x1b[?1049l"
SHOWN_CURSOR, NO_MOUSE = b"\x1b[?25h", b"\x1b[?1000l"


class Replayed:
    """``sockscope replay`` on a terminal of its own."""

    def __init__(self, **environment: str) -> None:
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.written = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sockscope", "replay", str(RECORDING)],
            cwd=ROOT, stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30", **environment},
        )  # fmt: skip

    def read_until(self, words: bytes, within_s: float = 60) -> None:
        end = time.monotonic() + within_s
        while words not in self.written:
            assert time.monotonic() < end, f"{words!r} did not come: {self.written[-300:]!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.written += os.read(self.master, 65536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def replayed() -> Iterator[Replayed]:
    made = Replayed()
    yield made
    made.close()


@pytest.mark.parametrize(("how", "status"), [("q", 0), ("\x03", 0), ("SIGTERM", 128 + signal.SIGTERM)])
def test_the_terminal_is_left_as_it_was(replayed: Replayed, how: str, status: int) -> None:
    replayed.read_until(b"Workers over time")
    assert ALTERNATE in replayed.written
    assert termios.tcgetattr(replayed.slave) != replayed.before
    if len(how) == 1:  # a key; the second is Ctrl-C
        os.write(replayed.master, how.encode())
    else:
        replayed.process.send_signal(getattr(signal, how))
    replayed.read_until(MAIN)
    assert replayed.process.wait(20) == status
    replayed.read_until(SHOWN_CURSOR)
    assert NO_MOUSE in replayed.written
    assert termios.tcgetattr(replayed.slave) == replayed.before
    assert b"Traceback" not in replayed.written


def test_without_colour_only_greys_are_sent() -> None:
    shown = Replayed(NO_COLOR="1", COLORTERM="truecolor")
    try:
        shown.read_until(b"Workers over time")
    finally:
        shown.close()
    # what was read last may end amid a sequence
    colours = re.findall(rb"[34]8;2;(\d+);(\d+);(\d+)[;m]", shown.written)
    assert colours
    assert all(red == green == blue for red, green, blue in colours)
    assert not re.search(rb"[34]8;5;|\x1b\[[34][1-6]m", shown.written)
