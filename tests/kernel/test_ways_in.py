"""Every way in which a server can take connections and bytes is seen, to the byte."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sockscope.target import Target
from tests.servers.real_clients import Wire
from tests.servers.real_servers import Real, running
from tests.servers.real_trace import Watched, complaints, watch

pytestmark = pytest.mark.kernel

SERVERS = Path(__file__).parents[1] / "servers"
CONNECTIONS = 60

WAYS = {
    **dict.fromkeys(
        (
            "recv",
            "peek",
            "readv",
            "recvmsg",
            "recvmmsg",
            "splice",
            "old-accept",
            "sendfile",
            "dup2",
            "exec",
            "nested-epoll",
            "select",
            "poll",
            "defer-accept",
        ),
        ("single", "none", False),
    ),
    "scm-rights": ("handoff", "process", False),
    "poller": ("handoff", "thread", True),
}


def _three_words(wire: Wire) -> None:
    for word in (b"one", b"two and", b"three of them"):
        wire.send(word)
        assert wire.exactly(len(word)) == word


def _silent(wire: Wire) -> None:
    """Connects and leaves."""


def _server(prepare: Callable[[Path, int], list[str]], talk: Callable[[Wire], None] = _three_words) -> Real:
    return Real("", "", "", (), (), prepare, "", talk=talk)


def _python(way: str) -> Callable[[Path, int], list[str]]:
    return lambda _place, port: [sys.executable, str(SERVERS / "ways_server.py"), way, str(port)]


@pytest.fixture(scope="module")
def ring_server(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Real]:
    binary = tmp_path_factory.mktemp("ring") / "ring_server"
    source = str(SERVERS / "ring_server.c")
    subprocess.run(["gcc", "-O2", "-o", str(binary), source], check=True, timeout=60)
    return lambda way: _server(lambda _place, port: [str(binary), str(port), way])


def _told(run: Watched) -> tuple[str, str, bool]:
    return (run.verdict["model"], run.verdict["handoff"], run.verdict["roaming"])


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_accept_read_or_wait(way: str) -> None:
    with running(_server(_python(way))) as started:
        run = watch(started, CONNECTIONS, concurrency=8)
    assert complaints(run) == []
    assert _told(run) == WAYS[way], run.verdict["evidence"]


@pytest.mark.parametrize("way", ["once", "multishot", "polled"])
def test_io_uring_is_attributed_to_the_thread_that_does_it(
    way: str, ring_server: Callable[[str], Real]
) -> None:
    with running(ring_server(way)) as started:
        run = watch(started, CONNECTIONS, concurrency=8)
    assert complaints(run) == []
    assert _told(run) == ("single", "none", False)
    (worker,) = (row for row in run.seen["workers"] if row["accepts"])
    assert worker["comm"].startswith("iou-sqp") == (way == "polled")
    (thread,) = (row for row in run.seen["workers"] if row["waits"])  # io_uring_enter is a wait
    assert thread["comm"] == "ring_server"


def test_an_accept_into_the_ring_itself_is_told_as_the_guess_that_it_is(
    ring_server: Callable[[str], Real],
) -> None:
    with running(ring_server("direct")) as started:
        run = watch(started, CONNECTIONS, concurrency=8)
    assert _told(run) == ("single", "none", False)
    assert len(run.seen["connections"]) == CONNECTIONS
    for row in run.seen["connections"]:
        assert row["acceptor"]["comm"] == "ring_server"
        assert not row["exact"]
        assert row["inexact"] == ["accept not observed: acceptor assumed to be the first reader or writer"]
    assert sum(listener["accepts"] for listener in run.seen["listeners"]) == CONNECTIONS


def test_clients_that_only_come_and_go_have_an_acceptor_and_no_reader() -> None:
    with running(_server(_python("recv"), _silent)) as started:
        run = watch(started, CONNECTIONS, concurrency=8)
    assert len(run.seen["connections"]) == CONNECTIONS
    assert all(row["acceptor"]["tid"] and not row["readers"] for row in run.seen["connections"])
    assert run.verdict["model"] == "unknown"
    assert run.verdict["why"] == "nobody read a connection that was accepted while it was traced"


def test_fast_open_is_queued_before_its_handshake_is_over() -> None:
    """In a namespace of its own, where the server's half of TCP Fast Open may be switched on."""
    script = SERVERS / "fast_open_run.py"
    done = subprocess.run(
        ["unshare", "--net", sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=SERVERS.parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_server_behind_a_unix_socket_is_named() -> None:
    words = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); t = socket.create_server(('127.0.0.1', int(sys.argv[2]))); time.sleep(60)"
    place_of_socket = ""

    def prepare(place: Path, port: int) -> list[str]:
        nonlocal place_of_socket
        place_of_socket = str(place / "the.sock")
        return [sys.executable, "-c", words, place_of_socket, str(port)]

    with running(_server(prepare)) as started:
        run = watch(started, 0, target=Target(pids=(started.process.pid,)))
    (note,) = run.seen["health"]["notes"]
    assert place_of_socket in note
    assert str(started.process.pid) in note
