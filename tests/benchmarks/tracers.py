"""The tools that are measured: how each is started on a server, and what it says of itself at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.workloads import Serving

HERE = Path(__file__).parent
_CALLS = "accept,accept4,epoll_wait,epoll_pwait,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg"


@dataclass(frozen=True)
class Tracer:
    """``command`` makes the command line for a server; ``ready`` is what it says once it is attached
    (else it is ready when nothing more is attached for a while; ``attaches``: it attaches to tracepoints)."""

    name: str
    command: Callable[[Serving, Path], list[str]]
    ready: str = ""
    needs: str = ""
    stop: int = signal.SIGTERM
    screen: bool = False
    attaches: bool = True
    environment: Callable[[Path], Mapping[str, str]] = lambda place: {}

    def is_there(self) -> bool:
        return not self.needs or shutil.which(self.needs) is not None


@dataclass
class Running:
    """A tracer at work; ``spent`` is filled in when it has ended."""

    process: subprocess.Popen[bytes]
    place: Path
    started: float
    spent: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def at_work(tracer: Tracer, serving: Serving) -> Iterator[Running]:
    """Start the tracer, wait until it is attached, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        place = Path(scratch)
        screen, keyboard = pty.openpty() if tracer.screen else (-1, -1)
        if tracer.screen:
            fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        said = open(place / "said", "wb")  # noqa: SIM115
        started = time.monotonic()
        process = subprocess.Popen(
            tracer.command(serving, place),
            stdin=keyboard if tracer.screen else subprocess.DEVNULL,
            stdout=keyboard if tracer.screen else said,
            stderr=subprocess.DEVNULL if tracer.screen else said,
            env={**os.environ, "TERM": "xterm-256color", **tracer.environment(place)},
            start_new_session=True,
        )  # fmt: skip
        if tracer.screen:
            threading.Thread(target=_swallow, args=(screen,), daemon=True).start()
        running = Running(process, place, started)
        try:
            _until_attached(tracer, running)
            before = cpu_seconds(process.pid), time.monotonic()
            yield running
            running.spent["busy"] = (cpu_seconds(process.pid) - before[0]) / (time.monotonic() - before[1])
            running.spent["resident"] = _resident(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(tracer.stop)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            said.close()
            for descriptor in (screen, keyboard):
                if descriptor >= 0:
                    os.close(descriptor)
            running.spent["said"] = (place / "said").read_text(errors="replace")
            recording = place / "run.sockscope"
            if recording.exists():
                running.spent["recording"] = _of_recording(recording)


def _until_attached(tracer: Tracer, running: Running) -> None:
    deadline = time.monotonic() + 40
    held, since = 0, time.monotonic()
    while running.process.poll() is None and time.monotonic() < deadline:
        said = (running.place / "said").read_text(errors="replace")
        if tracer.ready and tracer.ready in said:
            return
        # one that says nothing: it holds what it has attached, and no more is added for a while
        now = held if tracer.ready else attachments(running.process.pid)
        if now != held or (tracer.attaches and not now):
            held, since = now, time.monotonic()
        if not tracer.ready and time.monotonic() > max(since + 0.5, running.started + 2):
            return
        time.sleep(0.05)
    said = (running.place / "said").read_text(errors="replace")
    raise RuntimeError(f"{tracer.name} did not attach: {said.strip()[-300:]}")


def attachments(pid: int) -> int:
    """How many tracepoints a process is attached to."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").glob("*"):  # of a process that has ended: none
        with contextlib.suppress(OSError):
            target = entry.readlink().name
            if "bpf" in target and "link" in target:
                # an iterator's is held for the moment in which it is begun
                count += "link_type:\titer" not in Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text()
            else:
                count += "perf_event" in target
    return count


def _swallow(screen: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(screen, 1 << 16):
            pass


def cpu_seconds(pid: int) -> float:
    """Seconds of CPU time that the process and its ended children have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def _of_recording(path: Path) -> dict[str, Any]:
    from sockscope.store import Reader

    with contextlib.closing(Reader(path)) as reader:
        health: dict[str, int] = {}
        connections = set()
        for batch in reader.batches():
            health = dict(batch.health.lost)
            connections.update(batch.connections["id"].tolist())
    return {"lost": health, "connections": len(connections), "bytes": path.stat().st_size}


def losses(tracer: Tracer, running: Running) -> dict[str, int] | None:
    """What the tracer says it lost; None when it says nothing of that."""
    recording = running.spent.get("recording")
    if recording is not None:
        return dict(recording["lost"])
    if tracer is LIVE:
        return dict(last_words(running)["lost"])
    reported = re.findall(r"[Ll]ost (\d+)|LOST (\d+)", running.spent["said"])  # bpftrace, perf trace
    return {"events": sum(int(one or other) for one, other in reported)} if reported else None


def last_words(running: Running) -> dict[str, Any]:
    """The line of JSON that the feed without a screen ends with."""
    reported: dict[str, Any] = json.loads(running.spent["said"].splitlines()[-1])
    return reported


def _sockscope(*words: str) -> Callable[[Serving, Path], list[str]]:
    def command(serving: Serving, place: Path) -> list[str]:
        given = [word.format(port=serving.port, place=place) for word in words]
        return [sys.executable, "-m", *given]

    return command


def _perf(serving: Serving, place: Path) -> list[str]:
    pids = ",".join(map(str, serving.pids()))
    return ["perf", "trace", "-e", _CALLS, "-o", "/dev/null", "-p", pids]


def _strace(serving: Serving, place: Path) -> list[str]:
    pids = [word for pid in serving.pids() for word in ("-p", str(pid))]
    return ["strace", "-f", "-qq", "-e", f"trace={_CALLS}", "-o", "/dev/null", *pids]


def _argdist(serving: Serving, place: Path) -> list[str]:
    return ["argdist-bpfcc", "-C", "t:sock:sock_recv_length():int:args->ret"]


def _bpftrace(serving: Serving, place: Path) -> list[str]:
    text = (HERE / "equivalent.bt").read_text()
    pids = " ".join(f"@server[{pid}] = 1;" for pid in serving.pids())
    script = place / "equivalent.bt"
    script.write_text(text.replace("PORT", str(serving.port), 3).replace("{ PIDS }", f"{{ {pids} }}"))
    return ["bpftrace", str(script)]


def _without_headers(place: Path) -> Mapping[str, str]:
    """bcc's tools ask for kernel headers; the few of them that need no kernel struct do with ours."""
    from sockscope.bpf.kernel_headers import write_stub_tree

    write_stub_tree(place / "headers")
    return {"BCC_KERNEL_SOURCE": str(place / "headers")}


UNTRACED = "untraced"
LIVE = Tracer("sockscope live", _sockscope("tests.benchmarks.headless", "{port}"), ready="attached")
#: Live mode with disabled signals, for the time in the probes.
LESS = tuple(
    Tracer(
        f"sockscope live --disable {signals}",
        _sockscope("tests.benchmarks.headless", "{port}", signals),
        ready="attached",
    )
    for signals in ("data-ready,wait,wake", "read,write,wait")
)
#: Right after it, so that the two are compared with each other.
HOOKS = Tracer(
    "hooks alone (empty programs)", _sockscope("tests.benchmarks.hooks_alone", "{port}"), ready="attached"
)
TRACERS = (
    LIVE,
    HOOKS,
    Tracer("sockscope live, with screen", _sockscope("sockscope", "live", "--port", "{port}"), screen=True),
    Tracer("sockscope record", _sockscope("sockscope", "record", "-o", "{place}/run.sockscope", "--port", "{port}")),
    Tracer(
        "sockscope record --events",
        _sockscope("sockscope", "record", "--events", "-o", "{place}/run.sockscope", "--port", "{port}"),
    ),
    Tracer("bpftrace, equivalent probes", _bpftrace, needs="bpftrace", stop=signal.SIGINT),
    Tracer(
        "bcc argdist, read results only",
        _argdist,
        needs="argdist-bpfcc",
        stop=signal.SIGINT,
        environment=_without_headers,
    ),
    Tracer("perf trace, 12 system calls", _perf, needs="perf", stop=signal.SIGINT),
    Tracer("strace -f, 12 system calls", _strace, needs="strace", stop=signal.SIGINT, attaches=False),
)  # fmt: skip
