"""Who waits for a listener, thread by thread: each look compared with what /proc tells of the same moment."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import servers
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.conftest import wait_until
from tests.kernel.asleep import asleep_for
from tests.kernel.tracing import leaving_at_once
from tests.servers import real_clients as clients
from tests.servers.real_servers import REAL, Real, Started, running

pytestmark = pytest.mark.kernel

SERVERS = Path(__file__).parents[1] / "servers"
#: One arrival in sixteen is looked at.
ARRIVALS = 32
LOOKS = ARRIVALS // 16


Threads = set[tuple[int, int]]
UNNAMED: Threads = {(0, 0)}


@dataclass
class Looks:
    """What each look at a listener's wait queue found, and who slept for it just before the arrival."""

    session: LiveSession
    started: Started
    seen: list[Threads] = field(default_factory=list)
    true: list[Threads] = field(default_factory=list)
    _threads: dict[int, tuple[int, int]] = field(default_factory=dict)
    _waited: dict[int, int] = field(default_factory=dict)
    _looks: int = 0
    _inode: int = 0

    def asleep(self) -> Threads:
        """(pid, tid) of those who sleep for the listener now."""
        return asleep_for(self._inode, self.started.pids())

    def arrive(self, how_many: int, arrivals: int = ARRIVALS) -> None:
        """Let connections come one at a time, each when so many threads sleep for the listener."""
        self._read()
        for _ in range(arrivals):
            asleep: Threads = set()

            def rests() -> bool:
                nonlocal asleep
                asleep = self.asleep()
                return len(asleep) == how_many and self.asleep() == asleep

            wait_until(rests, what=f"that {how_many} threads sleep for the listener")
            clients.drive(self.started.port, self.started.real.talk, 1, 1)
            found = self._read()
            if found is not None:
                self.seen.append(found)
                self.true.append(asleep)

    def _read(self) -> Threads | None:
        """Who waited at a look since the last call; None: there was no look."""
        batch = self.session.batch()
        self._threads |= {int(one["id"]): (int(one["pid"]), int(one["tid"])) for one in batch.workers}
        self._inode = int(batch.listeners["inode"][0])
        before, self._looks = self._looks, int(batch.listeners["samples"][0])
        now = {int(row["worker"]): int(row["samples"]) for row in batch.waiting}
        waited, self._waited = self._waited, now
        assert self._looks - before in (0, 1)
        if self._looks == before:
            return None
        return {
            self._threads[worker] if worker else (0, 0)
            for worker, times in now.items()
            if times > waited.get(worker, 0)
        }


def _reference(wait: str, *more: str) -> Real:
    def prepare(_place: Path, port: int) -> list[str]:
        command = ["-m", "servers", "shared", f"--port={port}", "--workers=3", f"--wait={wait}"]
        return [sys.executable, *command, *more]

    root = str(Path(servers.__file__).parents[1])
    return Real("", "", "", (), (), prepare, "", environment={"PYTHONPATH": root})


def _python(way: str) -> Real:
    def prepare(_place: Path, port: int) -> list[str]:
        return [sys.executable, str(SERVERS / "ways_server.py"), way, str(port)]

    return Real("", "", "", (), (), prepare, "", talk=_word)


def _word(wire: clients.Wire) -> None:
    wire.send(b"word")
    assert wire.exactly(4) == b"word"


#: How the server is started, and how many of its threads sleep for the listener when nothing happens.
IDLE: dict[str, tuple[Real, int]] = {
    "blocked in accept": (_reference("accept"), 3),
    "epoll, all are woken": (_reference("epoll"), 3),
    "epoll, one is woken": (_reference("exclusive", "--threads"), 3),
    "an accept lock": (_reference("lock"), 1),
    "select": (_python("select"), 1),
    "poll": (_python("poll"), 1),
    "epoll in epoll": (_python("nested-epoll"), 1),
}
REAL_ONES = {
    "nginx": 2,
    "nginx-accept-mutex": 1,
    "apache-prefork": 4,
    "gunicorn-sync": 3,  # select
    "node-cluster-none": 3,
}


@contextlib.contextmanager
def looking(real: Real) -> Iterator[Looks]:
    with running(real) as started, leaving_at_once(LiveSession(Target(ports=(started.port,)))) as session:
        session.start()
        yield Looks(session, started)
        session.stop()


@pytest.mark.parametrize("how", IDLE)
def test_the_threads_that_wait_are_those_that_sleep(how: str) -> None:
    with looking(IDLE[how][0]) as looks:
        looks.arrive(IDLE[how][1])
    assert looks.seen == looks.true
    assert len(looks.seen) == LOOKS


@pytest.mark.parametrize("how", ["blocked in accept", "epoll, all are woken"])
def test_a_worker_that_is_busy_does_not_wait(how: str) -> None:
    """A stopped process sleeps in no call: it left accept, or epoll_wait, to be stopped."""
    with looking(IDLE[how][0]) as looks:
        looks.arrive(IDLE[how][1], 1)
        away = max(looks.asleep())[0]
        os.kill(away, signal.SIGSTOP)
        try:
            looks.arrive(IDLE[how][1] - 1)
        finally:
            os.kill(away, signal.SIGCONT)
    assert looks.seen == looks.true
    assert all(pid != away for waited in looks.seen[1:] for pid, _ in waited)


@pytest.mark.parametrize("way", ["once", "multishot", "polled"])
def test_a_thread_that_waits_for_a_ring_waits_for_what_the_ring_accepts(way: str, tmp_path: Path) -> None:
    binary = tmp_path / "ring_server"
    subprocess.run(["gcc", "-O2", "-o", str(binary), str(SERVERS / "ring_server.c")], check=True, timeout=60)
    real = Real("", "", "", (), (), lambda _, port: [str(binary), str(port), way], "", talk=_word)
    with looking(real) as looks:
        looks.arrive(1)
    if way == "polled":  # a kernel thread took the request in: that some wait is told, not who
        assert looks.seen == [UNNAMED] * LOOKS
    else:
        assert looks.seen == looks.true


@pytest.mark.parametrize("name", REAL_ONES)
def test_the_threads_of_a_real_server_that_wait_are_those_that_sleep(name: str) -> None:
    real = next(real for real in REAL if real.name == name)
    with looking(real) as looks:
        looks.arrive(REAL_ONES[name])
    assert looks.seen == looks.true
    assert len(looks.seen) == LOOKS
