"""The load generator makes the load that was asked for and says what came of it."""

import json
import socket
import threading
import time

import pytest

from servers.errors import ServerError
from servers.load import Latency, Plan, run
from servers.load.__main__ import main


def test_heavy_connections_are_spread_among_the_light_ones():
    plan = Plan("127.0.0.1", 1, connections=10, requests=2, heavy=3, heavy_requests=50)
    requests = [plan.requests_of(index) for index in range(10)]
    assert requests.count(50) == 3
    assert requests.count(2) == 7
    assert requests != sorted(requests)


def test_latency_percentiles_are_by_nearest_rank():
    assert Latency.of(index / 1e6 for index in range(1, 101)) == Latency(50.0, 99.0, 100.0)
    assert Latency.of([]) == Latency(0.0, 0.0, 0.0)


def test_a_rate_and_a_pause_take_their_time(start):
    server = start("single")
    begin = time.monotonic()
    result = run(Plan(server.host, server.port, connections=50, rate=100, requests=3, think_s=0.05))
    assert time.monotonic() - begin >= 0.59
    assert (result.failed, result.requests) == (0, 150)


def test_time_ends_a_load_that_has_no_count_and_no_connection_fails_by_it(start):
    server = start("reuseport")
    result = run(Plan(server.host, server.port, connections=None, requests=5, think_s=0.05, duration_s=0.5))
    assert 0.5 <= result.seconds < 2
    assert result.connections > 16
    assert result.failed == 0


def test_sources_are_taken_in_turn(start, read_lines, tmp_path):
    server = start("single")
    truth = tmp_path / "truth"
    address = f"{server.host}:{server.port}"
    assert (
        main(
            ["--connect", address, "--connections=30", "--source=127.0.0.2,127.1.0.0/16", f"--truth={truth}"]
        )
        == 0
    )
    hosts = [line["local"].rpartition(":")[0] for line in read_lines(truth)]
    assert hosts.count("127.0.0.2") == 15
    assert len(set(hosts)) == 16


def test_many_addresses_of_a_host_can_connect_over_ipv6(start):
    server = start("single", host="::1")
    assert main(["--connect", server.address, "--connections=30", "--source=::1"]) == 0


def test_figures_are_printed_as_text_or_json(start, capsys):
    server = start("handoff")
    assert main(["--connect", server.address, "--connections=20"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("connections  20 in ")
    assert text.count("writer ") == 3
    assert main(["--connect", server.address, "--connections=20", "--requests=2", "--format=json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["connections"], figures["requests"], figures["errors"]) == (20, 40, {})
    assert sum(figures["writers"].values()) == 40


def test_nobody_listening_is_counted_and_ends_with_status_1(capsys):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert main([f"--connect=127.0.0.1:{bound.getsockname()[1]}", "--connections=10"]) == 1
    assert "errors       10 (connection refused 10)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (None, "timed out"),
        (b"", "closed by the server"),
        (b"hello\r\n\r\n", "not a reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nmore", "a reply that nobody asked for"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "closed by the server"),
    ],
)
def test_a_server_that_misbehaves_is_an_error_with_a_name(reply, error):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def misbehave():
            client, _ = listener.accept()
            client.recv(4096)
            if reply is None:
                client.recv(1)
            else:
                client.sendall(reply)
                client.shutdown(socket.SHUT_WR)
                client.recv(1)
            client.close()

        thread = threading.Thread(target=misbehave)
        thread.start()
        result = run(Plan("127.0.0.1", listener.getsockname()[1], connections=1, requests=2, timeout_s=0.3))
        thread.join()
    assert result.errors == {error: 1}


def test_a_truth_that_cannot_be_written_is_said_before_any_load(tmp_path):
    with pytest.raises(ServerError, match=r"cannot write .*: No such file or directory"):
        run(Plan("127.0.0.1", 1, truth=tmp_path / "none" / "truth"))
    with pytest.raises(ServerError, match="No space left on device"):
        run(Plan("127.0.0.1", 1, connections=1, truth=tmp_path.joinpath("/dev/full")))
