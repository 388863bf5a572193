"""Processes of the bench: the recorder, the flood, and commands that are measured."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOCKSCOPE = (sys.executable, "-m", "sockscope")


@dataclass(frozen=True)
class Spent:
    """What a command took."""

    seconds: float
    peak_mb: float
    said: str


def measured(*words: object) -> Spent:
    """Run ``sockscope`` with these words to its end; it has to succeed."""
    begun = time.monotonic()
    child = subprocess.Popen(
        [*SOCKSCOPE, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, said
    return Spent(time.monotonic() - begun, usage.ru_maxrss / 1000, said)


class Recorder:
    """``sockscope record``, tracing already."""

    def __init__(self, *words: object) -> None:
        command = [*SOCKSCOPE, "record", *map(str, words)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "tracing" in line, line + self.process.stderr.read()

    def cpu_s(self) -> float:
        """CPU time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """Most resident memory so far."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000

    def end(self) -> str:
        """Ctrl-C; what it said."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, said
        return said


@dataclass(frozen=True)
class Done:
    """What the flood did, by its own count."""

    accepts: int
    waits: int
    reads: int
    empty: int
    answers: int
    seconds: float

    @property
    def connection_io(self) -> int:
        return self.accepts + 2 * self.waits + self.reads + self.empty + self.answers


class Flood:
    """flood.c, which waits for :meth:`go`."""

    def __init__(self, place: Path, *words: object) -> None:
        program = place / "flood"
        source = Path(__file__).with_name("flood.c")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)], check=True)
        self._process = subprocess.Popen(
            [str(program), *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def go(self) -> Done:
        """Let it begin; what it did."""
        said, _ = self._process.communicate("\n", timeout=300)
        assert self._process.returncode == 0
        *counts, seconds = said.split()
        return Done(*map(int, counts), float(seconds))


@contextmanager
def ahead_of_neighbours() -> Iterator[None]:
    """What is started inside goes before other programs that happen to run on this machine."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    # where the scheduler shares by session (CONFIG_SCHED_AUTOGROUP), it is the session that must be ahead
    group = Path("/proc/self/autogroup")
    with suppress(OSError):
        group.write_text("-15")
    os.setpriority(os.PRIO_PROCESS, 0, -15)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
        with suppress(OSError):
            group.write_text("0")
