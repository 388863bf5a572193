"""Faults of the tracer itself: killed, stopped, starved, out of memory and disk, one of two."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import servers
from tests.conftest import wait_until
from tests.faults.conftest import ReportOutcome
from tests.faults.replying import ask
from tests.faults.stand import held_in_the_kernel, is_in_the_kernel, lost, replying, wrong
from tests.kernel.command import ROOT, begin, one_line, report, run, until_tracing
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel


def _newest(directory: Path) -> float:
    return max(path.stat().st_mtime for path in directory.iterdir())


def _ends(recorder: subprocess.Popen[str], within_s: float = 30) -> str:
    """Interrupt it; what it said to the end."""
    recorder.send_signal(signal.SIGINT)
    _, said = recorder.communicate(timeout=within_s)
    assert recorder.returncode == 0, said
    return said


def _kill_one(tmp_path: Path, port: int, connections: int, after_s: float) -> None:
    """Trace, load, kill -9 once a batch is on the disk and some time has passed; look at what is left."""
    out = tmp_path / "run.sockscope"
    recorder = begin("record", "-f", "-o", out, "--port", port)
    until_tracing(recorder)
    held = held_in_the_kernel(recorder.pid)
    assert {kind for kind, _ in held} >= {"prog_id", "map_id", "link_id"}
    load(port, "--connections", connections)
    loaded = time.time()
    wait_until(lambda: _newest(tmp_path) > loaded, what="a batch on the disk")
    time.sleep(after_s)  # the moment is what is varied, not a condition
    recorder.kill()
    recorder.communicate(timeout=20)
    wait_until(
        lambda: not any(is_in_the_kernel(*one) for one in held),
        what="the kernel's giving up of programs, maps and links",
    )
    assert len(report(out)["connections"]) == connections


def test_killed_tracer_leaves_nothing_in_the_kernel_and_a_readable_file(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    with servers.start("shared", workers=2) as server:
        _kill_one(tmp_path, server.port, 300, 0.0)
        load(server.port, "--connections", 100)  # the server noticed nothing
    report_outcome(
        "tracer: kill -9",
        "every program, map and link removed; all connections of the last batch in the file",
    )


@pytest.mark.slow
def test_tracer_killed_at_a_random_moment_leaves_nothing_in_the_kernel(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    chance = random.Random(1)
    with servers.start("shared", workers=2) as server:
        for _ in range(10):
            _kill_one(tmp_path, server.port, 100, chance.random())
    report_outcome("tracer: kill -9, at random moments", "nothing left, each file readable", 10)


@pytest.mark.parametrize("pages", [1, pytest.param(4096, marks=pytest.mark.slow)])
def test_events_during_a_stopped_tracer_are_recorded_or_counted(
    pages: int, tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out = tmp_path / "run.sockscope"
    with servers.start("shared", workers=2) as server:
        recorder = begin("record", "-o", out, "--port", server.port, "--map-size", f"closed_pages={pages}")
        until_tracing(recorder)
        recorder.send_signal(signal.SIGSTOP)
        load(server.port, "--connections", 1500, "--concurrency", 32)
        recorder.send_signal(signal.SIGCONT)
        said = _ends(recorder)
    seen = report(out)
    missing = lost(seen)
    assert len(seen["connections"]) + missing == 1500
    assert sum(worker["accepts"] for worker in seen["workers"]) == 1500  # these are not in the ring
    assert (missing > 0) == (pages == 1)
    assert ("lost: " in said) == (pages == 1)
    room = "ring of one page" if pages == 1 else "ring of the default size"
    report_outcome(
        f"tracer: stopped during 1,500 connections, {room}",
        f"{1500 - missing:,} recorded, {missing:,} counted as lost and reported",
    )


@contextmanager
def _hogs() -> Iterator[None]:
    """Two busy loops on each CPU."""
    many = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for hog in many:
            hog.kill()
            hog.wait()


@pytest.mark.slow
def test_starved_tracer_accounts_for_every_connection(tmp_path: Path, report_outcome: ReportOutcome) -> None:
    out = tmp_path / "run.sockscope"
    with servers.start("shared", workers=2) as server:
        recorder = begin("record", "-o", out, "--port", server.port, prefix=("chrt", "-i", "0"))
        until_tracing(recorder)
        with _hogs():
            load(server.port, "--connections", 5000, "--concurrency", 32)
            before = time.monotonic()
            recorder.send_signal(signal.SIGINT)
            time.sleep(2)
        recorder.communicate(timeout=60)
        took = time.monotonic() - before
    assert recorder.returncode == 0
    seen = report(out)
    assert len(seen["connections"]) + lost(seen) == 5000
    report_outcome(
        "tracer: SCHED_IDLE with two busy loops per CPU",
        f"{len(seen['connections']):,} recorded, {lost(seen):,} counted as lost; ended {took:.1f} s after Ctrl-C",
    )


def test_too_little_address_space_is_a_one_line_error(tmp_path: Path, report_outcome: ReportOutcome) -> None:
    for megabytes in (60, 130, 330):
        limited = ("prlimit", f"--as={megabytes * 1_000_000}")
        done = run("report", ROOT / "docs" / "recordings" / "straggler.sockscope", prefix=limited)
        one_line(done, 1, "the address space is limited to")
    report_outcome("tracer: RLIMIT_AS of 60, 130, 330 MB", "one line that names the limit", 3)


def _recording_of(tmp_path: Path, out: Path, port: int) -> subprocess.Popen[str]:
    """Start a recorder and wait until a batch with 100 connections is on disk."""
    recorder = begin("record", "-o", out, "--port", port, "--events")
    until_tracing(recorder)
    load(port, "--connections", 100)
    loaded = time.time()
    wait_until(lambda: _newest(tmp_path) > loaded, what="a batch on the disk")
    return recorder


@pytest.mark.slow
def test_memory_exhaustion_ends_with_one_line_and_a_readable_file(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    """It is interrupted besides, often while it is about to end: the line is said all the same."""
    outcomes = []
    with servers.start("shared", workers=2) as server:
        for spare in (0, 1, 2, 4, 8, 16, 32, 128):
            out = tmp_path / f"{spare}.sockscope"
            recorder = _recording_of(tmp_path, out, server.port)
            pages = int(Path(f"/proc/{recorder.pid}/statm").read_text().split()[0])
            room = pages * resource.getpagesize() + spare * 1_000_000
            resource.prlimit(recorder.pid, resource.RLIMIT_AS, (room, room))
            for _ in range(2):
                load(server.port, "--connections", 3000, "--concurrency", 500)
            recorder.send_signal(signal.SIGINT)
            _, said = recorder.communicate(timeout=60)
            assert recorder.returncode in (0, 1), said
            if recorder.returncode == 1:
                assert "not enough memory" in said
                assert len(said.splitlines()) == 1, said
            seen = report(out)
            assert len(seen["connections"]) >= 100
            outcomes.append(recorder.returncode)
            if recorder.returncode == 0:
                assert sum(worker["accepts"] for worker in seen["workers"]) == 6100
    assert 1 in outcomes
    report_outcome(
        "tracer: 0 to 128 MB of free memory, under load",
        f"{outcomes.count(1)} ended with one line and a readable file, {outcomes.count(0)} continued, exact",
        len(outcomes),
    )


@contextmanager
def _memory_group(megabytes: int) -> Iterator[Path]:
    """A control group of so much memory: its folder, of either version of them."""
    first = Path("/sys/fs/cgroup/memory")
    place = (first if first.is_dir() else Path("/sys/fs/cgroup")) / f"sockscope-{os.getpid()}"
    if not first.is_dir():
        (place.parent / "cgroup.subtree_control").write_text("+memory")
    place.mkdir()
    try:
        limit = place / ("memory.limit_in_bytes" if first.is_dir() else "memory.max")
        limit.write_text(str(megabytes * 1_000_000))
        yield place
    finally:
        wait_until(lambda: not (place / "cgroup.procs").read_text(), what="the group's last process")
        place.rmdir()


#: Begins in the control group whose list of processes is named, takes memory there until none is left.
_GREEDY = (
    "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); open('/proc/self/oom_score_adj', 'w')"
    ".write('-999'); sys.stdin.readline(); kept = [b'x' * 1_000_000 for _ in range(int(sys.argv[2]))]; "
    "sys.stdin.readline()"
)


@pytest.mark.slow
def test_tracer_killed_by_the_oom_killer_loses_only_the_last_second(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out, megabytes = tmp_path / "run.sockscope", 400
    answered: list[tuple[float, str]] = []
    with replying("one") as (_, port), _memory_group(megabytes) as group:
        greedy = [sys.executable, "-c", _GREEDY, str(group / "cgroup.procs"), str(megabytes)]
        with subprocess.Popen(greedy, stdin=subprocess.PIPE, text=True) as other:
            assert other.stdin
            recorder = begin("record", "-o", out, "--port", port)
            (group / "cgroup.procs").write_text(str(recorder.pid))
            until_tracing(recorder)
            Path(f"/proc/{recorder.pid}/oom_score_adj").write_text("1000")
            held = held_in_the_kernel(recorder.pid)
            begun, full_s = time.monotonic(), 0.0
            while recorder.poll() is None and time.monotonic() - begun < 60:
                answered.append((time.monotonic(), ask(port, 5).remote))
                if not full_s and time.monotonic() - begun > 3:
                    full_s = time.monotonic()
                    other.stdin.write("\n")
                    other.stdin.flush()
            died = time.monotonic()
            other.stdin.close()
            assert recorder.wait(timeout=20) == -signal.SIGKILL
    wait_until(lambda: not any(is_in_the_kernel(*one) for one in held), what="the kernel's giving up")
    recorded_peers = {row["remote"] for row in report(out, connections=len(answered))["connections"]}
    missing = [when for when, remote in answered if remote not in recorded_peers]
    assert len(answered) >= 1000
    lacking_s = died - min(missing, default=died)
    assert lacking_s < 1.0 + died - full_s  # while memory runs out, every process of the cgroup is stopped
    report_outcome(
        "tracer: killed by the OOM killer of its cgroup, under load",
        f"a readable file without the last {lacking_s:.2f} s, {died - full_s:.2f} s of them without "
        "memory; nothing left in the kernel",
    )


@pytest.mark.slow
def test_full_disk_ends_with_one_line_and_a_readable_file(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    outcomes = []
    with servers.start("shared", workers=2) as server:
        for kilobytes in (64, 512, 1100, 1300, 1500, 2000, 3000):
            place = tmp_path / str(kilobytes)
            place.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", place], check=True)
            try:
                out = place / "run.sockscope"
                recorder = begin("record", "-o", out, "--port", server.port, "-d", "3")
                load(server.port, "--connections", 6000, "--concurrency", 64)
                _, said = recorder.communicate(timeout=60)
                assert "Traceback" not in said, said
                assert recorder.returncode in (0, 1), said
                if recorder.returncode == 1:
                    assert "disk is full" in said or "no space" in said, said
                if out.exists():
                    done = run("report", out)
                    assert "Traceback" not in done.stderr
                    assert done.returncode in (0, 1), done.stderr
                    outcomes.append(done.returncode == 0 or "has no data" in done.stderr)
                    assert outcomes[-1], done.stderr
                else:
                    outcomes.append(True)
            finally:
                subprocess.run(["umount", place], check=True)
    report_outcome("tracer: a file system of 64 kB to 3 MB under load", "one line, and a readable file or none",
         len(outcomes))  # fmt: skip


@pytest.mark.slow
def test_two_concurrent_tracers_agree_and_are_independent(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    with replying("one") as (_, port):
        both = [begin("record", "-o", tmp_path / f"{which}.sockscope", "--port", port) for which in "ab"]
        for recorder in both:
            until_tracing(recorder)
        answers = [ask(port, 1 + number % 7) for number in range(100)]
        _ends(both[0])
        answers_after = [ask(port, 1 + number % 7) for number in range(100)]
        _ends(both[1])
    assert wrong(report(tmp_path / "a.sockscope"), answers) == []
    assert wrong(report(tmp_path / "b.sockscope"), answers + answers_after) == []
    report_outcome(
        "two tracers at once, one ends first", "both agree with the server on every connection", 200
    )
