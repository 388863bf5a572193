"""Pseudonyms: the same for the same, others for others, and nothing of what was."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sockscope import formatting
from sockscope.records.batch import QUEUE, Batch, Health, Process
from sockscope.records.layout import CONNECTION, LISTENER, WORKER
from sockscope.session.frames import frame_of_batches
from sockscope.store import Reader
from sockscope.store.anonymize import NOTE, Anonymizer
from tests.synthetic import Scenario, SyntheticSource
from tests.unit.store.recordings import META, record

MAPPED = b"\0" * 10 + b"\xff\xff"
OCTETS = st.one_of(
    st.binary(min_size=16, max_size=16), st.binary(min_size=4, max_size=4).map(lambda tail: MAPPED + tail)
)


@settings(max_examples=50, deadline=None)
@given(st.lists(OCTETS, min_size=2, max_size=40, unique=True))
def test_two_addresses_are_two_pseudonyms_of_their_kind(addresses: list[bytes]) -> None:
    veil = Anonymizer(b"k" * 32)
    veiled = [veil.pseudonym(address) for address in addresses]
    assert len(set(veiled)) == len(addresses)
    assert veiled == [veil.pseudonym(address) for address in addresses]
    for address, other in zip(addresses, veiled, strict=True):
        assert (address[:12] == MAPPED) == (other[:12] == MAPPED)
        assert len(other) == 16


def test_every_ipv4_network_of_256_is_scattered_and_no_two_meet() -> None:
    veil = Anonymizer()
    network = [MAPPED + bytes([10, 20, 30, host]) for host in range(256)]
    veiled = {veil.pseudonym(address) for address in network}
    assert len(veiled) == 256
    assert len({address[:15] for address in veiled}) > 200


def test_what_stands_for_any_address_stays() -> None:
    veil = Anonymizer()
    for address in (b"\0" * 16, MAPPED + b"\0" * 4):
        assert veil.pseudonym(address) == address


def test_another_session_has_other_pseudonyms() -> None:
    address = MAPPED + bytes([192, 0, 2, 7])
    assert Anonymizer().pseudonym(address) != Anonymizer().pseudonym(address)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("--bind 192.0.2.7:80", ["192.0.2.7"]),
        ("[2001:db8::7]:443, 10.0.0.1", ["2001:db8::7", "10.0.0.1"]),
        ("::ffff:192.0.2.9", ["192.0.2.9"]),
        ("fe80::1%eth0 at 12:34:56", ["fe80::1"]),
    ],
)
def test_addresses_in_text_become_their_pseudonyms(text: str, addresses: list[str]) -> None:
    veil = Anonymizer()
    found = veil.text(text)
    for address in addresses:
        packed = ipaddress.ip_address(address).packed
        octets = packed if len(packed) == 16 else MAPPED + packed
        assert address not in found
        assert formatting.address(veil.pseudonym(octets)) in found


@pytest.mark.parametrize(
    "text", ["nginx 1.24.0", "12:34:56", "a::b::c", "no address", "300.1.2.3.4.5", "::", ""]
)
def test_what_is_no_address_stays(text: str) -> None:
    assert Anonymizer().text(text) == text


SECRET4, SECRET6 = bytes([203, 0, 113, 77]), bytes.fromhex("20010db8dead00beef000000c0ffee42")


def _batch() -> Batch:
    connections = np.zeros(40, CONNECTION)
    connections["id"] = np.arange(1, 41)
    connections["remote"][:20] = np.frombuffer(MAPPED + SECRET4, np.uint8)
    connections["remote"][20:] = np.frombuffer(SECRET6, np.uint8)
    connections["local"] = connections["remote"][::-1]
    connections["remote_port"] = 51_234
    listener, queue, worker = np.zeros(1, LISTENER), np.zeros(1, QUEUE), np.zeros(1, WORKER)
    for rows in (listener, queue):
        rows["address"] = np.frombuffer(MAPPED + SECRET4, np.uint8)
    comm = b"to 203.0.113.77"
    worker["comm"][0, : len(comm)] = np.frombuffer(comm, np.uint8)
    process = Process(
        7, 1, "203.0.113.77", "/opt/acme/srv --bind 203.0.113.77 --peer 2001:db8:dead:be:ef00:0:c0ff:ee42",
        "/system.slice/203.0.113.77.scope", "203.0.113.77",
    )  # fmt: skip
    return Batch(
        1, connections=connections, listeners=listener, queues=queue, workers=worker,
        processes=(process,), health=Health(notes=("the Unix socket of 203.0.113.77",)),
    )  # fmt: skip


def test_no_address_host_or_command_line_is_left_in_the_file(tmp_path: Path) -> None:
    meta = replace(
        META, host="acme-web-1", target="netns 203.0.113.77", command="/home/acme/bin/sockscope record acme",
        boot_id="5a5a-acme",
    )  # fmt: skip
    told = [
        b"acme", b"203.0.113", b"2001:db8:dead", b"dead:be", SECRET4, SECRET4[::-1], SECRET6, SECRET6[:8],
        SECRET6[::-1], b"--bind", b"--peer",
    ]  # fmt: skip
    plain = record(tmp_path / "plain", [_batch()], meta).read_bytes()
    assert all(secret in plain for secret in (b"acme-web-1", b"--bind 203.0.113.77"))  # the search finds
    veil = Anonymizer()
    path = record(tmp_path / "veiled", [veil.batch(_batch())], veil.meta(meta))
    veiled = path.read_bytes()
    assert [secret for secret in told if secret in veiled] == []
    with Reader(path) as reader:
        (found,) = reader.batches()
        rows = reader.connection().execute("SELECT DISTINCT remote FROM connections").fetchall()
    assert not any("203.0.113" in remote or "2001:db8:dead" in remote for (remote,) in rows)
    assert all(remote.endswith(":51234") for (remote,) in rows)
    assert len(rows) == 2
    assert NOTE in found.health.notes
    assert found.processes[0].command == "srv …"
    # one address is one pseudonym wherever it stands
    one = found.listeners["address"].tobytes()
    assert one == found.queues["address"].tobytes() == found.connections["remote"][0].tobytes()
    assert one == found.connections["local"][-1].tobytes()


@pytest.mark.parametrize("kind", ["reuseport", "dispatch"])
def test_the_verdict_is_the_same_behind_the_veil(kind: str) -> None:
    source, veil = SyntheticSource(Scenario(kind)), Anonymizer()
    batches = list(source.batches(8))
    plain = frame_of_batches(source.meta, list(batches))
    veiled = frame_of_batches(veil.meta(source.meta), [veil.batch(batch) for batch in batches])
    assert [server.model for server in veiled.servers] == [server.model for server in plain.servers]
    assert [one.id for one in veiled.findings] == [one.id for one in plain.findings]
    assert [len(group.listeners) for group in veiled.groups] == [
        len(group.listeners) for group in plain.groups
    ]
    assert NOTE in veiled.snapshot.health.notes
