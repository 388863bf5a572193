"""Start a server, trace it, load it, and say what was found."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from sockscope.analysis.analyse import analyse
from sockscope.analysis.findings import detect_findings
from sockscope.analysis.frame import Finding, Frame
from sockscope.analysis.thresholds import Thresholds
from sockscope.model.state import State
from sockscope.session.live import LiveSession
from sockscope.target import Target

ROOT = Path(__file__).resolve().parents[2]
_TICK_S = 0.4


@dataclass
class Place:
    """A running server: where it listens, its process, and the network namespace it is in."""

    port: int
    pid: int
    prefix: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def children(self) -> list[int]:
        return sorted(child.pid for child in psutil.Process(self.pid).children())


Start = Callable[[random.Random, contextlib.ExitStack], Place]
Load = Callable[[random.Random, Place], list[Sequence[str]]]
During = Callable[[random.Random, Place, contextlib.ExitStack], None]


@dataclass(frozen=True)
class Case:
    """A fault (``expected`` names the finding that must come first) or, without it, a healthy control."""

    name: str
    start: Start
    load: Load
    expected: str = ""
    during: During | None = None
    seconds: float = 4.0
    short: bool = False
    waits_for_traffic: bool = True
    thresholds: Thresholds = field(default_factory=Thresholds)


def play(case: Case, seed: int) -> tuple[Frame, tuple[Finding, ...]]:
    """The case with the chances of this seed: its frame while the load goes on, and the findings."""
    chance = random.Random(f"{case.name} {seed}")
    with contextlib.ExitStack() as stack:
        place = case.start(chance, stack)
        target = Target(ports=(place.port,))
        session = stack.enter_context(LiveSession(target))
        state = State()
        state.started_at(session.meta.started_ns)
        session.start()
        state.apply(session.batch())
        for command in case.load(chance, place):
            run_beside(stack, [*place.prefix, *command])
        patience = time.monotonic() + (10 if case.waits_for_traffic else 0)
        while time.monotonic() < patience and not len(state.snapshot().connections):
            time.sleep(0.1)
            state.apply(session.batch())
        begin, acted = time.monotonic(), case.during is None
        while (spent := time.monotonic() - begin) < case.seconds:
            if not acted and spent > 0.4 * case.seconds:
                assert case.during is not None
                case.during(chance, place, stack)
                acted = True
            time.sleep(_TICK_S)
            state.apply(session.batch())
        # the last batch before probes go: while they do, time passes in which nothing is seen
        state.apply(session.batch())
        frame = analyse(session.meta, state.snapshot())
        session.stop()
        return frame, detect_findings(frame, case.thresholds)


def run_beside(stack: contextlib.ExitStack, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A process that ends with the stack."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    stack.callback(_end, process)
    return process


def python(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def load(place: Place, **options: str | float) -> list[str]:
    """A command of the reference load generator."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return python("servers.load", "--connect", place.address, "--duration=30", *flags)


def announced(stack: contextlib.ExitStack, command: Sequence[str], prefix: tuple[str, ...] = ()) -> Place:
    """Start a server that says ``listening on ADDRESS:PORT``."""
    process = subprocess.Popen(
        [*prefix, *command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(_end, process)
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 20)
    line = process.stdout.readline().decode() if ready else ""
    if "listening on " not in line:
        raise RuntimeError(f"{command} said {line!r}")
    return Place(int(line.rsplit(":", 1)[1]), process.pid, prefix)


def on_port(stack: contextlib.ExitStack, port: int, command: Sequence[str]) -> Place:
    """Start a server on a given port, and wait until it accepts connections."""
    process = run_beside(stack, command)
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                time.sleep(0.1)
                return Place(port, process.pid)
        time.sleep(0.02)
    raise RuntimeError(f"{command} does not listen")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def namespace(somaxconn: int) -> Iterator[tuple[str, ...]]:
    """A network namespace with its own net.core.somaxconn; the words that run a command inside."""
    name = f"diagnosis-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ("ip", "netns", "exec", name)
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        command = f"echo {somaxconn} > /proc/sys/net/core/somaxconn"
        subprocess.run([*inside, "sh", "-c", command], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=False)


def pause(pid: int, stack: contextlib.ExitStack) -> None:
    """Stop a process until the end of the case."""
    os.kill(pid, signal.SIGSTOP)

    def go_on() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    stack.callback(go_on)


def folder(stack: contextlib.ExitStack) -> Path:
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="diagnosis-")))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
