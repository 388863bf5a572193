"""MPTCP listeners, how connections end, and what accept() returns, compared with the books of both sides."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sockscope.analysis.analyse import analyse
from sockscope.model.state import State
from sockscope.report.json import document
from sockscope.session.live import LiveSession
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes
from tests.conftest import wait_until
from tests.kernel.tracing import leaving_at_once

pytestmark = pytest.mark.kernel

_MPTCP = 262  # IPPROTO_MPTCP
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, 0 seconds
_HAS_MPTCP = Path("/proc/sys/net/mptcp/enabled").exists()


def _listen(address: str = "127.0.0.1", protocol: int = 0, backlog: int = 512) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    listener.bind((address, 0))
    listener.listen(backlog)
    return listener


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()


def _serve(connection: socket.socket) -> None:
    """End a connection as its first byte says; the reply names the thread."""
    what = connection.recv(1, socket.MSG_PEEK)
    if what == b"u":  # not read: the kernel resets it
        connection.close()
        return
    connection.recv(64)
    connection.sendall(str(threading.get_native_id()).encode())
    if what == b"R":
        _reset(connection)
        return
    if what in b"cwp":
        try:
            while connection.recv(64):
                pass
        except ConnectionResetError:
            pass
    connection.close()


class _Server:
    """A process that holds a listening socket: the tracer does not trace its own."""

    def __init__(self, listener: socket.socket, run: Callable[[socket.socket], None]) -> None:
        self.family, self.address = listener.family, listener.getsockname()[:2]
        self._here, there = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            try:
                self._here.close()
                there.recv(1)
                run(listener)
                there.sendall(b"!")
                time.sleep(60)
            finally:
                os._exit(0)
        there.close()
        listener.close()

    @property
    def port(self) -> int:
        return int(self.address[1])

    def go(self) -> None:
        """Let it run."""
        self._here.sendall(b"!")

    def done(self) -> None:
        """Wait until what it runs is over."""
        self._here.settimeout(20)
        assert self._here.recv(1) == b"!"

    def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._here.close()


def _accept_loop(listener: socket.socket) -> None:
    while True:
        _serve(listener.accept()[0])


def _name(client: socket.socket) -> str:
    host, port = client.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _client(server: _Server, what: bytes, protocol: int, books: dict[str, tuple[str, str]]) -> None:
    """One connection that ends as ``what`` says; into the books go its end and the thread that replied."""
    client = socket.socket(server.family, socket.SOCK_STREAM, protocol)
    client.connect(server.address)
    name, reply = _name(client), b""
    client.sendall(what)
    if what == b"w":
        client.shutdown(socket.SHUT_WR)
    if what != b"u":
        reply = client.recv(64)
    if what == b"p":
        _reset(client)
    elif what == b"c":
        client.close()
    else:
        try:
            while client.recv(64):
                pass
        except ConnectionResetError:
            assert what in b"uR"
        client.close()
    ended = {
        b"c": "closed_by_peer",
        b"w": "closed_by_peer",
        b"s": "closed_by_server",
        b"p": "reset_by_peer",
        b"R": "reset_by_server",
        b"u": "reset_by_server",
    }[what]
    books[name] = (ended, reply.decode())


@contextmanager
def _traced(ports: tuple[int, ...], signals: dict[str, str] | None = None) -> Iterator[Any]:
    with leaving_at_once(LiveSession(Target(ports=ports), MapSizes(), signals)) as session:
        session.start()
        yield session


def _report(session: LiveSession, state: State) -> dict[str, Any]:
    state.apply(session.stop())
    return json.loads(json.dumps(document(analyse(session.meta, state.snapshot()))))  # type: ignore[no-any-return]


def _over(session: LiveSession, state: State) -> int:
    """Return how many connections are closed, whether or not a process still holds their socket."""
    state.apply(session.batch())
    return int((state.snapshot().connections["closed_ns"] > 0).sum())


def _closed(session: LiveSession, state: State) -> int:
    state.apply(session.batch())
    return state.snapshot().closed_total


@pytest.mark.skipif(not _HAS_MPTCP, reason="this kernel has no MPTCP")
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("known", ["before", "while traced"])
def test_connections_of_an_mptcp_listener_have_acceptor_and_reader(address: str, known: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, _MPTCP)
    listener.bind((address, 0))
    if known == "before":
        listener.listen(128)
    inode = os.fstat(listener.fileno()).st_ino

    def run(listener: socket.socket) -> None:
        listener.listen(128)
        _accept_loop(listener)

    books: dict[str, tuple[str, str]] = {}
    with _Server(listener, run) as server, _traced((server.port,)) as session:
        server.go()
        state = State()
        wait_until(lambda: _is_listening(server))
        for number in range(60):
            _client(server, b"cs"[number % 2 : number % 2 + 1], (0, _MPTCP)[number // 2 % 2], books)
        wait_until(lambda: _over(session, state) == 60, within_s=20)
        server.kill()
        seen = _report(session, state)
    assert len(books) == 60
    assert {row["remote"] for row in seen["connections"]} == set(books)
    assert seen["health"]["lost"] == []
    for row in seen["connections"]:
        ended, thread = books[row["remote"]]
        assert (row["ended"], row["exact"], row["inexact"]) == (ended, True, [])
        assert str(row["acceptor"]["tid"]) == thread
        assert [(str(reader["tid"]), reader["bytes"]) for reader in row["readers"]] == [(thread, 1)]
        assert [(str(writer["tid"]), writer["bytes"]) for writer in row["writers"]] == [(thread, len(thread))]
    assert sum(row["mptcp"] for row in seen["connections"]) == 30
    (listening,) = seen["listeners"]
    assert (listening["mptcp"], listening["established"], listening["accepts"]) == (True, 60, 60)
    assert listening["inode"] == inode


def _is_listening(server: _Server) -> bool:
    table = Path("/proc/net/tcp6" if server.family == socket.AF_INET6 else "/proc/net/tcp").read_text()
    return any(
        line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "0A"
        for line in table.splitlines()[1:]
    )


def test_each_connection_ends_as_both_sides_say() -> None:
    choose = random.Random(1)
    books: dict[str, tuple[str, str]] = {}
    plan = [choose.choice((b"c", b"w", b"s", b"p", b"R", b"u")) for _ in range(600)]
    with _Server(_listen(), _accept_loop) as server, _traced((server.port,)) as session:
        server.go()
        state = State()
        for what in plan:
            _client(server, what, 0, books)
        wait_until(lambda: _closed(session, state) >= len(plan), within_s=20)
        seen = _report(session, state)
    assert len(books) == len(plan)
    assert {row["remote"]: row["ended"] for row in seen["connections"]} == {
        name: ended for name, (ended, _) in books.items()
    }
    for row in seen["connections"]:
        thread = books[row["remote"]][1]
        assert row["answered"] is bool(thread)
        assert row["unread_bytes"] == (0 if thread else 1), row
        assert row["exact"]
        if row["ended"] in ("closed_by_server", "reset_by_server"):
            assert row["closed_by"]["tid"] == row["acceptor"]["tid"]
        assert (row["close_wait_ns"] is not None) == (row["ended"] == "closed_by_peer")
    (listening,) = seen["listeners"]
    counted = Counter({(one["ended"], one["answered"]): one["connections"] for one in listening["ends"]})
    assert counted == Counter((row["ended"], row["answered"]) for row in seen["connections"])


@pytest.mark.parametrize("how", ["unaccepted_listener_closed", "unaccepted_process_died"])
def test_connections_that_no_thread_accepts_end_as_their_peer_or_listener_does(how: str) -> None:
    books: dict[str, str] = {}
    kept = []

    def connect(ended: str) -> socket.socket:
        client = socket.create_connection(server.address)
        client.sendall(b"hello")
        books[_name(client)] = ended
        return client

    with _Server(_listen(), lambda listener: listener.close()) as server:
        with _traced((server.port,)) as session:
            state = State()
            for _ in range(20):
                connect("unaccepted_peer_gave_up").close()
                _reset(connect("unaccepted_peer_gave_up"))
                kept.append(connect(how))
            if how == "unaccepted_process_died":
                server.kill()
            else:
                server.go()
                server.done()
            wait_until(lambda: _closed(session, state) >= 60, within_s=20)
            seen = _report(session, state)
    for client in kept:
        client.close()
    assert {row["remote"]: row["ended"] for row in seen["connections"]} == books
    assert all(row["acceptor"] is None and row["answered"] is False for row in seen["connections"])
    assert {row["unread_bytes"] for row in seen["connections"] if row["ended"] == how} == {5}


def test_failed_accepts_are_counted_by_thread_listener_and_errno(tmp_path: Path) -> None:
    counts, stop = tmp_path / "counts", tmp_path / "stop"

    def serve(listener: socket.socket) -> None:
        listener.setblocking(False)
        highest = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 30, highest + 30))
        found: Counter[str] = Counter()
        held = []
        while True:
            try:
                held.append(listener.accept()[0])
            except OSError as error:
                found[errno.errorcode[error.errno or 0]] += 1
                if os.access(stop, os.F_OK):
                    break
                time.sleep(0.001)
        held.pop().close()
        counts.write_text(json.dumps(found))

    def failed() -> int:
        state.apply(session.batch())
        return sum(one.count for one in state.snapshot().accept_errors if one.error == errno.EMFILE)

    with _Server(_listen(), serve) as server, _traced((server.port,)) as session:
        server.go()
        state = State()
        clients = [socket.create_connection(server.address) for _ in range(400)]
        wait_until(lambda: failed() > 20, within_s=20)
        stop.touch()
        server.done()
        true, seen = json.loads(counts.read_text()), _report(session, state)
        pid = server.pid
    for client in clients:
        client.close()
    errors = seen["listeners"][0]["accept_errors"]
    assert {one["name"]: one["count"] for one in errors} == true
    assert true["EMFILE"] > 20
    assert {one["pid"] for one in errors} == {pid}
    assert all(0 < one["first_ns"] <= one["last_ns"] for one in errors)


def test_an_accept_that_returns_a_known_connection_ends_no_record() -> None:
    """Another thread puts an open connection over the descriptor that accept() is about to return."""

    def serve(listener: socket.socket) -> None:
        first = listener.accept()[0]
        first.sendall(b"x")
        number = os.dup(first.fileno())
        os.close(number)  # the number that accept() returns next

        def replace() -> None:
            while True:
                os.dup2(first.fileno(), number)

        threading.Thread(target=replace, daemon=True).start()
        while True:
            os.close(listener._accept()[0])  # type: ignore[attr-defined]

    with _Server(_listen(), serve) as server, _traced((server.port,)) as session:
        server.go()
        state = State()
        old = socket.create_connection(server.address)
        assert old.recv(1) == b"x"
        for _ in range(300):
            socket.create_connection(server.address).close()
        seen = _report(session, state)
        name = _name(old)
    old.close()
    assert [row["ended"] for row in seen["connections"] if row["remote"] == name] == ["open"]
    assert len(seen["connections"]) == 301


def test_a_second_listen_changes_the_limit_that_is_shown() -> None:
    with (
        _Server(_listen(backlog=5), lambda listener: listener.listen(300)) as server,
        _traced((server.port,)) as session,
    ):
        server.go()
        server.done()
        state = State()
        client = socket.create_connection(server.address)
        seen = _report(session, state)
    client.close()
    assert seen["listeners"][0]["backlog"] == 300


_VSOCK = 40  # AF_VSOCK
_SCTP = 132  # IPPROTO_SCTP


@pytest.mark.parametrize(
    ("kind", "family", "protocol", "address"),
    [
        ("vsock", _VSOCK, 0, (0xFFFFFFFF, 0xFFFFFFFF)),  # VMADDR_CID_ANY, VMADDR_PORT_ANY
        ("SCTP", socket.AF_INET, _SCTP, ("127.0.0.1", 0)),
        ("SMC", 43, 0, ("127.0.0.1", 0)),
    ],
)
def test_listening_sockets_that_are_not_traced_are_named(
    kind: str, family: int, protocol: int, address: tuple[Any, ...]
) -> None:
    try:
        other = socket.socket(family, socket.SOCK_STREAM, protocol)
        other.bind(address)
        other.listen()
    except OSError as error:
        pytest.skip(f"this kernel has no {kind} ({error.strerror})")
    with _Server(_listen(), _accept_loop) as server:
        other.close()
        with _traced((server.port,)) as session:
            server.go()
            seen = _report(session, State())
            pid = server.pid
    assert [note for note in seen["health"]["notes"] if f"({pid}) has a listening {kind} socket" in note]
