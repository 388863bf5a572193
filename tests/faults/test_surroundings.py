"""Faults of what is around: clocks, missing tracepoints and BTF, other tracers, full maps, and time."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.errors import SockscopeError
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.feature_probe import FeatureProbe
from sockscope.tracer.map_defs import MapSizes
from sockscope.tracer.selection import get_hooks, select_methods
from tests.conftest import wait_until
from tests.faults.conftest import ReportOutcome
from tests.faults.replying import Answer, ask
from tests.faults.stand import held_in_the_kernel, lost, replying, wrong
from tests.kernel.command import begin, one_line, report, run, until_tracing
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel


def test_wall_clock_is_not_read_while_tracing(
    monkeypatch: pytest.MonkeyPatch, report_outcome: ReportOutcome
) -> None:
    """So a wall clock that is set, forward or back, cannot touch what is measured."""
    with replying("one") as (_, port), LiveSession(Target(ports=(port,))) as session:
        for name in ("time", "time_ns", "gmtime", "localtime"):
            monkeypatch.setattr(time, name, lambda *_, name=name: pytest.fail(f"time.{name} was asked"))
        real = time.clock_gettime

        def monotonic_only(clock: int) -> float:
            assert clock != time.CLOCK_REALTIME
            return real(clock)

        monkeypatch.setattr(time, "clock_gettime", monotonic_only)
        session.start()
        state = State()
        answers = [ask(port, 1 + number % 5) for number in range(50)]
        state.apply(session.batch())
        state.apply(session.stop())
        seen: dict[str, Any] = json.loads(json.dumps(document(analyse(session.meta, state.snapshot()))))
        monkeypatch.undo()
    assert wrong(seen, answers) == []
    report_outcome("the wall clock is set", "not read once tracing has begun", 50)


@pytest.mark.slow
def test_timestamps_in_a_time_namespace_are_those_of_the_kernel(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out = tmp_path / "run.sockscope"
    elsewhen = ("unshare", "-T", "--fork", "--monotonic", "1000000", "--boottime", "1000000")
    with replying("one") as (_, port):
        recorder = begin("record", "-o", out, "--port", port, "-d", "2.5", prefix=elsewhen)
        until_tracing(recorder)
        answers = [ask(port, 1 + number % 5) for number in range(50)]
        recorder.communicate(timeout=30)
    seen = report(out)
    assert wrong(seen, answers) == []
    started = seen["meta"]["started_ns"]
    assert all(0 <= row["established_ns"] - started < 60 * 10**9 for row in seen["connections"])
    report_outcome(
        "tracer in a time namespace with an offset of a million seconds",
        "connections and batches share one clock",
        50,
    )


@pytest.mark.slow
def test_missing_hook_is_reported_and_causes_no_wrong_attribution(
    monkeypatch: pytest.MonkeyPatch, report_outcome: ReportOutcome
) -> None:
    real = FeatureProbe.why_not
    whole = FeatureProbe.of_running_kernel()
    places = sorted({hook.place for hook in get_hooks(select_methods(whole), whole)})
    refused, weaker = [], []
    for missing in places:
        monkeypatch.setattr(
            FeatureProbe,
            "why_not",
            lambda self, hook, gone=missing: "hidden" if hook.place == gone else real(self, hook),
        )
        with replying("one") as (_, port):
            try:
                session = LiveSession(Target(ports=(port,)))
            except SockscopeError as error:
                refused.append(str(error))
                continue
            with session:
                assert missing not in {hook.place for hook in session._source._hooks}
                weaker += [missing for used in session.meta.signals if used.limitations][:1]
                session.start()
                answers = [ask(port, 1 + number % 5) for number in range(30)]
                state = State()
                state.apply(session.stop())
                frame = analyse(session.meta, state.snapshot())
        seen: dict[str, Any] = json.loads(json.dumps(document(frame)))
        true = {answer.remote: (answer.pid, answer.tid) for answer in answers}
        for row in seen["connections"]:
            assert all((reader["pid"], reader["tid"]) == true[row["remote"]] for reader in row["readers"])
            acceptor = row["acceptor"]
            assert acceptor is None or (acceptor["pid"], acceptor["tid"]) == true[row["remote"]]
    assert not any("\n" in line for line in refused)
    report_outcome(
        "each used tracepoint hidden in turn",
        f"{len(refused)} ended with one line, {len(places) - len(refused)} continued, {len(weaker)} of them reported "
        "limitations; no wrong attribution",
        len(places),
    )


@pytest.mark.slow
def test_invalid_btf_is_a_one_line_error(tmp_path: Path, report_outcome: ReportOutcome) -> None:
    whole = Path("/sys/kernel/btf/vmlinux").read_bytes()
    zeroes = bytes(24)
    cases = [b"", zeroes, whole[:1000], whole[: len(whole) // 2], whole[:24] + bytes(len(whole) - 24),
             bytes(reversed(whole[:24])) + whole[24:]]  # fmt: skip
    for number, content in enumerate(cases):
        false = tmp_path / f"btf-{number}"
        false.write_bytes(content)
        hidden = (
            "unshare",
            "-m",
            "sh",
            "-c",
            f'mount --bind {false} /sys/kernel/btf/vmlinux && exec "$@"',
            "sh",
        )
        one_line(run("record", "-o", tmp_path / "x", "-d", "1", prefix=hidden), 1, "BTF")
    report_outcome(
        "BTF: empty, zeroes, truncated, without types, byte-swapped", "one-line error each", len(cases)
    )


def _strace(pid: int) -> list[str]:
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=network,read,write", "-p", str(pid)]


def _bpftrace(pid: int) -> list[str]:
    programs = "tracepoint:sock:inet_sock_set_state { @[args->newstate] = count(); } " + (
        "tracepoint:syscalls:sys_exit_accept4 { @a = count(); } "
        "tracepoint:sock:sk_data_ready { @b = count(); } tracepoint:sock:sock_recv_length { @c = count(); }"
    )
    return ["bpftrace", "-q", "-e", programs]


@pytest.mark.slow
@pytest.mark.parametrize("other", ["strace", "bpftrace"])
def test_another_tracer_on_the_same_server_changes_no_result(
    other: str, report_outcome: ReportOutcome
) -> None:
    if shutil.which(other) is None:
        pytest.fail(f"no {other}; .ci/prepare test installs it")
    with replying("one") as (server, port):
        command = _strace(server.pid) if other == "strace" else _bpftrace(server.pid)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as beside:
            try:
                if other == "strace":
                    status = Path(f"/proc/{server.pid}/status")
                    wait_until(lambda: f"TracerPid:\t{beside.pid}" in status.read_text(), what="strace")
                else:
                    wait_until(lambda: held_in_the_kernel(beside.pid), what="bpftrace")
                with LiveSession(Target(ports=(port,))) as session:
                    session.start()
                    answers = [ask(port, 1 + number % 7) for number in range(500)]
                    state = State()
                    state.apply(session.stop())
                assert beside.poll() is None
            finally:
                beside.send_signal(signal.SIGINT)
    seen: dict[str, Any] = json.loads(json.dumps(document(analyse(session.meta, state.snapshot()))))
    assert lost(seen) == 0
    assert wrong(seen, answers) == []
    report_outcome(f"{other} on the same server", "every connection agrees with the server", 500)


@pytest.mark.slow
def test_tracing_continues_with_all_maps_full_and_reports_losses(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    names = ("connections", "listeners", "workers", "processes", "io_overflow", "wakes", "closed_pages",
             "exited_pages", "listener_pages")  # fmt: skip
    out = tmp_path / "run.sockscope"
    limits = [word for name in names for word in ("--map-size", f"{name}=1")]
    with servers.start("reuseport", workers=3) as server:
        recorder = begin("record", "-o", out, "--port", server.port, *limits)
        until_tracing(recorder)
        load(server.port, "--connections", 2000, "--concurrency", 32)
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, said
    kinds = [line for line in said.splitlines() if line.startswith("sockscope: lost: ")]
    assert kinds
    assert "Traceback" not in said
    done = run("report", out)
    assert done.returncode == 0
    assert "lost: nothing" not in done.stdout
    report_outcome(
        "every map with one entry, every ring with one page",
        f"continues; {len(kinds)} kinds of loss reported",
    )


def test_ended_threads_do_not_fill_the_wake_up_table(report_outcome: ReportOutcome) -> None:
    """Each thread that reads wakes others: pairs of which one has ended make room for those that come."""
    room, connections = 128, 1000
    state = State()
    answers: list[Answer] = []
    with (
        replying("thread") as (_, port),
        LiveSession(Target(ports=(port,)), MapSizes(wakes=room)) as session,
    ):
        state.started_at(session.meta.started_ns)
        session.start()
        while len(answers) < connections:
            answers += [ask(port, 3) for _ in range(room // 8)]
            state.apply(session.batch())
        state.apply(session.stop())
        snapshot = state.snapshot()
        seen: dict[str, Any] = json.loads(json.dumps(document(analyse(session.meta, snapshot))))
    assert len(snapshot.wakes) > 2 * room
    assert lost(seen) == 0
    assert wrong(seen, answers) == []
    report_outcome(
        f"room for {room} pairs of threads that wake each other",
        f"{len(snapshot.wakes):,} pairs, none lost",
        connections,
    )


def _figures(pid: int) -> tuple[int, int]:
    """Resident bytes and descriptors of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _elements(pid: int) -> int:
    """How much is in all maps of a process, in elements, by the kernel's own count of their memory."""
    total = 0
    for entry in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            for line in entry.read_text().splitlines():
                if line.startswith("memlock:"):
                    total += int(line.split()[1])
    return total


