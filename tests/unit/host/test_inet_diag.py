"""Sampling real listeners of this machine; needs no root."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sockscope import formatting
from sockscope.errors import SockscopeError
from sockscope.host import inet_diag, inet_diag_wire, netns
from sockscope.host.inet_diag import InetDiag


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.fixture
def queues() -> Iterator[InetDiag]:
    with InetDiag() as opened:
        yield opened


def listen(
    address: str = "127.0.0.1", port: int = 0, backlog: int = 9, reuse_port: bool = False
) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family, backlog=backlog, reuse_port=reuse_port)


def inode(listener: socket.socket) -> int:
    return os.fstat(listener.fileno()).st_ino


def test_a_listener_is_told_with_its_address_and_limit(queues: InetDiag) -> None:
    with listen("127.0.0.1") as v4, listen("::1", backlog=17) as v6:
        four, six = (queues.sample([inode(each)])[0] for each in (v4, v6))
        assert (
            formatting.endpoint(four["address"].tobytes(), four["port"]) == f"127.0.0.1:{v4.getsockname()[1]}"
        )
        assert formatting.endpoint(six["address"].tobytes(), six["port"]) == f"[::1]:{v6.getsockname()[1]}"
        assert (four["family"], six["family"]) == (socket.AF_INET, socket.AF_INET6)
        assert (four["backlog"], six["backlog"]) == (9, 17)
        assert four["netns"] == six["netns"] == netns.own().inode
        assert four["queue"] == four["drops"] == four["syn_queue"] == 0
        assert queues.owners()[inode(v4)] == os.getuid()


def test_the_queue_grows_with_each_connection_and_shrinks_with_each_accept(queues: InetDiag) -> None:
    with listen() as listener:
        clients = []
        for waiting in range(5):
            assert queues.sample([inode(listener)])["queue"].tolist() == [waiting]
            clients.append(socket.create_connection(listener.getsockname()))
        for waiting in range(5, 0, -1):
            assert queues.sample([inode(listener)])["queue"].tolist() == [waiting]
            listener.accept()[0].close()
        for client in clients:
            client.close()


def test_members_of_a_group_are_rows_of_their_own(queues: InetDiag) -> None:
    with listen(reuse_port=True) as first, listen(port=first.getsockname()[1], reuse_port=True) as second:
        rows = queues.sample([inode(first), inode(second)])
        assert sorted(rows["inode"].tolist()) == sorted([inode(first), inode(second)])
        assert set(rows["port"].tolist()) == {first.getsockname()[1]}


def test_only_the_ports_asked_for_are_told() -> None:
    with listen() as one, listen() as two, listen() as three, listen("::1", one.getsockname()[1]) as six:
        wanted = {one.getsockname()[1], three.getsockname()[1]}
        with InetDiag(ports=wanted) as some:
            told = set(some.sample()["inode"].tolist())
            assert {inode(one), inode(three), inode(six)} <= told
            assert inode(two) not in told
            assert set(some.sample()["port"].tolist()) == wanted


def test_a_listener_told_twice_counts_once(queues: InetDiag, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump goes on where it was by counting, so one that is born meanwhile shifts the others."""
    once = inet_diag_wire.sockets
    monkeypatch.setattr(inet_diag_wire, "sockets", lambda rows: np.concatenate([once(rows), once(rows)]))
    with listen() as listener:
        assert queues.sample([inode(listener)])["inode"].tolist() == [inode(listener)]


def test_an_empty_choice_of_inodes_is_nobody(queues: InetDiag) -> None:
    with listen():
        assert len(queues.sample([])) == 0
        assert len(queues.sample()) > 0


def test_many_listeners_come_in_several_parts_and_all_arrive(queues: InetDiag) -> None:
    opened = [listen(backlog=at + 1) for at in range(400)]
    told = {row["inode"]: row["backlog"] for row in queues.sample()}
    assert [told[inode(each)] for each in opened] == [at + 1 for at in range(400)]
    for each in opened:
        each.close()


def test_pyroute2_decodes_the_same(queues: InetDiag) -> None:
    from pyroute2.netlink.diag import DiagSocket

    with listen() as v4, listen("::1", backlog=3) as v6, DiagSocket() as other:
        client = socket.create_connection(v4.getsockname())
        mine = {inode(v4), inode(v6)}
        expected = {
            (it["idiag_inode"], it["idiag_src"], it["idiag_sport"], it["idiag_rqueue"], it["idiag_wqueue"])
            for family in (socket.AF_INET, socket.AF_INET6)
            for it in other.get_sock_stats(family=family, states=1 << inet_diag_wire.LISTEN)
            if it["idiag_inode"] in mine
        }
        assert {
            (
                row["inode"],
                formatting.address(row["address"].tobytes()),
                row["port"],
                row["queue"],
                row["backlog"],
            )
            for row in queues.sample(mine)
        } == expected
        assert len(expected) == 2
        client.close()


def test_mptcp_listeners_are_told_under_their_own_inode(queues: InetDiag) -> None:
    try:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        pytest.skip("this kernel has no MPTCP")
    with listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(6)
        assert queues.sample([inode(listener)])["backlog"].tolist() == [6]


def test_an_interrupted_sample_does_not_spoil_the_next(
    queues: InetDiag, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = [listen() for _ in range(400)]  # more than one part

    def interrupt(chunk: bytes) -> Iterator[inet_diag_wire.Records]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(inet_diag_wire, "runs", interrupt)
        with pytest.raises(KeyboardInterrupt):
            queues.sample()
    assert {inode(each) for each in opened} <= set(queues.sample()["inode"].tolist())
    for each in opened:
        each.close()


def test_what_the_kernel_refuses_is_one_clear_error(queues: InetDiag) -> None:
    for number, word in ((errno.ENOENT, "no inet_diag"), (errno.EPERM, "not permitted")):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.settimeout(1)
        queues._socket.close()
        queues._socket = ours
        queues._answering = False
        following = queues._sequence + 1
        theirs.send(struct.pack("=IHHIIi", 20, inet_diag_wire.NLMSG_ERROR, 0, following, 0, -number))
        with pytest.raises(SockscopeError, match=word) as raised:
            queues.sample()
        assert ";" in str(raised.value)
        theirs.close()


def test_nothing_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    InetDiag().close()  # what the first use imports may keep files of its own
    before = open_files(), threading.active_count()
    queues = InetDiag()
    queues.sample()
    queues.close()
    queues.close()
    assert (open_files(), threading.active_count()) == before


def test_it_opens_where_an_event_loop_runs() -> None:
    async def body() -> int:
        with InetDiag() as queues, listen() as listener:
            return len(queues.sample([inode(listener)]))

    assert asyncio.run(body()) == 1


def test_a_machine_without_netlink_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyroute2.netlink.diag

    def refuse() -> None:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(pyroute2.netlink.diag, "DiagSocket", refuse)
    with pytest.raises(SockscopeError, match="inet_diag"):
        inet_diag.InetDiag()


def test_importing_costs_neither_pyroute2_nor_psutil() -> None:
    code = (
        "import sys, sockscope.cli.listeners, sockscope.host.overview;"
        "print([name for name in ('pyroute2', 'psutil', 'asyncio') if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    assert answer.stdout.strip() == "[]"
