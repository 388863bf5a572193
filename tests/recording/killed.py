"""A recorder that is killed at any moment: what it leaves can be read, and lacks at most the last second."""

from __future__ import annotations

import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import servers
from sockscope.session.frames import frame_of_recording
from sockscope.store import Reader
from tests.recording.processes import ROOT, Recorder

TIMES = 50
#: A batch comes in half a second; making and committing one takes the rest at most.
MISSING_AT_MOST_S = 1.0


def fifty_times(place: Path, times: int = TIMES, seed: int | None = None) -> list[tuple[str, str]]:
    """:raises AssertionError: when a file cannot be read, or lacks more than the last batch"""
    chosen = random.Random(seed)
    missing: list[float] = []
    with servers.start("reuseport", workers=2) as server:
        command = [sys.executable, "-m", "servers.load", "--connect", f"127.0.0.1:{server.port}"]
        options = ["--connections", "100000000", "--concurrency", "4", "--requests", "2"]
        with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, cwd=ROOT) as load:
            try:
                for number in range(times):
                    missing.append(_killed(place / f"{number}", server.port, chosen.uniform(0, 2.2)))
            finally:
                load.terminate()
    assert max(missing) <= MISSING_AT_MOST_S, f"{max(missing):.2f} s are missing"
    return [
        ("killed and readable", f"{times} of {times}"),
        (
            "longest time missing before the kill",
            f"{max(missing):.2f} s (median {statistics.median(missing):.2f} s)",
        ),
    ]


def _killed(out: Path, port: int, after_s: float) -> float:
    """How much is missing: from the last batch (or the beginning) to the kill."""
    recorder = Recorder("-o", out, "--port", port)
    begun = time.monotonic_ns()
    time.sleep(after_s)
    killed = time.monotonic_ns()
    recorder.process.send_signal(signal.SIGKILL)
    recorder.process.communicate(timeout=20)
    with Reader(out) as reader:
        times = [batch.time_ns for batch in reader.batches()]
        last = times[-1] if times else begun
        assert times == sorted(times), "batches out of order"
    if times:
        frame = frame_of_recording(out)
        assert frame.servers, "a server under load is not in it"
        assert frame.snapshot.health.lost == (), frame.snapshot.health.lost
    return (killed - last) / 1e9
