"""Threads: their times, and what they are blocked in."""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockscope.host import threads as module
from sockscope.host.threads import ThreadClocks, blocked_in, threads
from sockscope.records.batch import THREAD_CPU
from tests.conftest import wait_until

#: An emulated machine is slow, and that is no fault.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

READ = {"x86_64": 0, "aarch64": 63}.get(platform.machine())


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The tid of a thread of ours that is blocked in read()."""
    reading, writing = os.pipe()
    tids: list[int] = []

    def body() -> None:
        tids.append(threading.get_native_id())
        os.read(reading, 1)

    thread = threading.Thread(target=body)
    thread.start()
    while not tids:
        time.sleep(0.001)
    time.sleep(0.05)
    yield tids[0]
    os.write(writing, b"x")
    thread.join()
    os.close(reading)
    os.close(writing)


def test_all_threads_are_told_with_name_and_start(sleeper: int) -> None:
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    told = {thread.tid: thread for thread in threads(os.getpid())}
    assert {os.getpid(), sleeper} <= told.keys()
    assert told[os.getpid()].comm == Path("/proc/self/comm").read_text().removesuffix("\n")
    assert told[os.getpid()].start_ns <= told[sleeper].start_ns <= now
    assert now - told[sleeper].start_ns < 60e9


def test_what_a_thread_is_blocked_in_is_a_system_call_number(sleeper: int) -> None:
    if not Path("/proc/self/syscall").exists():
        pytest.skip("this kernel does not tell")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as cat:
        wait_until(lambda: blocked_in(cat.pid, cat.pid) == READ)
        cat.kill()
    assert blocked_in(cat.pid, cat.pid) is None  # it is gone
    with subprocess.Popen([sys.executable, "-Sc", "while True: pass"]) as spinning:
        wait_until(lambda: blocked_in(spinning.pid, spinning.pid) is None)
        spinning.kill()


@pytest.mark.parametrize(
    ("line", "number"), [("running\n", None), ("-1 0x7ffd 0x7f3\n", None), ("", None), ("202 0x1 0x2\n", 202)]
)
def test_every_form_of_the_line_is_understood(tmp_path: Path, line: str, number: int | None) -> None:
    (tmp_path / "1" / "task" / "2").mkdir(parents=True)
    (tmp_path / "1" / "task" / "2" / "syscall").write_text(line)
    assert blocked_in(1, 2, str(tmp_path)) == number


def test_times_grow_with_the_work_of_the_thread_that_did_it(sleeper: int) -> None:
    with ThreadClocks() as clocks:
        before = {row["tid"]: row for row in clocks.sample([os.getpid()])}
        begin = time.thread_time_ns()
        while time.thread_time_ns() - begin < 100_000_000:
            pass
        sample = clocks.sample([os.getpid()])
        after = {row["tid"]: row for row in sample}
    me = threading.get_native_id()
    assert sample.dtype == THREAD_CPU
    assert after[me]["pid"] == os.getpid()
    assert 90_000_000 < after[me]["cpu_ns"] - before[me]["cpu_ns"] < 400_000_000
    assert after[sleeper]["cpu_ns"] == before[sleeper]["cpu_ns"]
    assert after[me]["cpu_wait_ns"] >= before[me]["cpu_wait_ns"]
    assert after[me]["last_cpu"] < (os.cpu_count() or 1) + 1024


@pytest.mark.parametrize("budget", [0, 5, 512])
def test_files_kept_open_stay_within_the_budget_and_change_nothing(sleeper: int, budget: int) -> None:
    before = len(open_files())
    clocks = ThreadClocks(budget)
    first, second = clocks.sample([os.getpid()]), clocks.sample([os.getpid()])
    assert first["tid"].tolist() == second["tid"].tolist() == [thread.tid for thread in threads(os.getpid())]
    assert len(open_files()) - before <= budget
    clocks.close()
    assert len(open_files()) == before


def test_threads_that_end_are_forgotten(sleeper: int) -> None:
    with ThreadClocks() as clocks, subprocess.Popen(["sleep", "60"]) as child:
        assert clocks.sample([child.pid])["tid"].tolist() == [child.pid]
        kept = len(open_files())
        child.kill()
        child.wait()
        assert len(clocks.sample([child.pid])) == 0
        assert len(open_files()) < kept


def test_a_tid_given_to_a_new_thread_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadClocks() as clocks, subprocess.Popen(["sleep", "60"]) as child:
        clocks.sample([child.pid])
        child.kill()
        child.wait()
        me = threading.get_native_id()
        clocks._open[os.getpid(), me] = clocks._open.pop((child.pid, child.pid))  # files of a dead thread
        assert me in clocks.sample([os.getpid()])["tid"].tolist()


def test_without_schedstat_times_come_from_stat(tmp_path: Path) -> None:
    task = tmp_path / "7" / "task" / "8"
    task.mkdir(parents=True)
    fields = ["0"] * 50
    fields[0], fields[11], fields[12], fields[36] = "S", "3", "4", "1"
    (task / "stat").write_text(f"8 (a) b) {' '.join(fields)}\n")
    tick_ns = 10**9 // os.sysconf("SC_CLK_TCK")
    with ThreadClocks(proc=str(tmp_path)) as clocks:
        assert clocks.sample([7]).tolist() == [(7, 8, 7 * tick_ns, 0, 1)]
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "schedstat").write_text("")
    for told, *expected in (("0 0 0\n", 7 * tick_ns, 0), ("123456 5 6\n", 123456, 5)):
        (task / "schedstat").write_text(told)
        with ThreadClocks(proc=str(tmp_path)) as clocks:
            assert clocks.sample([7]).tolist() == [(7, 8, *expected, 1)]


def test_nobody_is_nothing() -> None:
    with ThreadClocks() as clocks:
        assert len(clocks.sample([])) == 0
        assert len(clocks.sample([2**22])) == 0
    assert threads(2**22) == []


@patient
@given(st.binary(max_size=200), st.binary(max_size=40))
def test_any_bytes_are_a_time_or_none(stat: bytes, schedstat: bytes) -> None:
    try:
        module._clock(stat, schedstat)
    except ValueError:
        assert len(stat.rpartition(b")")[2].split()) > 36  # never what the kernel writes


def test_a_process_hidden_from_us_has_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(module.procfs.os, "scandir", refuse)
    assert threads(1) == []


def test_the_name_of_a_thread_may_be_anything() -> None:
    done, named = threading.Event(), threading.Event()

    def body() -> None:
        ctypes.CDLL(None).prctl(15, b"x) S 1 (\x1b")
        named.set()
        done.wait()

    thread = threading.Thread(target=body)
    thread.start()
    named.wait()
    try:
        assert "x) S 1 (\x1b" in {each.comm for each in threads(os.getpid())}
    finally:
        done.set()
        thread.join()


def test_waiting_for_events_has_its_own_number() -> None:
    if not Path("/proc/self/syscall").exists():
        pytest.skip("this kernel does not tell")
    code = "import select; select.epoll().poll()"
    with subprocess.Popen([sys.executable, "-c", code]) as child:
        numbers = {"x86_64": {232, 281}, "aarch64": {22}}[platform.machine()]
        wait_until(lambda: blocked_in(child.pid, child.pid) in numbers)
        child.kill()
