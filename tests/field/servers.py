"""How the servers of the field cases are started: small programs, real servers with a setting, reference entries."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.diagnosis.stage import Place, announced, free_port, python
from tests.field.stage import Start
from tests.servers.real_servers import REAL, Real, program, running

#: Writes the server's files into a folder of its own, and returns the command.
Prepare = Callable[[Path, int], Sequence[str]]


def small(kind: str) -> Start:
    """A small server of ``tests.field.programs``."""

    def start(stack: contextlib.ExitStack) -> Place:
        place = announced(stack, python("tests.field.programs", kind))
        stack.callback(_go_on, place.pid)  # before it is ended: a stopped process does not react to SIGTERM
        return place

    return start


def entry(name: str, start: Prepare, nofile: int = 0) -> Start:
    """A packaged server with its own setting; ``nofile`` limits its open files."""

    def prepare(place: Path, port: int) -> list[str]:
        words = [str(word) for word in start(place, port)]
        return ["prlimit", f"--nofile={nofile}:{nofile}", "--", *words] if nofile else words

    real = Real(name, name, "", (), (), prepare, "")
    return _start(real)


def packaged(name: str) -> Start:
    """A server as docs/servers.md has it."""
    return _start(next(real for real in REAL if real.name == name))


def _start(real: Real) -> Start:
    def start(stack: contextlib.ExitStack) -> Place:
        started = stack.enter_context(running(real, free_port()))
        return Place(started.port, started.process.pid)

    return start


def _go_on(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def stop(place: Place, stack: contextlib.ExitStack) -> None:
    """Stop the server and its workers (SIGSTOP) until the end of the case."""
    pids = [place.pid, *place.children()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    def go_on() -> None:
        for pid in pids:
            _go_on(pid)

    stack.callback(go_on)


def stopped(start: Start) -> Start:
    """The same server, stopped before any client comes."""

    def begin(stack: contextlib.ExitStack) -> Place:
        place = start(stack)
        stop(place, stack)
        return place

    return begin


def kill(place: Place, stack: contextlib.ExitStack) -> None:
    """End the server and its workers with SIGKILL."""
    for pid in [*place.children(), place.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def script(text: str, *command: str, name: str = "app.py") -> Prepare:
    """A program in a file, started by ``command``, in which PORT and FILE are replaced."""

    def prepare(place: Path, port: int) -> list[str]:
        (place / name).write_text(text)
        words = [word.replace("PORT", str(port)).replace("FILE", str(place / name)) for word in command]
        return [program(words[0]), *words[1:]]

    return prepare
