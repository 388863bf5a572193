"""Real servers under a real client: what the benchmarks put under each tracer."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import servers
from tests.servers import real_servers as real

CONNECTIONS = 32
_MILLISECONDS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


@dataclass(frozen=True)
class Load:
    """One run of the client: requests, how many a second, and the time in which 99 % were answered."""

    requests: int
    rate: float
    p99_ms: float | None


@dataclass(frozen=True)
class Serving:
    """A server under test."""

    port: int
    pids: Callable[[], list[int]]


@dataclass(frozen=True)
class Workload:
    """``serve`` starts the server; ``load`` drives it for so many seconds."""

    name: str
    serve: Callable[[], contextlib.AbstractContextManager[Serving]]
    load: Callable[[int, float], Load]


def wrk(port: int, seconds: float, *words: str, connections: int = CONNECTIONS) -> Load:
    """One thread of wrk: the machine has two CPUs, and the server wants them as well.

    wrk counts whole seconds.
    """
    said = _said(
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--latency", *words, f"http://127.0.0.1:{port}/"
    )  # fmt: skip
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", said)
    return Load(
        int(_found(r"(\d+) requests in", said)),
        float(_found(r"Requests/sec:\s+([\d.]+)", said)),
        float(p99[1]) * _MILLISECONDS[p99[2]] if p99 else None,
    )


def _close(port: int, seconds: float) -> Load:
    return wrk(port, seconds, "-H", "Connection: close")


def _memcaslap(port: int, seconds: float) -> Load:
    """libmemcached's client: one thread, nine gets for each set, for so long; it counts whole seconds."""
    said = _said(
        "memcaslap", f"--servers=127.0.0.1:{port}", f"--time={max(1, round(seconds))}s", "--threads=1",
        f"--concurrency={CONNECTIONS}",
    )  # fmt: skip
    return Load(int(_found(r"Ops: (\d+)", said)), float(_found(r"TPS: ([\d.]+)", said)), None)


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout + done.stderr


def _found(pattern: str, said: str) -> str:
    match = re.search(pattern, said)
    if match is None:
        raise RuntimeError(f"the client said nothing of {pattern}: {said[-300:]}")
    return next(group for group in match.groups() if group)


def _served(name: str) -> Callable[[], contextlib.AbstractContextManager[Serving]]:
    entry = next(entry for entry in real.REAL if entry.name == name)

    @contextlib.contextmanager
    def serve() -> Iterator[Serving]:
        with real.running(entry) as started:
            yield Serving(started.port, started.pids)

    return serve


@contextlib.contextmanager
def _reference() -> Iterator[Serving]:
    with servers.start("reuseport", workers=2) as server:
        yield Serving(server.port, lambda: [server.pid, *_children(server.pid)])


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(word) for word in task.read_text().split()]
    return found


KEEPALIVE = Workload("Nginx keep-alive", _served("nginx"), wrk)
CLOSE = Workload("Nginx, one connection per request", _served("nginx"), _close)
MEMCACHED = Workload("Memcached", _served("memcached"), _memcaslap)
REUSEPORT = Workload("reference server reuseport", _reference, wrk)

WORKLOADS = (KEEPALIVE, CLOSE, MEMCACHED, REUSEPORT)
