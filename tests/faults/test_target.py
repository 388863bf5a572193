"""Faults of what is traced: killed, forked, exec'd, flooded; numbers that come round again."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from tests.conftest import wait_until
from tests.faults.conftest import ReportOutcome
from tests.faults.replying import Answer, ask
from tests.faults.stand import lost, network, replying, wrong
from tests.kernel.command import ROOT, begin, report, run, until_tracing
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel


def _traced(how: str, number: int, signals: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Trace a server of this kind, send requests, and compare its replies with the recording."""
    with replying(how) as (_, port), LiveSession(Target(ports=(port,)), signals=signals) as session:
        session.start()
        state = State()
        answers = []
        for index in range(number):
            answers.append(ask(port, 1 + index % 97, **more))
            if index % 500 == 499:
                state.apply(session.batch())
        state.apply(session.stop())
        seen: dict[str, Any] = json.loads(
            json.dumps(document(analyse(session.meta, state.snapshot()), connections=number))
        )
    assert lost(seen) == 0
    assert wrong(seen, answers) == []
    return {**seen, "answers": answers}


def _tids(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.tid for answer in answers)


def test_killed_target_ends_the_recording_with_every_connection(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out = tmp_path / "run.sockscope"
    with replying("one") as (server, port), ExitStack() as clients:
        recorder = begin("record", "-o", out, "--pid", server.pid)
        until_tracing(recorder)
        answers = [ask(port, 1 + number % 7) for number in range(100)]
        server.send_signal(signal.SIGSTOP)
        for _ in range(20):  # these wait in the queue when it dies
            clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        server.kill()
        _, said = recorder.communicate(timeout=20)
    assert recorder.returncode == 0
    assert f"the target has ended: pid {server.pid}" in said
    seen = report(out)
    waiting = [row for row in seen["connections"] if row["acceptor"] is None]
    seen["connections"] = [row for row in seen["connections"] if row["acceptor"]]
    assert wrong(seen, answers) == []
    assert len(waiting) == 20
    assert all(worker["ended_ns"] for worker in seen["workers"])
    report_outcome(
        "target: kill -9", "100 answered and 20 queued connections recorded; the recording ended", 120
    )


@pytest.mark.parametrize("number", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_fork_per_connection_is_attributed_to_each_child(number: int, report_outcome: ReportOutcome) -> None:
    seen = _traced("fork", number)
    assert len({answer.pid for answer in seen["answers"]}) == number
    report_outcome("target: one fork per connection", "each read attributed to its child", number)


@pytest.mark.parametrize("number", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_exec_by_a_second_thread_is_attributed_to_the_thread_that_it_becomes(
    number: int, report_outcome: ReportOutcome
) -> None:
    seen = _traced("exec", number)
    assert len(_tids(seen["answers"])) == 1
    report_outcome(
        "target: exec by a thread other than the first", "each reader agrees with the server", number
    )


@pytest.mark.parametrize("number", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_reused_thread_id_is_a_new_worker(number: int, report_outcome: ReportOutcome) -> None:
    seen = _traced("same", number)
    ((tid, most),) = _tids(seen["answers"]).most_common(1)
    assert most > number // 2  # the rest went to others on this machine who took the number first
    again = [worker for worker in seen["workers"] if worker["tid"] == tid and worker["reads"]]
    assert len(again) == most
    assert all(worker["reads"] == 1 for worker in again)
    report_outcome(
        "thread ids are reused (ns_last_pid)", f"one id was used by {most:,} workers, none mixed up", number
    )


@pytest.mark.parametrize("way", ["tracepoint", pytest.param("system-calls", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_reused_port_descriptor_and_socket_are_distinguished(
    number: int, way: str, report_outcome: ReportOutcome
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen = _traced("one", number, {"read": way, "write": way}, source_port=port)
    assert {answer.remote for answer in seen["answers"]} == {f"127.0.0.1:{port}"}
    report_outcome(
        f"the same port, descriptor and socket repeatedly, reads by {way}", "none mixed up", number
    )


@contextmanager
def _nginx(place: Path) -> Iterator[int]:
    """Nginx with two workers and its own count of what it accepted, at /count."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (place / "nginx.conf").write_text(
        f"daemon off; worker_processes 2; pid {place}/pid; error_log {place}/error.log;\n"
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{port} backlog=4096;\n"
        'location = /count { stub_status; } location / { return 200 "hello"; } } }\n'
    )
    command = ["nginx", "-p", str(place), "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: _accepted_by_nginx(port), what="Nginx")
            yield port
        finally:
            process.terminate()


def _accepted_by_nginx(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/count", timeout=5) as answer:
            said = answer.read().decode()
    except OSError:
        return 0
    found = re.search(r"^ (\d+) (\d+) \d+", said, re.MULTILINE)
    assert found
    return int(found[1])


@pytest.mark.slow
def test_every_connection_of_a_flood_is_recorded_or_counted_as_lost(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out = tmp_path / "run.sockscope"
    with _nginx(tmp_path) as port:
        recorder = begin("record", "-o", out, "--port", port)
        until_tracing(recorder)
        before = _accepted_by_nginx(port)
        command = ["wrk", "-t2", "-c64", "-d5s", "-H", "Connection: close", f"http://127.0.0.1:{port}/"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        accepted = _accepted_by_nginx(port) - before + 1  # the asking itself
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=60)
    assert recorder.returncode == 0
    done = run("report", out, "--format", "json", "--connections", 1)
    seen = json.loads(done.stdout)
    closed = int(re.search(r"([\d,.]+)( M)? closed connections", said)[1].replace(",", ""))  # type: ignore[index]
    assert sum(worker["accepts"] for worker in seen["workers"]) == accepted
    assert closed + lost(seen) == accepted
    report_outcome(
        f"target: flood of {accepted / 5:,.0f} connections per second",
        f"{closed:,} recorded, {lost(seen):,} counted as lost, as many as Nginx counted",
        accepted,
    )


@pytest.mark.slow
def test_half_open_handshakes_are_not_reported_as_connections(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out = tmp_path / "run.sockscope"
    with network() as inside:
        command = [*inside, sys.executable, "-m", "tests.faults.replying", "one"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
            assert server.stdout
            port = int(server.stdout.readline())
            recorder = begin("record", "-o", out, "--netns", inside[3])
            until_tracing(recorder)
            flood = [*inside, sys.executable, "-m", "tests.diagnosis.half_open", str(port), "1000"]
            asking = (
                f"from tests.faults.replying import ask\nfor n in range(100): print(*ask({port}, 1 + n % 7))"
            )
            with subprocess.Popen(flood, cwd=ROOT):
                said = subprocess.run([*inside, sys.executable, "-c", asking], check=True, cwd=ROOT,
                                      capture_output=True, text=True, timeout=60).stdout  # fmt: skip
            recorder.send_signal(signal.SIGINT)
            recorder.communicate(timeout=30)
            server.kill()
    answers = [Answer(words[0], *map(int, words[1:])) for words in map(str.split, said.splitlines())]
    seen = report(out)
    assert lost(seen) == 0
    assert wrong(seen, answers) == []
    report_outcome(
        "target: 1,000 handshakes that never complete, and 100 complete ones", "100 recorded, no others", 1000
    )


@pytest.mark.slow
def test_removed_network_namespace_is_released_and_tracing_continues(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out = tmp_path / "run.sockscope"
    outside = f"ss{time.monotonic_ns() % 10**8}"
    with replying("one") as (_, port):
        recorder = begin("record", "-o", out)
        until_tracing(recorder)
        with network() as inside:
            pair = ["ip", "link", "add", outside, "type", "veth", "peer", "name", "in0", "netns", inside[3]]
            subprocess.run(pair, check=True)
            command = [*inside, sys.executable, "-m", "tests.faults.replying", "one"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
                assert server.stdout
                there = int(server.stdout.readline())
                asking = f"from tests.faults.replying import ask; ask({there}, 5)"
                subprocess.run([*inside, sys.executable, "-c", asking], check=True, cwd=ROOT, timeout=20)
                time.sleep(1.2)  # a tick in which its queues are asked for
                server.kill()
        # its end of the pair goes, and with it ours, when nobody holds the namespace any longer
        wait_until(lambda: not Path(f"/sys/class/net/{outside}").exists(), what="the namespace's end")
        answers = [ask(port, 3) for _ in range(20)]
        recorder.send_signal(signal.SIGINT)
        _, said = recorder.communicate(timeout=30)
    assert recorder.returncode == 0, said
    assert "Traceback" not in said
    seen = report(out)
    assert [
        row["readers"][0]["bytes"] for row in seen["connections"] if row["local"].endswith(f":{there}")
    ] == [5]
    here = {answer.remote for answer in answers}
    seen["connections"] = [
        row for row in seen["connections"] if row["remote"] in here and row["local"].endswith(f":{port}")
    ]
    assert wrong(seen, answers) == []
    report_outcome(
        "a network namespace that is removed", "freed within 10 s; tracing of the others continues"
    )


@pytest.mark.slow
def test_killed_multi_process_server_has_every_answered_request_recorded(
    tmp_path: Path, report_outcome: ReportOutcome
) -> None:
    out = tmp_path / "run.sockscope"
    server = servers.start("reuseport", workers=4)
    with server:
        recorder = begin("record", "-o", out, "--port", server.port)
        until_tracing(recorder)
        load(server.port, "--connections", 2000, "--concurrency", 32)
        server.process.kill()
        recorder.send_signal(signal.SIGINT)
        recorder.communicate(timeout=30)
    assert len(report(out)["connections"]) == 2000
    report_outcome("target: the parent of four workers is killed", "2,000 connections recorded", 2000)
