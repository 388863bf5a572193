"""Measure recordings of ten million events and of a million connections, and reports on them."""

from __future__ import annotations

from pathlib import Path

from sockscope import formatting
from tests.recording.processes import Flood, Recorder, Spent, ahead_of_neighbours, measured

EVENTS, EVENTS_A_SECOND = 10_000_000, 1_000_000
CONNECTIONS = 1_000_000
#: What a report of either may take.
SECONDS, MEMORY_MB, HTML_BYTES = 10, 1000, 3_000_000

Rows = list[tuple[str, str]]


def ten_million_events(place: Path) -> Rows:
    """Record and report.

    :raises AssertionError: when one is lost or miscounted, or a report exceeds its limits
    """
    out = place / "events.sockscope"
    with ahead_of_neighbours():
        flood = Flood(place, "operations", EVENTS, EVENTS_A_SECOND)
        recorder = Recorder("-o", out, "--events", "--port", flood.port)
        before = recorder.cpu_s()
        done = flood.go()
        spent = recorder.cpu_s() - before
        peak, said = recorder.peak_mb(), recorder.end()
    assert "lost" not in said, said
    query = (
        "SELECT count(*) FILTER (kind = 'accept'), count(*) FILTER (kind = 'wait'),"
        " count(*) FILTER (kind = 'woken' AND result = 1), count(*) FILTER (kind = 'receive' AND result = 1),"
        " count(*) FILTER (kind = 'receive' AND result = -11), count(*) FILTER (kind = 'send')"
        " FROM events"
    )
    counted = measured("sql", out, query, "--format", "csv").said.splitlines()[1]
    truth = f"{done.accepts},{done.waits},{done.waits},{done.reads},{done.empty},{done.answers}"
    assert counted == truth, f"recorded {counted}, happened {truth}"
    timeline = measured("export", out, "--format", "timeline", "-o", place / "t.json.gz")
    return [
        (
            "events, identical in the count of the server and in the recording",
            formatting.count(done.connection_io),
        ),
        ("per second", formatting.count(done.connection_io / done.seconds)),
        ("lost", "0"),
        (
            "CPU time of the recorder",
            f"{spent:.1f} s of {done.seconds:.1f} s: {1e6 * spent / done.connection_io:.2f} µs per event",
        ),
        ("peak memory of the recorder (128 MB of it are the ring, mapped twice)", f"{peak:.0f} MB"),
        ("file size", _size(out, done.connection_io, "per event")),
        *_reports(place, out),
        ("timeline of the first 1,000,000 events", _took(timeline)),
    ]


def a_million_connections(place: Path) -> Rows:
    """Record and report.

    :raises AssertionError: when one is lost or miscounted, or a report exceeds its limits
    """
    out = place / "connections.sockscope"
    with ahead_of_neighbours():
        flood = Flood(place, "connections", CONNECTIONS)
        recorder = Recorder("-o", out, "--port", flood.port)
        before = recorder.cpu_s()
        done = flood.go()
        spent = recorder.cpu_s() - before
        peak, said = recorder.peak_mb(), recorder.end()
    assert "lost" not in said, said
    query = "SELECT count(*), count(*) FILTER (closed), count(DISTINCT id) FROM connections"
    counted = measured("sql", out, query, "--format", "csv").said.splitlines()[1]
    assert counted == f"{done.accepts},{done.accepts},{done.accepts}", counted
    return [
        (
            "connections, identical in the count of the server and in the recording",
            formatting.count(done.accepts),
        ),
        ("per second", formatting.count(done.accepts / done.seconds)),
        ("lost", "0"),
        (
            "CPU time of the recorder",
            f"{spent:.1f} s of {done.seconds:.1f} s: {1e6 * spent / done.accepts:.1f} µs per connection",
        ),
        ("peak memory of the recorder", f"{peak:.0f} MB"),
        ("file size", _size(out, done.accepts, "per connection")),
        *_reports(place, out),
    ]


def _reports(place: Path, out: Path) -> Rows:
    rows = []
    page = place / "report.html"
    for name, words in (("text", ()), ("HTML", ("--format", "html", "-o", page))):
        took = measured("report", out, *words)
        assert took.seconds <= SECONDS, f"the {name} report took {took.seconds:.1f} s"
        assert took.peak_mb <= MEMORY_MB, f"the {name} report took {took.peak_mb:.0f} MB"
        rows.append((f"report as {name}", _took(took)))
    assert page.stat().st_size <= HTML_BYTES, page.stat().st_size
    rows[-1] = (rows[-1][0], f"{rows[-1][1]}, a page of {formatting.size(page.stat().st_size)}")
    return rows


def _took(spent: Spent) -> str:
    return f"{spent.seconds:.1f} s, {spent.peak_mb:.0f} MB"


def _size(path: Path, number: int, each: str) -> str:
    octets = path.stat().st_size
    return f"{formatting.size(octets)}: {octets / number:.1f} bytes {each}"
