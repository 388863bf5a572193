"""Measure requests per second with and without recording."""

from __future__ import annotations

import re
import statistics
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sockscope.store import Reader
from tests.conftest import wait_until
from tests.recording.processes import Recorder

ROUNDS, SECONDS = 5, 3
PORT = 18_473
VARIANTS: dict[str, tuple[str, ...] | None] = {
    "not recorded": None,
    "record": (),
    "record --events": ("--events",),
}


def of_the_server(place: Path) -> list[tuple[str, str]]:
    """:raises AssertionError: when an event was lost"""
    rates: dict[str, list[float]] = defaultdict(list)
    counts: list[float] = []
    probes: dict[str, list[float]] = defaultdict(list)
    with _nginx(place):
        _wrk(1)  # warm
        for number in range(ROUNDS):
            for name, words in VARIANTS.items():
                if words is None:
                    rates[name].append(_wrk(SECONDS))
                    continue
                out = place / f"{number}{len(words)}.sockscope"
                recorder = Recorder("-o", out, *words, "--port", PORT)
                rates[name].append(_wrk(SECONDS))
                said = recorder.end()
                assert "lost" not in said, said
                if words:
                    counts.append(out.stat().st_size)
                with Reader(out) as reader:
                    cost = reader.final_batch().health.cost
                probes[name].append(cost.probe_ns / max(cost.probe_runs, 1))
    rows = []
    for name in VARIANTS:
        ratios = [rate / plain for rate, plain in zip(rates[name], rates["not recorded"], strict=True)]
        spread = f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}"
        figure = f"{statistics.median(rates[name]):,.0f} requests/s ({spread})"
        if name != "not recorded":
            figure += f": {statistics.median(ratios):.2f} of the untraced rate (median of rounds)"
            figure += f"; {statistics.median(probes[name]):.0f} ns per probe by BPF statistics"
        rows.append((name, figure))
    rows.append(("size of a recording of 3 s with `--events`", f"{statistics.median(counts) / 1e6:.1f} MB"))
    return rows


@contextmanager
def _nginx(place: Path) -> Iterator[None]:
    place.chmod(0o755)
    (place / "nginx.conf").write_text(
        f"worker_processes 2; pid {place}/pid; error_log stderr; daemon off;\n"
        "events { worker_connections 512; }\n"
        f"http {{ access_log off; keepalive_requests 1000000; server {{ listen 127.0.0.1:{PORT} backlog=511;"
        " location / { return 200 'hello'; } } }\n"
    )
    with subprocess.Popen(
        ["nginx", "-c", f"{place}/nginx.conf", "-p", str(place)], stderr=subprocess.DEVNULL
    ) as server:
        try:
            wait_until((place / "pid").exists, what="nginx's start")
            time.sleep(0.3)  # its workers begin to listen a little later than it writes its number
            yield
        finally:
            server.terminate()


def _wrk(seconds: int) -> float:
    command = ["wrk", "-t1", "-c32", f"-d{seconds}s", f"http://127.0.0.1:{PORT}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found, said
    return float(found[1])
