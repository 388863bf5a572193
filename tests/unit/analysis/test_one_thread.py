"""Analysis is the work of one thread: the libraries below it must start no others that burn CPU time."""

from __future__ import annotations

import subprocess
import sys

_LOOK = """
import time
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from tests.synthetic import Scenario, SyntheticSource

source, state = SyntheticSource(Scenario("reuseport", 16, rate=40_000, lifetime_s=0.5)), State(5000)
for batch in source.batches(2):
    state.apply(batch)
snapshot = state.snapshot()
analyse(source.meta, snapshot)
time.sleep(0.1)  # who was woken by the first one has gone to sleep again
mine, everybodys = time.thread_time(), time.process_time()
for _ in range(8):
    analyse(source.meta, snapshot)
print((time.process_time() - everybodys) / (time.thread_time() - mine))
"""


def test_a_frame_of_many_connections_takes_the_cpu_time_of_one_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LOOK], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    # where OpenBLAS shares out a sum, its threads spin, one a CPU, and this is 2 on two CPUs
    assert float(done.stdout) < 1.3
