"""Flows, parts and tallies are what one gets by going through the rows one by one."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockscope.model.connection_io import (
    CONNECTION_IO,
    LISTENER_IO,
    ROLES,
    count_equal,
    get_roles,
    merge_listener_io,
    sort_by_connection,
    sum_by_listener,
)
from sockscope.records.layout import CONNECTION

#: Small numbers take the way of few bits, large ones that of many, the largest that of more than 64.
_SIZES = st.sampled_from([3, 2**12, 2**32 - 1])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Any, Any]:
    """Connections in any order, and deeds of several threads on some of them."""
    most = draw(_SIZES)
    number = st.integers(1, most)
    ids = draw(st.lists(st.integers(1, 10**6), unique=True, max_size=12))
    connections = np.zeros(len(ids), CONNECTION)
    rows = []
    for at, identity in enumerate(ids):
        connections["id"][at] = identity
        connections["listener"][at], connections["acceptor"][at] = draw(number), draw(number)
        for worker in draw(st.lists(number, unique=True, max_size=3)):
            rows.append((identity, worker, *draw(st.tuples(*[st.integers(0, 5)] * 4))))
    connection_io = np.zeros(len(rows), CONNECTION_IO)
    for at, row in enumerate(rows):
        for name, value in zip(
            ("connection", "worker", "reads", "bytes_read", "writes", "bytes_written"), row, strict=True
        ):
            connection_io[name][at] = value
    return connections, sort_by_connection(connection_io)


def _most(connection_io: list[Any], verb: str) -> tuple[int, int]:
    """Who did most of it, the first of several; and how many did it."""
    did = [deed for deed in connection_io if deed[verb]]
    best = max(did, key=lambda deed: int(deed[verb]), default=None)
    return (int(best["worker"]) if best is not None else 0), len(did)


@given(worlds())
def test_a_flow_names_who_did_most_on_a_connection_and_how_many_did_it(world: tuple[Any, Any]) -> None:
    connections, connection_io = world
    for record, flow in zip(connections, get_roles(connections, connection_io), strict=True):
        mine = [deed for deed in connection_io if deed["connection"] == record["id"]]
        (reader, readers), (writer, writers) = _most(mine, "reads"), _most(mine, "writes")
        told = tuple(int(flow[name]) for name in ROLES.names or ())
        assert told == (int(record["listener"]), int(record["acceptor"]), reader, writer, readers, writers)


@given(worlds())
def test_parts_and_tallies_add_up_what_is_equal_and_nothing_else(world: tuple[Any, Any]) -> None:
    connections, connection_io = world
    listeners = {int(record["id"]): int(record["listener"]) for record in connections}
    sums: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for deed in connection_io:
        held = sums[listeners[int(deed["connection"])], int(deed["worker"])]
        for at, name in enumerate(("reads", "bytes_read", "writes", "bytes_written")):
            held[at] += int(deed[name])
    found = sum_by_listener(connections, connection_io)
    assert {(int(part["listener"]), int(part["worker"])): list(part)[2:] for part in found} == sums
    assert len(merge_listener_io(np.concatenate([found, found]))) == len(found)
    roles = get_roles(connections, connection_io)
    distinct, counts = count_equal(roles)
    assert dict(zip(map(tuple, distinct.tolist()), counts.tolist(), strict=True)) == Counter(
        map(tuple, roles.tolist())
    )


@pytest.mark.parametrize("shape", [ROLES, LISTENER_IO])
def test_nothing_adds_up_to_nothing(shape: Any) -> None:
    none = np.empty(0, shape)
    assert len(count_equal(none)[0] if shape is ROLES else merge_listener_io(none)) == 0
