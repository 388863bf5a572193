"""Queues that a test filled, with connections that nobody accepts: every number is exactly what was caused.

Each test has network namespaces of its own, so nothing else on the machine counts.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockscope import formatting
from sockscope.cli import run
from sockscope.errors import SockscopeError
from sockscope.host import netns
from sockscope.host.inet_diag import InetDiag
from sockscope.host.netns_counters import NetnsCounters
from sockscope.host.overview import overview
from sockscope.host.requested_backlog import requested_backlog
from sockscope.host.socket_owners import find_socket_owners
from tests.conftest import wait_until

pytestmark = pytest.mark.kernel

PORT = 8080
V4, V6 = "10.9.0.1", "2001:db8::1"
_numbers = itertools.count()


class Room:
    """A network namespace, and sockets inside it that are closed at its end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sockets: list[socket.socket] = []
        self.place = netns.resolve(name)
        for words in (
            "link set lo up",
            # handshakes from 10.9.0.0/16 and 2001:db8::/64 are answered into v0, where nobody is
            "link add v0 type veth peer name v1",
            "link set v0 arp off",
            f"addr add {V4}/16 dev v0",
            f"addr add {V6}/64 dev v0 nodad",
            "link set v0 up",
            "link set v1 up",
        ):
            ip("-n", name, *words.split())
        self.tell("net/ipv4/conf/all/rp_filter", 0)
        self.tell("net/ipv4/conf/v0/rp_filter", 0)

    def tell(self, sysctl: str, value: int) -> None:
        netns.inside(self.place, lambda: Path("/proc/sys", sysctl).write_text(str(value)))

    def socket(self, *what: int) -> socket.socket:
        made = netns.inside(self.place, lambda: socket.socket(*what))
        self.sockets.append(made)
        return made

    def listen(self, address: str, backlog: int, device: str = "", **options: bool) -> socket.socket:
        listener = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        if options.get("group"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if ":" in address:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not options.get("dual"))
        if device:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        listener.bind((address, PORT))
        listener.listen(backlog)
        return listener

    def connect(self, address: str, times: int = 1) -> None:
        """Connections that wait to be accepted: each has been when this returns."""
        for _ in range(times):
            client = self.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
            client.settimeout(5)
            client.connect((address, PORT))

    def knock(self, address: str, times: int) -> None:
        """Handshakes that are begun and never completed: one packet each, never sent again."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        raw = self.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for _ in range(times):
            raw.sendto(syn(address), (address, 0))

    def knock_through(self, device: str, mac: bytes, address: str, times: int) -> None:
        """The same, coming in through the other end of ``device``."""
        wire = self.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind((device, 0))
        for _ in range(times):
            wire.send(mac + bytes(6) + b"\x08\x00" + syn(address))

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def syn(target: str) -> bytes:
    """An IP packet that begins a connection, from an address and port never used before."""
    number = next(_numbers)
    ports = struct.pack(">HH", 10_000 + number % 50_000, PORT)
    plain = ports + struct.pack(">IIBBHHH", 1, 0, 5 << 4, 2, 64_240, 0, 0)
    if ":" in target:
        source, there = (
            socket.inet_pton(socket.AF_INET6, text) for text in (f"2001:db8::2:{number % 60_000:x}", target)
        )
        head = struct.pack(">IHBB", 6 << 28, len(plain), 6, 64) + source + there
    else:
        source = socket.inet_aton(f"10.9.{1 + number // 250 % 250}.{1 + number % 250}")
        there = socket.inet_aton(target)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0x4000, 64, 6, 0) + source + there
        head = head[:10] + checksum(head) + head[12:]
    check = checksum(source + there + struct.pack(">II", len(plain), 6) + plain)
    return head + plain[:16] + check + plain[18:]


def checksum(octets: bytes) -> bytes:
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack(">H", ~total & 0xFFFF)


@contextmanager
def rented(name: str) -> Iterator[Room]:
    ip("netns", "add", name)
    try:
        made = Room(name)
        try:
            yield made
        finally:
            made.close()
    finally:
        ip("netns", "delete", name)


@pytest.fixture
def room() -> Iterator[Room]:
    with rented(f"sockscope-{os.getpid()}-a") as made:
        yield made


@pytest.fixture
def other() -> Iterator[Room]:
    with rented(f"sockscope-{os.getpid()}-b") as made:
        yield made


def inode(listener: socket.socket) -> int:
    return os.fstat(listener.fileno()).st_ino


def numbers(queues: InetDiag, listener: socket.socket) -> dict[str, int]:
    """``queue``, ``backlog``, ``drops`` and ``syn_queue`` of one listener."""
    (row,) = queues.sample([inode(listener)])
    return {name: int(row[name]) for name in ("queue", "backlog", "drops", "syn_queue")}


def caused(queue: int = 0, backlog: int = 0, drops: int = 0, syn_queue: int = 0) -> dict[str, int]:
    return {"queue": queue, "backlog": backlog, "drops": drops, "syn_queue": syn_queue}


@pytest.mark.parametrize("address", [V4, V6])
@pytest.mark.parametrize("backlog", [0, 1, 7])
def test_a_queue_takes_one_more_than_its_limit_and_then_every_attempt_is_a_drop(
    room: Room, address: str, backlog: int
) -> None:
    listener = room.listen(address, backlog)
    with InetDiag(room.place) as queues, NetnsCounters(room.place) as host:
        before = host.read()
        assert numbers(queues, listener) == caused(0, backlog)
        room.connect(address, backlog + 1)
        assert numbers(queues, listener) == caused(backlog + 1, backlog)
        room.knock(address, 5)
        assert numbers(queues, listener) == caused(backlog + 1, backlog, drops=5)
        after = host.read()
        assert after.listen_overflows - before.listen_overflows == 5
        assert after.listen_drops - before.listen_drops == 5
        listener.accept()[0].close()
        assert numbers(queues, listener) == caused(backlog, backlog, drops=5)


@pytest.mark.parametrize("address", [V4, V6])
def test_handshakes_under_way_are_the_syn_queue(room: Room, address: str) -> None:
    quiet = room.listen("127.0.0.1", 100)
    listener = room.listen(address, 100)
    with InetDiag(room.place) as queues, InetDiag(room.place, [PORT]) as by_port:
        room.knock(address, 60)
        for each in (queues, by_port):
            assert numbers(each, listener) == caused(0, 100, syn_queue=60)
            assert numbers(each, quiet) == caused(0, 100)
        (row,) = queues.sample([inode(listener)], handshakes=False)
        assert row["syn_queue"] == 0
        room.connect(address, 3)
        assert numbers(queues, listener) == caused(3, 100, syn_queue=60)
    with InetDiag(room.place, [PORT + 1]) as elsewhere:
        assert len(elsewhere.sample()) == 0


def test_ten_thousand_handshakes_are_counted_to_the_last(room: Room) -> None:
    room.tell("net/core/somaxconn", 20_000)
    room.tell("net/ipv4/tcp_synack_retries", 12)  # none may be given up on a slow machine
    listener = room.listen("0.0.0.0", 20_000)
    with InetDiag(room.place) as queues:
        for sent in range(500, 10_001, 500):  # a slow machine loses packets when too many come at once
            room.knock(V4, 500)
            wait_until(lambda sent=sent: numbers(queues, listener)["syn_queue"] >= sent, within_s=60)
        assert numbers(queues, listener) == caused(0, 20_000, syn_queue=10_000)


def test_a_full_syn_queue_is_answered_with_cookies(room: Room) -> None:
    room.tell("net/ipv4/tcp_syncookies", 1)
    listener = room.listen(V4, 4)
    with InetDiag(room.place) as queues, NetnsCounters(room.place) as host:
        before = host.read()
        room.knock(V4, 10)
        waiting = numbers(queues, listener)["syn_queue"]
        assert waiting in (4, 5)  # newer kernels take one more than the limit here too
        assert numbers(queues, listener) == caused(0, 4, syn_queue=waiting)
        assert host.read().syn_cookies_sent - before.syn_cookies_sent == 10 - waiting


def test_a_dual_stack_listener_has_the_handshakes_and_connections_of_both_families(room: Room) -> None:
    listener = room.listen("::", 50, dual=True)
    with InetDiag(room.place) as queues:
        room.knock(V4, 3)
        room.knock(V6, 4)
        room.connect(V4, 5)
        room.connect(V6, 6)
        assert numbers(queues, listener) == caused(11, 50, syn_queue=7)
        (row,) = queues.sample()
        assert (formatting.address(row["address"].tobytes()), row["family"]) == ("::", socket.AF_INET6)


def test_listeners_of_both_families_on_one_port_keep_apart(room: Room) -> None:
    # the kernel lets a wildcard and an address on one port both listen only with SO_REUSEPORT
    four, exact = room.listen("0.0.0.0", 20, group=True), room.listen("127.0.0.1", 40, group=True)
    six = room.listen("::", 30)
    with InetDiag(room.place) as queues:
        room.knock(V4, 3)
        room.knock(V6, 4)
        room.connect(V4, 1)
        room.connect(V6, 2)
        room.connect("127.0.0.1", 5)
        assert numbers(queues, four) == caused(1, 20, syn_queue=3)
        assert numbers(queues, six) == caused(2, 30, syn_queue=4)
        assert numbers(queues, exact) == caused(5, 40)


def test_a_listener_bound_to_a_device_has_its_own_syn_queue(room: Room) -> None:
    wild = room.listen("0.0.0.0", 50, group=True)
    bound = room.listen("0.0.0.0", 60, device="v0", group=True)
    ip("-n", room.name, "addr", "add", "10.9.0.9/32", "dev", "lo")
    mac = netns.inside(room.place, lambda: device_address("v0"))
    with InetDiag(room.place) as queues:
        room.knock("10.9.0.9", 3)
        room.knock_through("v1", mac, V4, 4)
        wait_until(lambda: numbers(queues, bound)["syn_queue"] == 4)
        assert numbers(queues, bound) == caused(0, 60, syn_queue=4)
        assert numbers(queues, wild) == caused(0, 50, syn_queue=3)


def device_address(name: str) -> bytes:
    (told,) = json.loads(subprocess.check_output(["ip", "-j", "link", "show", name]))
    return bytes.fromhex(told["address"].replace(":", ""))


def test_each_member_of_a_group_has_a_queue_and_drops_of_its_own(room: Room) -> None:
    members = [room.listen("0.0.0.0", 3, group=True) for _ in range(4)]
    with InetDiag(room.place) as queues, NetnsCounters(room.place) as host:
        for _ in range(60):  # until the hash has given every member more than it takes
            client = room.socket(socket.AF_INET)
            client.setblocking(False)
            assert client.connect_ex((V4, PORT)) == errno.EINPROGRESS
        wait_until(lambda: sum(numbers(queues, each)["queue"] for each in members) == 16)
        for client in room.sockets[4:]:
            client.close()  # those refused do not try again: what was counted stays
        rows = {row["inode"]: row for row in queues.sample()}
        assert rows.keys() == {inode(each) for each in members}
        assert [int(rows[inode(each)]["queue"]) for each in members] == [4] * 4
        drops = [int(rows[inode(each)]["drops"]) for each in members]
        assert sum(drops) == host.read().listen_overflows == host.read().listen_drops >= 44
        room.knock(V4, 40)
        more = [numbers(queues, each)["drops"] for each in members]
        assert sum(more) - sum(drops) == 40
        for each in members:
            each.setblocking(False)
            taken = sum(1 for _ in iter(accepts_of(each), False))
            assert taken == 4


def accepts_of(listener: socket.socket) -> Callable[[], bool]:
    def accept() -> bool:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    return accept


def test_somaxconn_cuts_the_backlog_and_the_words_allow_for_it(room: Room) -> None:
    room.tell("net/core/somaxconn", 3)
    cut, less = room.listen("127.0.0.1", 100), room.listen("127.0.0.2", 2)
    with InetDiag(room.place) as queues, NetnsCounters(room.place) as host:
        limits = [numbers(queues, each)["backlog"] for each in (cut, less)]
        assert limits == [3, 2]
        assert host.read().somaxconn == 3
        assert [requested_backlog(limit, host.read().somaxconn).short for limit in limits] == ["3+", "2"]
        room.tell("net/core/somaxconn", 2)
        assert numbers(queues, cut)["backlog"] == 3
        assert requested_backlog(3, host.read().somaxconn).clamped


def test_two_namespaces_do_not_see_each_other(room: Room, other: Room) -> None:
    here, there = room.listen("0.0.0.0", 5), other.listen("0.0.0.0", 6)
    room.connect(V4, 2)
    other.connect(V4, 7)
    other.knock(V4, 3)
    with InetDiag(room.place) as mine, InetDiag(other.place) as theirs:
        assert mine.sample()[["netns", "inode", "queue", "drops"]].tolist() == [
            (room.place.inode, inode(here), 2, 0)
        ]
        assert theirs.sample()[["netns", "inode", "queue", "drops"]].tolist() == [
            (other.place.inode, inode(there), 7, 3)
        ]
    with NetnsCounters(room.place) as mine_host, NetnsCounters(other.place) as their_host:
        assert mine_host.read().listen_overflows == 0
        assert their_host.read().listen_overflows == 3
        assert (mine_host.read().netns, their_host.read().netns) == (room.place.inode, other.place.inode)
    assert {room.place.inode, other.place.inode}.isdisjoint({netns.own().inode})


def test_a_namespace_is_found_by_name_path_pid_and_inode(room: Room) -> None:
    listener = room.listen("127.0.0.1", 5)
    inhabitant = subprocess.Popen(["ip", "netns", "exec", room.name, "sleep", "60"])
    try:
        wait_until(lambda: netns.census().pids.get(room.place.inode) == inhabitant.pid)
        path = f"/run/netns/{room.name}"
        for text in (
            room.name,
            path,
            str(inhabitant.pid),
            str(room.place.inode),
            f"net:[{room.place.inode}]",
        ):
            place = netns.resolve(text)
            assert place.inode == room.place.inode, text
            with InetDiag(place) as queues:
                assert queues.sample()["inode"].tolist() == [inode(listener)], text
    finally:
        inhabitant.kill()
        inhabitant.wait()
    assert netns.named()[room.place.inode] == path
    assert netns.resolve(str(room.place.inode)).path == path  # found though nobody lives there


def test_the_caller_stays_where_it_is(room: Room) -> None:
    before = netns.own().inode
    with InetDiag(room.place), NetnsCounters(room.place):
        assert netns.own().inode == before
    assert netns.inside(room.place, netns.own).inode == room.place.inode
    assert netns.own().inode == before


def test_ss_says_the_same(room: Room) -> None:
    room.listen("0.0.0.0", 5)
    room.listen("::1", 9)
    room.connect(V4, 6)
    room.connect("::1", 2)
    told = [line.split() for line in ip("netns", "exec", room.name, "ss", "-Hltn").splitlines()]
    with InetDiag(room.place) as queues:
        mine = {
            (
                int(row["queue"]),
                int(row["backlog"]),
                formatting.endpoint(row["address"].tobytes(), row["port"]),
            )
            for row in queues.sample()
        }
    assert mine == {(int(line[1]), int(line[2]), line[3]) for line in told}
    assert len(mine) == 2


def test_the_command_tells_it_all(room: Room, capfd: pytest.CaptureFixture[str]) -> None:
    members = [room.listen("0.0.0.0", 3, group=True) for _ in range(2)]
    room.connect(V4, 2)
    room.knock(V4, 4)
    assert run(["listeners", "--netns", room.name, "--format", "json", "--port", str(PORT)]) == 0
    told = json.loads(capfd.readouterr().out)
    assert {it["inode"] for it in told["listeners"]} == {inode(each) for each in members}
    assert sum(it["queue"] for it in told["listeners"]) == 2
    for it in told["listeners"]:
        assert (it["netns"], it["netns_name"]) == (room.place.inode, room.name)
        assert (it["address"], it["port"], it["group"]) == ("0.0.0.0", PORT, 2)
        assert (it["backlog"], it["syn_queue"], it["drops"]) == (3, 4, 0)
        assert it["requested_backlog"]["least"] == 3
        assert [holder["pid"] for holder in it["owners"]] == [os.getpid()]
    assert run(["listeners", "--netns", str(room.place.inode)]) == 0
    shown = capfd.readouterr().out
    assert f"network namespace {room.name} ({room.place.inode}):" in shown
    assert f"0.0.0.0:{PORT} reuseport x2" in shown
    assert run(["listeners"]) == 0
    assert f"network namespace {room.name} ({room.place.inode}):" in capfd.readouterr().out


def test_a_namespace_that_was_deleted_is_a_clear_error(other: Room) -> None:
    place = netns.Namespace(other.place.inode, "/run/netns/sockscope-never")
    with pytest.raises(SockscopeError, match="; "):
        InetDiag(place)


def test_without_root_queues_are_told_and_what_is_hidden_is_said(room: Room) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        overview([port])  # imports all that it needs, which nobody else may read in a home directory
        told = as_nobody(lambda: look_as_nobody(listener, room.place))
        client.close()
    assert told["queue"] == 1
    assert told["backlog"] == 5
    assert told["uid"] == os.getuid()
    assert told["owners"] == 0
    assert told["without_owner"] == 1
    assert told["descriptors"] > 0
    assert told["namespaces_of"] > 0
    assert room.name in told["namespaces"]
    assert "run as root" in told["refusal"]


def look_as_nobody(listener: socket.socket, elsewhere: netns.Namespace) -> dict[str, Any]:
    port = listener.getsockname()[1]
    listener.close()  # or this process would see itself hold it
    seen = overview([port])
    (it,) = seen.listeners
    try:
        InetDiag(elsewhere)
        refusal = ""
    except SockscopeError as error:
        refusal = str(error)
    return {
        "queue": it.queue,
        "backlog": it.backlog,
        "uid": it.uid,
        "owners": len(it.owners),
        "without_owner": seen.unseen.without_owner,
        "descriptors": seen.unseen.descriptors,
        "namespaces_of": seen.unseen.namespaces_of,
        "namespaces": seen.unseen.namespaces,
        "refusal": refusal,
    }


def as_nobody(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``action`` returns in a child process without any privilege."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            os.write(writing, json.dumps(action()).encode())
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:
        raw = answer.read()
    os.waitpid(child, 0)
    told: dict[str, Any] = json.loads(raw)
    return told


def test_holders_in_another_namespace_are_found(room: Room) -> None:
    listener = room.listen("127.0.0.1", 5)
    child = subprocess.Popen(["sleep", "60"], pass_fds=[listener.fileno()])
    try:
        rows = find_socket_owners({inode(listener): room.place.inode}).rows
        assert np.unique(rows["pid"]).tolist() == sorted([os.getpid(), child.pid])
        assert set(rows["netns"].tolist()) == {room.place.inode}
    finally:
        child.kill()
        child.wait()
