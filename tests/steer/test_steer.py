"""A server's SO_REUSEPORT group is steered from outside; the truth is what its clients and workers say."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sockscope.bpf.btf import Btf
from sockscope.steer.groups import Group, GroupFinder, select_group
from sockscope.steer.steering import SO_DETACH_REUSEPORT_BPF, Steering, Wanted
from tests.conftest import wait_until
from tests.kernel.command import begin, one_line, run
from tests.steer import load

pytestmark = pytest.mark.kernel

_SERVER = Path(__file__).with_name("server.py")
_SO_ATTACH_REUSEPORT_CBPF, _SO_INCOMING_CPU = 51, 49


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """The server of server.py, its port, and the pids of its workers."""

    def __init__(self, process: subprocess.Popen[str], port: int, address: str) -> None:
        self.process, self.port, self.address = process, port, (address, port)
        assert process.stdout is not None
        self.pids = [int(pid) for pid in process.stdout.readline().split()]


@contextmanager
def serving(workers: int, *words: object, v6: bool = False) -> Iterator[Server]:
    """Start the server, and stop it."""
    port = free_port()
    command = [sys.executable, str(_SERVER), str(port), str(workers), *map(str, words)]
    with subprocess.Popen([*command, *["--v6"] * v6], stdout=subprocess.PIPE, text=True) as process:
        try:
            server = Server(process, port, "::1" if v6 else "127.0.0.1")
            assert len(server.pids) == workers
            yield server
        finally:
            process.terminate()
            process.wait(10)


def offer(server: Server, rate: float, seconds: float, work_us: int = 0, seed: int = 1) -> load.Outcome:
    """Load it, and check that no client saw an error."""
    outcome = load.run(server.address, rate, seconds, lambda rng: work_us, seed)
    assert not outcome.errors, outcome.errors[:3]
    return outcome


@contextmanager
def meanwhile(
    server: Server, rate: float, seconds: float, into: list[load.Outcome], seed: int = 1
) -> Iterator[None]:
    """Load it in the background."""
    thread = threading.Thread(
        target=lambda: into.append(load.run(server.address, rate, seconds, lambda rng: 0, seed))
    )
    thread.start()
    try:
        yield
    finally:
        thread.join()


def look(port: int) -> Group:
    """Return the group of a port, as the kernel has it now."""
    with GroupFinder(Btf.of_running_kernel()) as finder:
        return select_group(finder.find(), port)


def silent(action: str, details: object) -> None:
    """Log nothing."""


def steer(port: int, *words: object) -> subprocess.Popen[str]:
    """Start the command, and wait until it steers."""
    process = begin("steer", "--port", port, "--yes", "--measure", 0, "--format", "json", *words)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "steering" in line, line + process.stderr.read()
    return process


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Press Ctrl-C, and return what it printed."""
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return json.loads(printed)  # type: ignore[no-any-return]


