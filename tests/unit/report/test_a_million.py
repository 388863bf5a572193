"""A recording of a million connections: reports in at most 10 s and 1 GB, a page of at most 3 MB.

The seconds are those of CPU: reports are made by one thread, which on a free machine takes as long; how
long it took here, beside whatever else was running, is printed.

``make report-scale``: apart from the other tests, since it takes a minute.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sockscope.report import FORMATS
from sockscope.store import Writer
from tests.synthetic import Scenario, SyntheticSource

pytestmark = pytest.mark.slow

CONNECTIONS = 1_000_000
SECONDS, OCTETS, PAGE = 10, 1_000_000_000, 3_000_000


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("million") / "million.sockscope"
    source = SyntheticSource(Scenario("reuseport", workers=8, rate=20_000.0))
    seen = 0
    with Writer(path, source.meta) as writer:
        while seen < CONNECTIONS:
            batch = source.batch()
            writer.write(batch)
            seen += int((batch.connections["flags"] & 0x80 != 0).sum())
    return path


def measured(*words: object) -> tuple[float, int]:
    """Seconds of CPU and the most resident octets of a command."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "sockscope", *map(str, words)])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    print(f"\n{time.monotonic() - begun:.1f} s by the clock, ", end="")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


@pytest.mark.parametrize("form", [name for name, _ in FORMATS])
def test_each_report_is_quick_and_small(form: str, million: Path) -> None:
    out = million.with_suffix(f".{form}")
    seconds, octets = measured("report", million, "--format", form, "-o", out)
    print(
        f"{form}: {seconds:.1f} s of CPU, {octets / 1e6:.0f} MB resident, {out.stat().st_size / 1e6:.2f} MB written"
    )
    assert seconds <= SECONDS
    assert octets <= OCTETS
    if form == "html":
        assert out.stat().st_size <= PAGE
    if form == "json":
        document = json.loads(out.read_text())
        assert document["meta"]["connections_total"] >= CONNECTIONS
        assert len(document["connections"]) == 10_000


def test_two_of_them_are_compared(million: Path) -> None:
    seconds, octets = measured(
        "compare", million, million, "--format", "html", "-o", million.with_suffix(".cmp")
    )
    print(f"compare: {seconds:.1f} s of CPU, {octets / 1e6:.0f} MB resident")
    assert seconds <= 2 * SECONDS
    assert octets <= 1.5 * OCTETS


def test_a_fleet_of_five_hundred_hosts_is_reported(tmp_path: Path) -> None:
    source = SyntheticSource(Scenario("reuseport", workers=8, rate=2_000.0))
    path = tmp_path / "one.sockscope"
    with Writer(path, source.meta) as writer:
        for batch in source.batches(6):
            writer.write(batch)
    measured("export", path, "-o", tmp_path / "one")
    for number in range(500):
        folder = tmp_path / "fleet" / f"host=web-{number}"
        folder.mkdir(parents=True)
        for file in (tmp_path / "one").iterdir():
            os.link(file, folder / file.name)
    out = tmp_path / "fleet.html"
    seconds, octets = measured("report", tmp_path / "fleet", "--format", "html", "-o", out)
    print(
        f"fleet of 500: {seconds:.1f} s of CPU, {octets / 1e6:.0f} MB resident, {out.stat().st_size / 1e6:.2f} MB written"
    )
    assert seconds <= SECONDS
    assert octets <= OCTETS
    assert out.stat().st_size <= PAGE
