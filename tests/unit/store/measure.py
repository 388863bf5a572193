"""What recording and reading cost here: ``python -m tests.unit.store.measure [TICKS [PER_TICK]]``.

Prints the figures of docs/recording-schema.md: rows a second, resident memory beyond what was there before,
bytes a connection on disk, seconds to read.  Each step runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sockscope.records.batch import THREAD_CPU, Batch, Meta
from sockscope.records.layout import CONNECTION, WORKER

OPEN = 10_000
WORKERS = 16


def memory_mb() -> dict[str, int]:
    """Resident memory now and at its peak."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) // 1000 for name in ("VmRSS", "VmHWM")}


class Clock:
    """How long it took since this was made."""

    def __init__(self) -> None:
        self._begun, self._spent = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        return f"{time.perf_counter() - self._begun:.1f} s ({time.process_time() - self._spent:.1f} s of CPU)"


class Load:
    """Batches as a busy server gives them: connections that closed, open ones that did something."""

    def __init__(self, per_tick: int) -> None:
        generator = np.random.default_rng(1)
        count = per_tick + OPEN // 2
        rows = self._connections = np.zeros(count, CONNECTION)
        rows["id"] = np.arange(count)
        rows["established_ns"] = 10**15 + np.sort(generator.integers(0, 10**9, count))
        before = rows["established_ns"]
        for name in ("accepted", "first_data", "first_read", "first_write", "ending", "closed"):
            before = rows[f"{name}_ns"] = before + generator.integers(1_000, 300_000, count).astype(np.uint64)
        rows["touched_ns"] = rows["closed_ns"]
        rows["data_wait_max_ns"] = generator.integers(1_000, 1_000_000, count)
        rows["listener"] = 1
        rows["acceptor"] = rows["io"][:, 0]["worker"] = generator.integers(1, WORKERS + 1, count)
        for name in ("local", "remote"):
            rows[name][:, 10:12] = 255
            rows[name][:, 12] = 10
        rows["remote"][:, 13:] = generator.integers(0, 256, (count, 3))
        rows["local_port"] = 80
        rows["remote_port"] = generator.integers(1024, 65536, count)
        rows["flags"] = 0x80
        rows["family"] = 4
        for name in ("established_cpu", "accepted_cpu", "first_read_cpu"):
            rows[name] = generator.integers(0, 8, count)
        for name in ("reads", "bytes_read", "writes", "bytes_written"):
            rows["io"][:, 0][name] = generator.integers(1, 5_000, count)
        rows["closed_ns"][per_tick:] = 0
        self._per_tick = per_tick
        self._workers = np.zeros(WORKERS, WORKER)
        self._workers["id"] = np.arange(1, WORKERS + 1)
        self._threads = np.zeros(WORKERS, THREAD_CPU)

    def batch(self, tick: int) -> Batch:
        """The next batch; arrays are those of the one before."""
        rows = self._connections
        rows["id"][: self._per_tick] += np.uint64(self._per_tick)
        for name in ("established_ns", "accepted_ns", "first_data_ns", "first_read_ns", "first_write_ns"):
            rows[name][: self._per_tick] += np.uint64(10**9)
        rows["closed_ns"][: self._per_tick] += np.uint64(10**9)
        rows["touched_ns"] += np.uint64(10**9)
        for name in ("queue_wait", "data_wait", "answer", "stall"):
            self._workers[name][:, 20:50] += np.uint32(tick % 7)
        return Batch(10**15 + tick * 10**9, connections=rows, workers=self._workers, threads=self._threads)


def record(path: str, ticks: str, per_tick: str) -> None:
    """Write batches, and tell what it took."""
    load = Load(int(per_tick))
    load.batch(0)
    before = memory_mb()
    from sockscope.store import Writer

    meta = Meta("host", "6.1", "0", "", "", 2, 0, 0, ())
    begun = time.perf_counter()
    writer = Writer(path, meta)
    opened = time.perf_counter() - begun
    resident, spent, longest = [], time.process_time(), 0.0
    for tick in range(int(ticks)):
        batch = load.batch(tick)
        begun = time.perf_counter()
        writer.write(batch)
        writer.commit()
        longest = max(longest, time.perf_counter() - begun)
        resident.append(memory_mb()["VmRSS"])
    writer.close()
    spent = time.process_time() - spent
    rows = int(ticks) * len(load.batch(0).connections)
    size = Path(path).stat().st_size
    half = resident[len(resident) // 2 :]
    print(
        f"wrote {rows:,} connection rows in {spent:.1f} s of CPU: {rows / spent:,.0f} rows/s,"
        f" longest tick {longest:.2f} s, opened in {opened:.2f} s\n"
        f"resident beyond the {before['VmRSS']} MB before: median {sorted(half)[len(half) // 2] - before['VmRSS']} MB,"
        f" last {resident[-1] - before['VmRSS']} MB, peak {memory_mb()['VmHWM'] - before['VmHWM']} MB\n"
        f"{size / 1e6:,.1f} MB on disk: {size / rows:.0f} bytes a row"
    )


def replay(path: str) -> None:
    """Read every batch."""
    from sockscope.store import Reader

    before, begun = memory_mb(), Clock()
    with Reader(path) as reader:
        rows = sum(len(batch.connections) for batch in reader.batches())
    print(f"replayed {rows:,} rows in {begun}, peak {_grown(before)} MB more")


def final(path: str) -> None:
    """Fold all into one batch."""
    from sockscope.store import Reader

    before, begun = memory_mb(), Clock()
    with Reader(path) as reader:
        rows = len(reader.final_batch().connections)
    print(f"folded to {rows:,} connections in {begun}, peak {_grown(before)} MB more")


def view(path: str) -> None:
    """Ask the view of connections for all that a table of the slowest needs."""
    from sockscope.store import Reader

    before, begun = memory_mb(), Clock()
    with Reader(path) as reader:
        reader.connection().execute(
            "SELECT * FROM connections ORDER BY queue_wait_ns DESC LIMIT 20"
        ).fetchall()
    print(f"20 slowest by the view in {begun}, peak {_grown(before)} MB more")


def _grown(before: dict[str, int]) -> int:
    return memory_mb()["VmHWM"] - before["VmHWM"]


STEPS = {step.__name__: step for step in (record, replay, final, view)}


def main() -> None:
    """Run each step in a process of its own."""
    if sys.argv[1:2] and sys.argv[1] in STEPS:
        STEPS[sys.argv[1]](*sys.argv[2:])
        return
    ticks, per_tick = ([*sys.argv[1:], "50", "20000"][:2]) if len(sys.argv) != 2 else (sys.argv[1], "20000")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "recording.duckdb"))
        for name in STEPS:
            arguments = [path, ticks, per_tick] if name == "record" else [path]
            subprocess.run([sys.executable, "-m", "tests.unit.store.measure", name, *arguments], check=True)


if __name__ == "__main__":
    main()