@pytest.mark.parametrize("v6", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_straggler_gets_fewer_connections_and_the_rest_is_undone(v6: bool, tmp_path: Path) -> None:
    with serving(4, 20_000, v6=v6) as server:
        process = steer(server.port, "--log", tmp_path / "log")
        outcome = offer(server, 150, 3)
        result = finish(process)
        assert outcome.by_worker[0] < 0.1 * len(outcome.replies)
        picked = {member["pid"]: member["picked"] for member in result["members"]}
        assert {pid: picked[pid] for pid in server.pids} == {
            pid: outcome.by_worker[index] for index, pid in enumerate(server.pids)
        }
        assert look(server.port).program == ""
        hashed = offer(server, 200, 2)
        assert hashed.by_worker[0] > 0.15 * len(hashed.replies)
    actions = [json.loads(line)["action"] for line in (tmp_path / "log").read_text().splitlines()]
    assert actions == ["add"] * 4 + ["attach", "detach"]


def test_the_hash_of_the_counterfactual_is_the_kernels() -> None:
    with (
        serving(3) as server,
        Steering(Wanted(server.port, "avoid-stalled", stall_ns=10**12), silent) as steering,
    ):
        steering._program.control["lease_ns"] = 0  # type: ignore[union-attr]
        offer(server, 300, 0.5)
        # a policy that never finds one ineligible begins at hash % 3, the kernel at reciprocal_scale: the
        # counters by_hash must equal what the kernel selected once the program selects nothing
        steering._stop.set()
        steering._keeper.join()  # type: ignore[union-attr]
        control = steering._program.control  # type: ignore[union-attr]
        before = control["by_hash"].copy()
        control["count"] = 0  # it counts, and leaves the choice to the kernel
        control["lease_ns"] = 1 << 62
        outcome = offer(server, 300, 1)
        counted = control["by_hash"] - before
        by_pid = {member.pid: int(counted[member.position]) for member in look(server.port).members}
        assert [by_pid[pid] for pid in server.pids] == [outcome.by_worker[index] for index in range(3)]


@pytest.mark.slow
def test_kill_9_leaves_the_hash_within_a_second_and_release_detaches() -> None:
    outcomes: list[load.Outcome] = []
    with serving(4, 20_000) as server:
        process = steer(server.port)
        with meanwhile(server, 200, 4, outcomes):
            time.sleep(1)
            process.kill()
            process.communicate()
            killed = time.monotonic()
        outcome = outcomes[0]
        assert not outcome.errors
        later = [worker for since, worker in outcome.replies if since > killed + 1.1]
        assert later.count(0) > 0.15 * len(later)
        assert look(server.port).is_ours
        done = run("steer", "--port", server.port, "--release")
        assert done.returncode == 0, done.stderr
        assert "detached program" in done.stdout
        assert look(server.port).program == ""
        assert "no steering program" in run("steer", "--port", server.port, "--release").stdout


@pytest.mark.slow
def test_what_a_killed_one_left_is_replaced_by_the_next() -> None:
    with serving(2) as server:
        process = steer(server.port)
        process.kill()
        process.communicate()
        time.sleep(1.1)
        finish(steer(server.port))
        assert look(server.port).program == ""


@pytest.mark.slow
def test_a_second_steering_is_refused_while_the_first_runs() -> None:
    with serving(2) as server:
        first = steer(server.port)
        one_line(run("steer", "--port", server.port, "--yes"), 2, "being steered by another sockscope")
        one_line(run("steer", "--port", server.port, "--release"), 2, "running sockscope")
        finish(first)


def test_members_that_join_and_die_are_followed_within_a_second() -> None:
    with serving(3) as server, Steering(Wanted(server.port, "least-loaded"), silent) as steering:
        assert len(steering.view().members) == 3
        os.kill(server.process.pid, signal.SIGUSR2)
        wait_until(lambda: len(steering.view().members) == 4, 1.0, "a fourth member")
        time.sleep(0.1)
        assert offer(server, 200, 1).by_worker[3] > 20
        os.kill(server.pids[1], signal.SIGKILL)
        wait_until(lambda: len(steering.view().members) == 3, 1.0, "three members")
        outcome = offer(server, 200, 1)
        assert set(outcome.by_worker) == {0, 2, 3}
        assert steering.ended == ""


def test_a_member_that_stalls_gets_nothing_from_50_ms_on_and_is_used_again() -> None:
    outcomes: list[load.Outcome] = []
    with serving(4) as server, Steering(Wanted(server.port, "avoid-stalled"), silent):
        with meanwhile(server, 400, 3, outcomes):
            time.sleep(1)
            os.kill(server.pids[0], signal.SIGUSR1)
            stalled = time.monotonic()
        since = [since - stalled for since, worker in outcomes[0].replies if worker == 0]
        assert not [one for one in since if 0.05 < one < 0.39], since
        assert [one for one in since if 0.4 < one < 0.6]
        assert not outcomes[0].errors


def test_weights_are_shares_and_0_drains() -> None:
    with serving(4) as server:
        process = steer(
            server.port, "--policy", "weighted", "--weight", "0=0", "--weight", "1=1", "--weight", "2=3"
        )
        outcome = offer(server, 200, 1)
        members = finish(process)["members"]
        picked = [member["picked"] for member in sorted(members, key=lambda member: member["inode"])]
        total = len(outcome.replies)
        expected = [0, total / 5, 3 * total / 5, total / 5]
        assert all(abs(one - other) <= 2 for one, other in zip(picked, expected, strict=True)), picked


@pytest.mark.slow
def test_what_cannot_be_steered_is_refused_with_the_reason() -> None:
    with socket.socket() as single:
        single.bind(("127.0.0.1", 0))
        single.listen()
        port = single.getsockname()[1]
        # the test's own process is not sockscope's
        one_line(run("steer", "--port", port, "--yes"), 2, "not in a SO_REUSEPORT group")
    one_line(run("steer", "--port", free_port(), "--yes"), 2, "no socket listens")
    with serving(1) as server:
        one_line(run("steer", "--port", server.port, "--yes"), 2, "has one member")
    with serving(2) as server:
        one_line(run("steer", "--port", server.port), 2, "needs a confirmation")
        words = ("--policy", "weighted", "--weight", "0=0")
        one_line(run("steer", "--port", server.port, "--yes", *words), 2, "fewer than two members")
    mptcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    with mptcp:
        mptcp.bind(("127.0.0.1", 0))
        mptcp.listen()
        one_line(run("steer", "--port", mptcp.getsockname()[1], "--yes"), 2, "MPTCP")


def test_the_program_of_others_is_named_and_left_alone() -> None:
    listeners = []
    port = 0
    for _ in range(2):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        port = listener.getsockname()[1]
        listeners.append(listener)
    try:
        code = struct.pack("HBBI", 0x06, 0, 0, 0)  # ret 0
        import ctypes

        buffer = ctypes.create_string_buffer(code)
        program = struct.pack("HxxxxxxQ", 1, ctypes.addressof(buffer))
        listeners[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program)
        one_line(run("steer", "--port", port, "--yes"), 2, "already steered: a cBPF program")
        assert "selected by a cBPF program" in run("listeners", "--port", port, "--steering").stdout
        listeners[0].setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)
        assert "selected by the kernel's hash" in run("listeners", "--port", port, "--steering").stdout
        listeners[0].setsockopt(socket.SOL_SOCKET, _SO_INCOMING_CPU, 0)
        done = run("listeners", "--port", port, "--steering", "--format", "json")
        (group,) = json.loads(done.stdout)["steering"]
        assert group["incoming_cpus"] == [0]
        assert group["program"] == ""
    finally:
        for listener in listeners:
            listener.close()


