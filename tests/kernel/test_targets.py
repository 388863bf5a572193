"""Each part of a target picks what it says and nothing else; addresses of every kind are told right."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import servers
from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.target_filter import _cgroup_root
from tests.kernel.tracing import leaving_at_once, load

pytestmark = pytest.mark.kernel

LOAD = ("--connections", 200, "--concurrency", 8, "--requests", 2)


@contextlib.contextmanager
def _two_servers() -> Iterator[tuple[servers.RunningServer, servers.RunningServer]]:
    with servers.start("shared", workers=2) as one, servers.start("single") as other:
        yield one, other


def _trace(target: Target, *ports: int) -> dict[str, Any]:
    with leaving_at_once(LiveSession(target)) as session:
        session.start()
        for port in ports:
            load(port, *LOAD)
        state = State()
        state.apply(session.stop())
        return document(analyse(session.meta, state.snapshot()))


def _ports(found: dict[str, Any]) -> set[int]:
    return {int(row["local"].rpartition(":")[2]) for row in found["connections"]}


def test_a_port_picks_its_listeners() -> None:
    with _two_servers() as (one, other):
        found = _trace(Target(ports=(one.port,)), one.port, other.port)
    assert _ports(found) == {one.port}
    assert len(found["connections"]) == 200


def test_nothing_given_picks_every_listener() -> None:
    with _two_servers() as (one, other):
        found = _trace(Target(), one.port, other.port)
    assert _ports(found) >= {one.port, other.port}


def test_a_pid_picks_what_it_and_its_children_hold() -> None:
    with _two_servers() as (one, other):
        found = _trace(Target(pids=(one.pid,)), one.port, other.port)
    assert _ports(found) == {one.port}
    assert len(found["connections"]) == 200
    assert {worker["parent_pid"] for worker in found["workers"] if worker["accepts"]} == {one.pid}


def test_a_child_of_a_pid_that_listens_later_belongs_to_it() -> None:
    starter = (
        "import servers, sys\nsys.stdin.readline()\n"
        "with servers.start('single') as server:\n  print(server.port, flush=True)\n  sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2],
    ) as parent:  # fmt: skip
        assert parent.stdin is not None
        assert parent.stdout is not None
        with leaving_at_once(LiveSession(Target(pids=(parent.pid,)))) as session:
            session.start()
            parent.stdin.write("go\n")
            parent.stdin.flush()
            load(int(parent.stdout.readline()), *LOAD)
            state = State()
            state.apply(session.stop())
        parent.stdin.write("end\n")
        parent.stdin.flush()
    found = document(analyse(session.meta, state.snapshot()))
    assert len(found["connections"]) == 200
    assert all(row["exact"] for row in found["connections"])


def test_a_process_name_picks_its_servers() -> None:
    # the reference servers name their threads and so, where it is the main thread, the process
    with servers.start("handoff", workers=2) as one, servers.start("single") as other:
        found = _trace(Target(comm="ss-acceptor"), one.port, other.port)
    assert _ports(found) == {one.port}


def test_a_cgroup_picks_the_processes_in_it_and_below_it() -> None:
    above = _cgroup_root() / f"sockscope-test-{os.getpid()}"
    below = above / "below"
    below.mkdir(parents=True)
    try:
        with servers.start("single") as one, servers.start("single") as other:
            (below / "cgroup.procs").write_text(str(one.pid))
            found = _trace(Target(cgroup=str(above)), one.port, other.port)
            again = _trace(Target(cgroup=str(below)), one.port, other.port)
    finally:
        below.rmdir()
        above.rmdir()
    assert _ports(found) == _ports(again) == {one.port}


def test_a_container_is_picked_by_its_id_or_the_beginning_of_it() -> None:
    number = f"{os.getpid():064x}"[::-1]
    place = _cgroup_root() / f"docker-{number}.scope"
    place.mkdir()
    try:
        with servers.start("single") as one, servers.start("single") as other:
            (place / "cgroup.procs").write_text(str(one.pid))
            found = _trace(Target(container=number), one.port, other.port)
            again = _trace(Target(container=number[:12]), one.port, other.port)
    finally:
        place.rmdir()
    assert _ports(found) == _ports(again) == {one.port}


def test_a_network_namespace_picks_its_listeners_though_ports_are_the_same() -> None:
    name = f"sockscope-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        inside = ["ip", "netns", "exec", name]
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        command = [*inside, sys.executable, "-m", "servers", "shared", "--workers", "2", "--port"]
        with servers.start("single") as outside:
            with subprocess.Popen([*command, str(outside.port)], stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout is not None
                assert server.stdout.readline().startswith("listening")
                with leaving_at_once(LiveSession(Target(netns=name))) as session:
                    session.start()
                    load(outside.port, *LOAD)
                    address = f"127.0.0.1:{outside.port}"
                    loader = [*inside, sys.executable, "-m", "servers.load", "--connect", address]
                    subprocess.run(
                        [*loader, "--connections", "50"], check=True, stdout=subprocess.DEVNULL, timeout=60
                    )
                    state = State()
                    state.apply(session.batch())
                    state.apply(session.stop())
                server.terminate()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    found = document(analyse(session.meta, state.snapshot()))
    assert len(found["connections"]) == 50
    (listener,) = found["listeners"]
    assert listener["port"] == outside.port
    assert listener["backlog"] == 511
    assert {worker["comm"] for worker in found["workers"] if worker["accepts"]} <= {
        "ss-worker-0",
        "ss-worker-1",
    }


@pytest.mark.parametrize(
    ("host", "connect", "local", "remote"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1:", "127.0.0.1:"),
        ("::1", "::1", "[::1]:", "[::1]:"),
        ("::", "::1", "[::1]:", "[::1]:"),
        ("::", "127.0.0.1", "127.0.0.1:", "127.0.0.1:"),
    ],
)
def test_ipv4_ipv6_and_ipv4_mapped_connections_are_told_as_people_write_them(
    host: str, connect: str, local: str, remote: str
) -> None:
    with servers.start("reuseport", host=host, workers=2) as server:
        with leaving_at_once(LiveSession(Target(ports=(server.port,)))) as session:
            session.start()
            load(server.port, *LOAD, host=connect)
            state = State()
            state.apply(session.stop())
    found = document(analyse(session.meta, state.snapshot()))
    assert len(found["connections"]) == 200
    assert all(row["local"] == f"{local}{server.port}" for row in found["connections"])
    assert all(row["remote"].startswith(remote) for row in found["connections"])
    assert all(row["exact"] for row in found["connections"])
    assert {listener["address"] for listener in found["listeners"]} == {host}
    assert found["servers"][0]["model"] == "reuseport"
