"""How servers end, and what must be in order when they do."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

import servers
from servers.load import Plan, run
from servers.models import MODELS

PROMPT_S = 3.0


def gone(pid):
    """Whether the process has ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_all_of_the_server_and_the_ledger_has_the_open_connections(
    variant, start, ask, family, read_lines, tmp_path, number
):
    model, options = variant
    server = start(model, ledger=tmp_path / "ledger", **options)
    members = family(server.pid)
    talking = HTTPConnection(server.host, server.port, timeout=10)
    ask(talking)
    mute = socket.create_connection((server.host, server.port))
    ask(talking)
    begin = time.monotonic()
    server.process.send_signal(number)
    assert server.process.wait(10) == 0, server.said()
    assert time.monotonic() - begin < PROMPT_S
    assert all(gone(pid) for pid in members)
    assert server.said() == ""
    lines = {line["remote"]: line for line in read_lines(tmp_path / "ledger")}
    host, port = talking.sock.getsockname()
    assert sum(calls for calls, _ in lines[f"{host}:{port}"]["writers"].values()) == 2
    mute.close()
    talking.close()


def test_a_signal_under_load_ends_the_server_in_silence(variant, start, read_lines, tmp_path):
    model, options = variant
    server = start(model, ledger=tmp_path / "ledger", **options)
    load = subprocess.Popen(
        [sys.executable, "-m", "servers.load", "--connect", server.address, "--duration=20", "--timeout=1"],
        stdout=subprocess.DEVNULL,
    )
    try:
        answered = HTTPConnection(server.host, server.port, timeout=10)
        for _ in range(20):
            answered.request("GET", "/")
            answered.getresponse().read()
            answered.close()
        begin = time.monotonic()
        assert server.stop() == 0, server.said()
        assert time.monotonic() - begin < PROMPT_S
        assert server.said() == ""
    finally:
        load.terminate()
        load.wait()
    assert len(read_lines(tmp_path / "ledger")) >= 20


def test_workers_die_with_a_parent_that_is_killed(variant, start, family, wait_until):
    model, options = variant
    server = start(model, **options)
    members = family(server.pid)
    server.process.kill()
    server.process.wait()
    wait_until(lambda: all(gone(pid) for pid in members), "no worker outlives its parent")


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ("shared", {}),
        ("shared", {"wait": "accept"}),
        ("shared", {"wait": "lock"}),
        ("reuseport", {}),
        ("handoff", {"processes": True}),
        ("handoff", {"processes": True, "pick": "least"}),
    ],
)
def test_the_other_workers_go_on_when_one_is_killed(start, ask, family, wait_until, model, options):
    server = start(model, **options)
    victim = family(server.pid)[1]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: gone(victim), "the worker is dead")
    result = run(Plan(server.host, server.port, connections=100, timeout_s=2))
    assert result.failed == 0
    assert len(result.writers) <= 2
    assert server.stop() == 1
    assert len(server.said().splitlines()) == 1


@pytest.mark.parametrize("model", [model.name for model in MODELS])
def test_a_port_in_use_is_one_clear_line(start, model):
    taken = start("single")
    with pytest.raises(servers.ServerError) as refused:
        servers.start(model, port=taken.port)
    assert str(refused.value) == f"servers: cannot listen on 127.0.0.1:{taken.port}: Address already in use"


def test_a_second_reuseport_server_does_not_join_the_first(start):
    taken = start("reuseport")
    with pytest.raises(servers.ServerError, match="Address already in use"):
        servers.start("reuseport", port=taken.port)


def test_a_server_that_has_no_descriptor_left_serves_the_others_first(start):
    server = start("single")
    limit = len(list(Path(f"/proc/{server.pid}/fd").iterdir())) + 4
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, limit))
    result = run(Plan(server.host, server.port, connections=60, concurrency=20, requests=3))
    assert (result.failed, result.requests) == (0, 180)


def test_too_few_descriptors_to_start_with_are_one_line():
    for model in ("handoff", "reuseport", "dispatch"):
        done = subprocess.run(
            [sys.executable, "-m", "servers", model],
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (7, 7)),
        )
        assert (done.returncode, done.stderr) == (1, "servers: Too many open files\n")


def test_a_ledger_on_a_full_disk_ends_the_server_with_one_line(start):
    server = start("shared", ledger="/dev/full")
    run(Plan(server.host, server.port, connections=400, timeout_s=1))
    assert server.stop() == 1
    assert set(server.said().splitlines()) == {
        "servers: cannot write the ledger /dev/full: No space left on device"
    }