@pytest.mark.slow
def test_a_dry_run_changes_nothing() -> None:
    with serving(2) as server:
        done = run("steer", "--port", server.port, "--dry-run")
        assert done.returncode == 0, done.stderr
        assert "SO_REUSEPORT group of 2" in done.stdout
        assert look(server.port).program == ""


@pytest.mark.slow
def test_no_descriptor_program_or_member_is_left_after_ten_rounds() -> None:
    with serving(2) as server:
        with Steering(Wanted(server.port, "least-loaded"), silent):
            pass
        before = len(list(Path("/proc/self/fd").iterdir()))
        inodes = {member.inode for member in look(server.port).members}
        for _ in range(10):
            with Steering(Wanted(server.port, "least-loaded"), silent):
                held = {path.stat().st_ino for path in Path("/proc/self/fd").iterdir() if path.exists()}
                assert not held & inodes
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        assert look(server.port).program == ""
        offer(server, 200, 0.5)


@pytest.mark.slow
def test_before_during_and_after_are_compared() -> None:
    outcomes: list[load.Outcome] = []
    with serving(4, 20_000) as server, meanwhile(server, 120, 20, outcomes):
        words = ("--yes", "-d", "2s", "--measure", "2s", "--format", "json")
        done = run("steer", "--port", server.port, *words)
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert [one["name"] for one in result["comparison"]["recordings"]] == ["before", "during", "after"]
        assert {one["phase"] for one in result["intervals"]} == {"before", "during", "after"}
        assert all(one["low"] <= one["value"] <= one["high"] for one in result["intervals"] if one["samples"])
    assert not outcomes[0].errors


def test_an_even_server_gets_an_even_share() -> None:
    with serving(4) as server, Steering(Wanted(server.port, "least-loaded"), silent) as steering:
        outcome = offer(server, 400, 2)
        assert sum(steering.view().hashed.values()) == 0
        shares = [outcome.by_worker[index] / len(outcome.replies) for index in range(4)]
        assert max(shares) < 0.4, shares


@pytest.mark.slow
def test_nginx_is_steered_through_a_reload(tmp_path: Path) -> None:
    port = free_port()
    tmp_path.chmod(0o755)
    config = tmp_path / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 3; pid {tmp_path}/pid; error_log {tmp_path}/error;\n"
        "events {}\n"
        f"http {{ access_log off; server {{ listen 127.0.0.1:{port} reuseport; return 200 ok; }} }}\n"
    )
    command = ["nginx", "-c", str(config), "-e", str(tmp_path / "error")]
    outcome: list[load.Outcome] = []
    with subprocess.Popen(command) as nginx:
        try:
            wait_until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            with Steering(Wanted(port, "least-loaded"), silent) as steering:
                before = {member.pid for member in steering.view().members}
                assert len(before) == 3
                assert nginx.pid not in before  # the workers, not the master that holds all sockets
                thread = threading.Thread(
                    target=lambda: outcome.append(
                        load.run(("127.0.0.1", port), 300, 3, lambda rng: 0, 1, path="/")
                    )
                )
                thread.start()
                time.sleep(0.8)
                nginx.send_signal(signal.SIGHUP)
                thread.join()
                after = {member.pid for member in steering.view().members}
                assert len(after) == 3
                assert not before & after
                assert not outcome[0].errors
                assert steering.view().steered > 0.9 * len(outcome[0].latencies)
                assert not steering.ended
        finally:
            nginx.terminate()
            nginx.wait(10)