class _Soaked(NamedTuple):
    """A day of a small server in minutes: figures of the tracer after a third, and at the end."""

    rounds: int
    connections: int
    early: tuple[int, ...]
    late: tuple[int, ...]

    def has_not_grown(self) -> bool:
        (memory, descriptors, maps), after = self.early, self.late
        return after[0] < memory * 1.15 + 5_000_000 and after[1] <= descriptors + 8 and after[2] < maps * 1.1

    def __str__(self) -> str:
        (memory, descriptors, maps), after = self.early, self.late
        return (
            f"{memory / 1e6:.0f} MB resident after a third, {after[0] / 1e6:.0f} MB at the end; descriptors "
            f"{descriptors} and {after[1]}; maps {maps / 1e6:.1f} and {after[2] / 1e6:.1f} MB; {self.rounds} servers"
        )


def _soaked(tracer: int, seconds: float) -> _Soaked:
    """Servers, threads and connections that come and go: tens of thousands."""
    began, connections = time.monotonic(), 0
    marks: list[tuple[int, int, int]] = []
    while time.monotonic() - began < seconds:
        with replying("thread") as (_, port):
            for _ in range(200):
                ask(port, 5)
        with servers.start("reuseport", workers=3) as server:
            load(server.port, "--connections", 1500, "--concurrency", 32)
        connections += 1700
        marks.append((*_figures(tracer), _elements(tracer)))
    third = len(marks) // 3
    # what ended this very moment is let go of at the next tick: the least of some rounds has none of it
    early, late = (
        tuple(map(min, zip(*rows, strict=True))) for rows in (marks[third : third + 4], marks[-4:])
    )
    return _Soaked(2 * len(marks), connections, early, late)


