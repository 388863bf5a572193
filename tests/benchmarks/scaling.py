"""How cost grows: with the request rate, with connections, threads and listeners.

Connections and threads are put into the kernel's maps from here, as the probes would: a million real
ones would measure the machine's memory for sockets.  Rates and listeners are real.
"""

from __future__ import annotations

import mmap
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.records import layout
from sockscope.records.batch import Batch
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes
from tests.benchmarks.tracers import LIVE, at_work, last_words
from tests.benchmarks.workloads import KEEPALIVE, wrk

Row = dict[str, Any]
_PORT = 9  # nobody listens there
_TICKS = 5


def rates(seconds: float) -> Iterator[Row]:
    """Nginx at several rates; wrk pauses each connection for so many milliseconds."""
    with KEEPALIVE.serve() as serving:
        for connections, pause_ms in ((32, 32), (32, 6), (32, 1), (64, 1), (32, 0)):
            with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
                script.write(f"function delay() return {pause_ms} end")
                script.flush()
                pause = ("-s", script.name) if pause_ms else ()
                with at_work(LIVE, serving) as running:
                    load = wrk(serving.port, seconds, *pause, connections=connections)
            values = last_words(running)
            yield {
                "rate": load.rate,
                "busy": values["busy"],
                "ticks": values["ticks"],
                "lost": values["lost"],
            }


def connections(counts: tuple[int, ...]) -> Iterator[Row]:
    for count in counts:
        with LiveSession(Target(ports=(_PORT,)), MapSizes(connections=count)) as session:
            program = session._source._program
            listener = np.zeros(1, layout.LISTENER)
            listener["id"], listener["inode"], listener["port"], listener["family"] = 1, 1, _PORT, 4
            program.maps["listeners"].put(1, listener[0])
            with _written(program, "connections", layout.CONNECTION, count) as records:
                now = time.monotonic_ns()
                records["id"] = np.arange(1, count + 1)
                for name in ("established_ns", "accepted_ns", "first_read_ns", "touched_ns"):
                    records[name] = now
                records["listener"], records["acceptor"], records["family"] = 1, 1, 4
                records["local_port"], records["remote_port"] = _PORT, np.arange(count) % 65536
                records["io"]["worker"][:, 0] = 1 + np.arange(count) % 8
                records["io"]["reads"][:, 0] = 1
                yield {"connections": count, "kernel_bytes": kernel_memory(), **_ticks(session, records)}


def threads(counts: tuple[int, ...]) -> Iterator[Row]:
    for count in counts:
        with LiveSession(Target(ports=(_PORT,)), MapSizes(workers=count)) as session:
            program = session._source._program
            with _written(program, "workers", layout.WORKER, count) as records:
                records["id"] = np.arange(1, count + 1)
                records["pid"] = os.getpid()
                records["tid"] = np.arange(1, count + 1)
                records["touched_ns"] = time.monotonic_ns()
                yield {"threads": count, "kernel_bytes": kernel_memory(), **_ticks(session, records)}


def listeners(counts: tuple[int, ...]) -> Iterator[Row]:
    """Real listening sockets of one process, which does nothing else."""
    for count in counts:
        with _listening(count) as pid:
            began = time.process_time()
            with LiveSession(Target(pids=(pid,)), MapSizes(listeners=max(64, count))) as session:
                found = session.start()
                start_s = time.process_time() - began
                yield {"listeners": count, "seen": found, "start_s": start_s, **_ticks(session, None)}


_LISTEN = """
import resource, socket, sys
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
held = []
for _ in range(int(sys.argv[1])):
    held.append(socket.socket())
    held[-1].bind(("127.0.0.1", 0))
    held[-1].listen()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def _listening(count: int) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-c", _LISTEN, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{count} listeners could not be opened")
        yield process.pid
    finally:
        process.communicate()


@contextmanager
def _written(program: Any, name: str, record: Any, count: int) -> Iterator[Any]:
    """The array of records in the kernel, for us to write; so many places count as used."""
    fd = program.places[name]._fd
    size = -(-count * record.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
    program.maps["slots_used"].put({"connections": 0, "workers": 1}[name], count)
    yield np.frombuffer(mmap.mmap(fd, size), record, count)


def _peak_resident() -> int:
    """Return the peak in bytes, since the last reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _ticks(session: LiveSession, records: Any) -> Row:
    """The first tick, which meets all at once, and then the usual one, a tenth of it changed."""
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak: proc_pid_clear_refs(5)
    state = State(5000)
    state.started_at(session.meta.started_ns)
    first, found = _tick(session, state)
    usual, changed = [], 0
    for _ in range(_TICKS):
        time.sleep(0.06)  # what was read a moment before would be read again
        if records is not None:
            records["touched_ns"][::10] = time.monotonic_ns()
        tick, changed = _tick(session, state)
        usual.append(tick)
    middle = sorted(usual, key=lambda tick: sum(tick.values()))[len(usual) // 2]
    return {
        "first": first,
        "usual": middle,
        "peak_resident": _peak_resident(),
        "found": {"first": found, "usual": changed},
    }


def _tick(session: LiveSession, state: State) -> tuple[dict[str, float], int]:
    times = [time.process_time()]
    batch: Batch = session.batch()
    times.append(time.process_time())
    state.apply(batch)
    snapshot = state.snapshot()
    times.append(time.process_time())
    analyse(session.meta, snapshot)
    times.append(time.process_time())
    values = dict(zip(("read_s", "model_s", "analysis_s"), np.diff(times).tolist(), strict=True))
    return values, len(batch.connections) or len(batch.workers)


def kernel_memory() -> int:
    """Bytes that the kernel charges for all BPF maps that this process holds."""
    maps: dict[int, int] = {}  # by number: a mapped one is held by two descriptors
    for entry in Path("/proc/self/fdinfo").iterdir():
        try:
            values = dict(re.findall(r"^(\w+):\s+(\d+)", entry.read_text(), re.MULTILINE))
        except OSError:
            continue
        if "map_id" in values:
            maps[int(values["map_id"])] = int(values["memlock"])
    return sum(maps.values())


def help_seconds() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "sockscope", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def start_seconds(seconds: float) -> tuple[float, float]:
    """From the command to the first connection in a frame: by the clock, and of a CPU."""
    with KEEPALIVE.serve() as serving:
        # open connections with little traffic: the start is measured, not who else wants the CPUs
        with ExitStack() as clients:
            for _ in range(4):
                clients.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
            with at_work(LIVE, serving) as running:
                time.sleep(seconds)
        values = last_words(running)
        return float(values["first"]) - running.started, float(values["first_cpu"])
