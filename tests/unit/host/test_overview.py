"""The join of listeners, owners, counters and blind spots, on this machine."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sockscope.errors import SockscopeError, UsageError
from sockscope.host import netns
from sockscope.host import overview as module
from sockscope.host.overview import overview
from sockscope.host.requested_backlog import requested_backlog

SOMAXCONN = int(Path("/proc/sys/net/core/somaxconn").read_text())


def test_a_listener_is_told_whole() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        address, port = listener.getsockname()
        client = socket.create_connection((address, port))
        seen = overview([port])
        client.close()
        (told,) = (it for it in seen.listeners if it.netns == seen.own)
        assert (told.address, told.port, told.family) == ("127.0.0.1", port, "ipv4")
        assert told.inode == os.fstat(listener.fileno()).st_ino
        assert (told.queue, told.backlog, told.requested_backlog, told.group) == (
            1,
            5,
            requested_backlog(5, SOMAXCONN),
            1,
        )
        assert (told.uid, told.netns_name) == (os.getuid(), "own")
        (holder,) = told.owners
        assert (holder.pid, holder.fds) == (os.getpid(), (listener.fileno(),))
        assert seen.hosts[0].netns == seen.own == netns.own().inode
        assert seen.hosts[0].somaxconn == SOMAXCONN


def test_members_of_a_group_know_how_many_they_are() -> None:
    first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    with first, socket.create_server(first.getsockname(), reuse_port=True):
        seen = overview([first.getsockname()[1]], str(os.getpid()))
    assert [it.group for it in seen.listeners] == [2, 2]
    assert seen.names == {seen.own: "own"}


def test_there_may_be_nobody() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, does not listen
        seen = overview([unused.getsockname()[1]])
    assert seen.listeners == ()
    assert len(seen.hosts) >= 1


def test_a_wrong_name_is_an_error() -> None:
    with pytest.raises(UsageError):
        overview((), "no-such-name")


def test_namespaces_that_refuse_are_named_and_those_that_ended_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, own = module.InetDiag, netns.own()
    closed, gone = netns.Namespace(1, "/run/netns/blue"), netns.Namespace(2, "/proc/5/ns/net")
    monkeypatch.setattr(
        module, "_all", lambda _: ([own, closed, gone], {own.inode: "own", 1: "blue", 2: "pid 5"}, 7)
    )

    def refusing(place: netns.Namespace, ports: object) -> module.InetDiag:
        if place == gone:
            raise netns.NamespaceGoneError("gone")
        if place == closed:
            raise SockscopeError("may not")
        return real(place)

    monkeypatch.setattr(module, "InetDiag", refusing)
    seen = overview()
    assert seen.unseen.namespaces == ("blue",)
    assert seen.unseen.namespaces_of == 7
    assert seen.names == {own.inode: "own"}
    assert [host.netns for host in seen.hosts] == [own.inode]
