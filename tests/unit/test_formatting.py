"""Numbers, addresses and names as people read them."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockscope import formatting
from sockscope.errors import UsageError


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"), (999, "999 ns"), (1_000, "1 µs"), (1_234, "1.23 µs"), (12_345_678, "12.3 ms"),
        (999_600_000, "1 s"), (1_500_000_000, "1.5 s"), (123_456_000_000, "123 s"), (float("nan"), "–"), (None, "–"),
    ],
)  # fmt: skip
def test_durations_have_three_figures(ns: float | None, text: str) -> None:
    assert formatting.duration(ns) == text


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("10", 10**10),
        ("1.5s", 1_500_000_000),
        ("200ms", 200_000_000),
        ("3m", 180 * 10**9),
        ("7 us", 7000),
        ("1h", 3600 * 10**9),
    ],
)
def test_durations_are_read_as_they_are_written(text: str, ns: int) -> None:
    assert formatting.parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "ten", "-1", "1d", "1s2", "1e9", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        formatting.parse_duration(text)


@given(st.ip_addresses(v=6))
def test_ipv6_addresses_are_written_as_the_library_does(address: ipaddress.IPv6Address) -> None:
    if address.ipv4_mapped is None:
        assert formatting.address(address.packed) == address.compressed
        assert formatting.endpoint(address.packed, 80) == f"[{address.compressed}]:80"


@given(st.ip_addresses(v=4))
def test_mapped_addresses_are_written_as_ipv4(address: ipaddress.IPv4Address) -> None:
    mapped = b"\0" * 10 + b"\xff\xff" + address.packed
    assert formatting.endpoint(mapped, 8080) == f"{address}:8080"
    assert formatting.address(socket.inet_pton(socket.AF_INET6, f"::ffff:{address}")) == str(address)


@given(st.binary(max_size=16))
def test_names_from_the_kernel_never_carry_control_characters(raw: bytes) -> None:
    assert formatting.text(raw).isprintable()


def test_a_name_ends_at_its_first_nul_and_keeps_its_letters() -> None:
    assert formatting.text(b"nginx\0worker\0\0") == "nginx"
    assert formatting.text("café\x1b[31m".encode()) == "café\ufffd[31m"


def test_counts_and_sizes_and_shares() -> None:
    assert (formatting.count(1234), formatting.count(12_345_678)) == ("1,234", "12.3 M")
    assert (formatting.size(999), formatting.size(1_500_000)) == ("999 B", "1.5 MB")
    assert (formatting.share(1, 3), formatting.share(1, 0)) == ("33.3 %", "–")
