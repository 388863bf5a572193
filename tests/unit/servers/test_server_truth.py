"""The server's ledger and the client's truth are two accounts of the same thing."""

from collections import Counter

from servers.load import Plan, run


def as_the_client_saw(line):
    return (
        line["local"],
        line["remote"],
        line["listener"],
        line["acceptor"],
        tuple(sorted(line["readers"].items())),
        tuple(sorted(line["writers"].items())),
        line["bytes_sent"],
        line["bytes_received"],
    )


def as_the_server_did(line):
    return (
        line["remote"],
        line["local"],
        line["listener"],
        "{}/{}".format(*line["acceptor"]),
        tuple(sorted((who, calls) for who, (calls, _) in line["readers"].items())),
        tuple(sorted((who, calls) for who, (calls, _) in line["writers"].items())),
        sum(size for _, size in line["readers"].values()),
        sum(size for _, size in line["writers"].values()),
    )


def test_the_ledger_has_each_connection_as_its_client_saw_it(variant, start, read_lines, tmp_path):
    model, options = variant
    server = start(model, ledger=tmp_path / "ledger", **options)
    plan = Plan(
        server.host,
        server.port,
        connections=2_000,
        requests=2,
        heavy=20,
        heavy_requests=10,
        concurrency=24,
        truth=tmp_path / "truth",
    )
    result = run(plan)
    assert (result.failed, result.connections, result.requests) == (0, 2_000, 2_000 * 2 + 20 * 8)
    assert server.stop() == 0
    truth = read_lines(tmp_path / "truth")
    ledger = read_lines(tmp_path / "ledger")
    assert Counter(map(as_the_server_did, ledger)) == Counter(map(as_the_client_saw, truth))
    assert {line["eof_reads"] for line in ledger} == {1}, "a client closes with an end of file, never a reset"
    assert result.bytes_received == sum(line["bytes_received"] for line in truth)


def test_mapped_addresses_are_written_as_the_client_writes_them(start, read_lines, tmp_path):
    server = start("reuseport", host="::", ledger=tmp_path / "ledger")
    assert run(Plan("127.0.0.1", server.port, connections=20, truth=tmp_path / "truth")).failed == 0
    assert run(Plan("::1", server.port, connections=20, truth=tmp_path / "truth6")).failed == 0
    server.stop()
    truth = read_lines(tmp_path / "truth") + read_lines(tmp_path / "truth6")
    assert Counter(map(as_the_server_did, read_lines(tmp_path / "ledger"))) == Counter(
        map(as_the_client_saw, truth)
    )
    assert {line["remote"].rpartition(":")[0] for line in truth} == {"127.0.0.1", "[::1]"}
