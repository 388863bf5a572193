"""What every model and every variant must do for its clients."""

import os
import socket
from http.client import HTTPConnection
from pathlib import Path

import pytest

from servers.models import MODELS

HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def comm(who):
    pid, tid = who.split("/")
    return Path(f"/proc/{pid}/task/{tid}/comm").read_text().strip()


def read_to_the_end(client):
    received = bytearray()
    while data := client.recv(1 << 20):
        received += data
    return bytes(received)


def test_the_variants_under_test_are_all_that_the_registry_offers(variants):
    offered = set()
    for model in MODELS:
        offered.add((model.name,))
        for option in model.options:
            name = option.flag.removeprefix("--")
            offered |= {(model.name, name, choice) for choice in option.choices or (True,)}
    tested = set()
    for model, options in variants:
        defaults = {
            option.flag.removeprefix("--"): option.default
            for known in MODELS
            if known.name == model
            for option in known.options
            if option.choices
        }
        tested |= {(model,)} | {(model, *pair) for pair in (defaults | options).items()}
    assert offered == tested


@pytest.mark.parametrize(
    ("host", "clients"),
    [("127.0.0.1", ["127.0.0.1"]), ("::1", ["::1"]), ("::", ["127.0.0.1", "::1"])],
    ids=["ipv4", "ipv6", "dual stack"],
)
def test_a_connection_is_kept_alive_and_keeps_its_acceptor_and_listener(variant, start, ask, host, clients):
    model, options = variant
    server = start(model, host=host, **options)
    assert server.host == host
    for client in clients:
        connection = HTTPConnection(client, server.port, timeout=10)
        replies = []
        ports = set()
        for _ in range(3):
            replies.append(ask(connection))
            ports.add(connection.sock.getsockname()[1])
        connection.close()
        assert len(ports) == 1
        for name in ("X-Acceptor", "X-Reader", "X-Listener"):
            assert len({reply.getheader(name) for reply in replies}) == 1, name


def test_a_reply_names_live_threads_by_their_part_and_the_listening_socket(served, ask):
    server, model, options, _ = served
    connection = HTTPConnection(server.host, server.port, timeout=10)
    reply = ask(connection)
    acceptor, reader, writer = (
        comm(reply.getheader(f"X-{part}")) for part in ("Acceptor", "Reader", "Writer")
    )
    assert int(reply.getheader("X-Server-Pid")) == server.pid
    parts = {
        "single": {("ss-worker-0",) * 3},
        "handoff": {("ss-acceptor", f"ss-worker-{i}", f"ss-worker-{i}") for i in range(3)},
        "dispatch": {("ss-dispatch", "ss-dispatch", f"ss-worker-{i}") for i in range(3)},
    }.get(model, {(f"ss-worker-{i}",) * 3 for i in range(3)})
    if options.get("reply") == "dispatcher":
        parts = {("ss-dispatch",) * 3}
    assert (acceptor, reader, writer) in parts
    connection.close()
    listening = {
        int(line.split()[9])
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "0A"
    }
    assert int(reply.getheader("X-Listener")) in listening
    assert len(listening) == (3 if model == "reuseport" else 1)


def test_pipelined_requests_are_answered_in_order_also_after_a_half_close(served):
    server = served.server
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        client.sendall((GET + HEAD) * 100 + GET)
        client.shutdown(socket.SHUT_WR)
        received = read_to_the_end(client)
    pieces = received.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [piece.endswith(b"\r\n\r\n") for piece in pieces] == [False, True] * 100 + [False]


def test_a_client_that_reads_late_gets_every_byte(variant, start, read_lines, tmp_path, wait_until):
    model, options = variant
    server = start(model, ledger=tmp_path / "ledger", **options)
    requests = 12_000
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(20)
        client.connect((server.host, server.port))
        local = client.getsockname()[1]
        client.setblocking(False)
        unsent = memoryview(GET * requests)
        received = bytearray()

        def blocked():
            nonlocal unsent
            try:
                unsent = unsent[client.send(unsent) :]
            except BlockingIOError:
                return True
            return not unsent

        wait_until(blocked, "the server takes no more while nobody reads")
        while unsent:
            blocked()
            try:
                received += client.recv(1 << 16)
            except BlockingIOError:
                os.sched_yield()
        client.setblocking(True)
        client.shutdown(socket.SHUT_WR)
        received += read_to_the_end(client)
    assert received.count(b"HTTP/1.1 200") == requests
    server.stop()
    [line] = [line for line in read_lines(tmp_path / "ledger") if line["remote"].endswith(f":{local}")]
    assert sum(size for _, size in line["readers"].values()) == len(GET) * requests
    assert sum(size for _, size in line["writers"].values()) == len(received)


def test_a_request_in_single_bytes_is_answered_once(served):
    server = served.server
    with socket.create_connection((server.host, server.port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc":
            client.sendall(bytes([byte]))
        client.shutdown(socket.SHUT_WR)
        assert read_to_the_end(client).count(b"HTTP/1.1 200") == 1


def test_a_last_reply_arrives_whole_though_the_client_sends_on(served):
    server = served.server
    for request, status in (
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", b"200"),
        (b"GET / HTTP/1.0\r\n\r\n", b"200"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (b"x" * 200_000, b"431"),
    ):
        with socket.create_connection((server.host, server.port), timeout=10) as client:
            client.sendall(request + GET * 50)
            received = read_to_the_end(client)  # an end of file, not a reset
        assert received.startswith(b"HTTP/1.1 " + status)
        assert received.count(b"HTTP/1.1 ") == 1


def test_resets_and_idle_clients_leave_no_descriptor_behind(served, ask, descriptors, wait_until):
    server = served.server
    for index in range(60):
        client = socket.create_connection((server.host, server.port), timeout=10)
        if index % 3 == 1:
            client.sendall(GET * 3)
        if index % 3 == 2:
            client.sendall(GET[:9])
        if index % 2:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close resets
        client.close()
    wait_until(lambda: descriptors(server.pid) == served.descriptors, "every connection is closed")
    connection = HTTPConnection(server.host, server.port, timeout=10)
    ask(connection)
    connection.close()
