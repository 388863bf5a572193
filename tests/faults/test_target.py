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
from tests.faults.conftest import Told
from tests.faults.replying import Answer, ask
from tests.faults.stand import lost, network, replying, wrong
from tests.kernel.command import ROOT, begin, report, run, until_tracing
from tests.kernel.tracing import load

pytestmark = pytest.mark.kernel


def _traced(how: str, number: int, signals: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """Trace a server that answers in that way, ask it, and compare all it told with all that was seen."""
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


def test_a_target_that_is_killed_ends_the_recording_and_every_connection_is_in_it(
    tmp_path: Path, told: Told
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
    told("target: kill -9", "100 answered and 20 queued connections told; the recording ended by itself", 120)


@pytest.mark.parametrize("number", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_target_that_forks_for_each_connection_is_told_child_by_child(number: int, told: Told) -> None:
    seen = _traced("fork", number)
    assert len({answer.pid for answer in seen["answers"]}) == number
    told("target: a fork for each connection", "each read by the very child", number)


@pytest.mark.parametrize("number", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_target_whose_second_thread_calls_exec_is_told_as_the_thread_that_it_becomes(
    number: int, told: Told
) -> None:
    seen = _traced("exec", number)
    assert len(_tids(seen["answers"])) == 1
    told("target: exec by a thread that is not the first", "each reader as the server itself said", number)


@pytest.mark.parametrize("number", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_thread_number_that_comes_round_again_is_another_worker_each_time(number: int, told: Told) -> None:
    seen = _traced("same", number)
    ((tid, most),) = _tids(seen["answers"]).most_common(1)
    assert most > number // 2  # the rest went to others on this machine who took the number first
    again = [worker for worker in seen["workers"] if worker["tid"] == tid and worker["reads"]]
    assert len(again) == most
    assert all(worker["reads"] == 1 for worker in again)
    told("thread numbers come round (ns_last_pid)", f"one number was {most:,} workers, none mixed up", number)


@pytest.mark.parametrize("way", ["tracepoint", pytest.param("system-calls", marks=pytest.mark.slow)])
@pytest.mark.parametrize("number", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_port_descriptor_and_socket_that_are_used_again_at_once_are_told_apart(
    number: int, way: str, told: Told
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen = _traced("one", number, {"read": way, "write": way}, source_port=port)
    assert {answer.remote for answer in seen["answers"]} == {f"127.0.0.1:{port}"}
    told(f"the same port, descriptor and socket again and again, reads by {way}", "none mixed up", number)


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
def test_a_flood_of_connections_is_recorded_or_counted_to_the_last_one(tmp_path: Path, told: Told) -> None:
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
    told(
        f"target: flooded with {accepted / 5:,.0f} connections a second",
        f"{closed:,} recorded, {lost(seen):,} counted as lost, as many as Nginx counted",
        accepted,
    )


@pytest.mark.slow
def test_half_open_handshakes_by_the_thousand_are_no_connections(tmp_path: Path, told: Told) -> None:
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
    told("target: a thousand handshakes that never end, among 100 real ones", "100 told, none invented", 1000)


@pytest.mark.slow
def test_a_network_namespace_that_vanishes_is_not_kept_alive_and_ends_nothing(
    tmp_path: Path, told: Told
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
    told("a network namespace that vanishes under way", "freed within 10 s; the others are told on")


@pytest.mark.slow
def test_a_server_of_many_processes_killed_under_load_leaves_every_answered_request_told(
    tmp_path: Path, told: Told
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
    told("target: the parent of four workers is killed", "2,000 connections told", 2000)