@pytest.mark.slow
def test_recorder_memory_is_constant_under_churn(tmp_path: Path, report_outcome: ReportOutcome) -> None:
    seconds = 120.0
    out = tmp_path / "run.sockscope"
    recorder = begin("record", "-o", out)
    until_tracing(recorder)
    soaked = _soaked(recorder.pid, seconds)
    recorder.send_signal(signal.SIGINT)
    _, said = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, said
    assert "lost" not in said
    seen = report(out, connections=1)
    assert lost(seen) == 0
    assert sum(worker["accepts"] for worker in seen["workers"]) >= soaked.connections
    assert soaked.has_not_grown(), soaked
    report_outcome(
        f"{seconds:.0f} s of churn of servers, threads and connections, recorded",
        f"{soaked}, none lost",
        soaked.connections,
    )


@pytest.mark.slow
def test_metrics_server_memory_is_constant_and_counters_complete_under_churn(
    report_outcome: ReportOutcome,
) -> None:
    """The same for what keeps the state in memory, and makes a frame of it at each tick."""
    seconds = 120.0
    serving = begin("metrics", "--listen", "127.0.0.1:0")
    assert serving.stderr is not None
    place = re.search(r"http://\S+", serving.stderr.readline())
    assert place
    soaked = _soaked(serving.pid, seconds)

    def total(name: str) -> float:
        with urllib.request.urlopen(place[0], timeout=30) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    wait_until(lambda: total("sockscope_worker_accepts_total") >= soaked.connections, what="the last tick")
    missing = total("sockscope_lost_records_total")
    serving.send_signal(signal.SIGINT)
    _, said = serving.communicate(timeout=60)
    assert (serving.returncode, said, missing) == (0, "", 0)
    assert soaked.has_not_grown(), soaked
    report_outcome(
        f"{seconds:.0f} s of churn of servers, threads and connections, served as metrics",
        f"{soaked}, every accept in the totals, none lost",
        soaked.connections,
    )
