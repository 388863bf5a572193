"""Handshakes are counted at the listener they belong to."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockscope.host import inet_diag_wire, syn_queue

#: An emulated machine is slow, and that is no fault.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

Told = tuple[int, str, int, int, int]  # family, address, port, interface, inode
FAMILIES = (socket.AF_INET, socket.AF_INET6)


def octets(text: str) -> bytes:
    address = ip_address(text)
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


def records(told: list[Told]) -> np.ndarray[Any, np.dtype[Any]]:
    made = np.zeros(len(told), inet_diag_wire.SOCKET)
    for at, (family, address, port, interface, inode) in enumerate(told):
        made[at]["family"], made[at]["port"] = family, port
        made[at]["interface"], made[at]["inode"] = interface, inode
        made[at]["address"] = np.frombuffer(octets(address), np.uint8)
    return made


def lengths(listeners: list[Told], handshakes: list[Told]) -> list[int]:
    counted: list[int] = syn_queue.syn_queue_lengths(records(listeners), records(handshakes)).tolist()
    return counted


V4, V6 = socket.AF_INET, socket.AF_INET6


def test_the_listener_on_the_very_address_comes_before_the_wildcard() -> None:
    listeners = [(V4, "0.0.0.0", 80, 0, 1), (V4, "10.0.0.1", 80, 0, 2)]
    assert lengths(listeners, [(V4, "10.0.0.1", 80, 0, 0), (V4, "10.0.0.2", 80, 0, 0)]) == [1, 1]


def test_members_of_a_group_share_their_count() -> None:
    group = [(V4, "0.0.0.0", 80, 0, inode) for inode in (1, 2, 3)]
    assert lengths(group, [(V4, "10.0.0.1", 80, 0, 0)] * 5) == [5, 5, 5]


def test_a_dual_stack_listener_has_the_handshakes_of_ipv4_addresses_too() -> None:
    listeners = [(V6, "::", 80, 0, 1), (V4, "0.0.0.0", 80, 0, 2)]
    assert lengths(listeners, [(V6, "::ffff:10.0.0.1", 80, 0, 0), (V4, "10.0.0.1", 80, 0, 0)]) == [1, 1]


def test_a_listener_bound_to_an_interface_has_those_that_came_through_it() -> None:
    listeners = [(V4, "0.0.0.0", 80, 3, 1), (V4, "0.0.0.0", 80, 0, 2)]
    assert lengths(listeners, [(V4, "10.0.0.1", 80, 3, 0), (V4, "10.0.0.1", 80, 4, 0)]) == [1, 1]


def test_a_client_that_opens_simultaneously_waits_nowhere() -> None:
    assert lengths([(V4, "0.0.0.0", 80, 0, 1)], [(V4, "10.0.0.1", 80, 0, 77)]) == [0]


def test_nothing_in_nothing_out() -> None:
    assert lengths([], [(V4, "10.0.0.1", 80, 0, 0)]) == []
    assert lengths([(V4, "10.0.0.1", 80, 0, 1)], []) == [0]


sockets = st.tuples(
    st.sampled_from(FAMILIES), st.sampled_from(["any", "one", "two"]), st.sampled_from([80, 256, 443]),
    st.sampled_from([0, 3]),
)  # fmt: skip
ADDRESSES = {
    (V4, "any"): "0.0.0.0", (V4, "one"): "10.0.0.1", (V4, "two"): "10.1.0.0",
    (V6, "any"): "::", (V6, "one"): "::1", (V6, "two"): "2001:db8::",
}  # fmt: skip


@patient
@given(st.lists(sockets), st.lists(sockets))
def test_counting_in_bulk_is_counting_one_by_one(
    listening: list[tuple[int, str, int, int]], half_open: list[tuple[int, str, int, int]]
) -> None:
    listeners = [
        (family, ADDRESSES[family, name], port, device, 1) for family, name, port, device in listening
    ]
    handshakes = [
        (family, ADDRESSES[family, name], port, device, 0) for family, name, port, device in half_open
    ]
    expected = [0] * len(listeners)
    for family, address, port, device, _ in handshakes:
        for place in (
            (address, device),
            (address, 0),
            (ADDRESSES[family, "any"], device),
            (ADDRESSES[family, "any"], 0),
        ):
            its = [at for at, it in enumerate(listeners) if it[:4] == (family, place[0], port, place[1])]
            for at in its:
                expected[at] += 1
            if its:
                break
    assert lengths(listeners, handshakes) == expected
