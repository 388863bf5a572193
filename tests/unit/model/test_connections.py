"""The table of connections: the newest record counts, closed ones are kept as long as asked."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sockscope.model.connection_io import get_connection_io, get_roles, is_exact
from sockscope.model.connections import Connections
from sockscope.records.batch import IO_OVERFLOW
from sockscope.records.layout import CONNECTION, ConnectionFlag

NO_IO = np.empty(0, IO_OVERFLOW)


def _records(*rows: tuple[int, int, dict[str, int]]) -> np.ndarray:  # type: ignore[type-arg]
    made = np.zeros(len(rows), CONNECTION)
    for record, (number, flags, values) in zip(made, rows, strict=True):
        record["id"], record["flags"] = number, flags
        for name, value in values.items():
            record[name] = value
    return made


def _io(*rows: tuple[int, int, int, int]) -> np.ndarray:  # type: ignore[type-arg]
    made = np.zeros(len(rows), IO_OVERFLOW)
    for record, (connection, worker, reads, writes) in zip(made, rows, strict=True):
        record["connection"], record["worker"], record["reads"], record["writes"] = (
            connection,
            worker,
            reads,
            writes,
        )
    return made


def test_a_later_record_replaces_an_earlier_one_and_a_closed_one_is_final() -> None:
    table = Connections(None)
    table.apply(_records((1, 0, {}), (2, 0, {})), NO_IO)
    table.apply(
        _records((1, 0, {"accepted_ns": 5}), (2, int(ConnectionFlag.CLOSED), {"closed_ns": 9})), NO_IO
    )
    assert table.open()["accepted_ns"].tolist() == [5]
    assert table.all()["id"].tolist() == [2, 1]
    assert table.closed_total == 1


def test_a_connection_that_closes_while_the_maps_are_read_is_closed() -> None:
    table = Connections(None)
    table.apply(_records((7, int(ConnectionFlag.CLOSED), {}), (7, 0, {})), NO_IO)
    assert len(table.open()) == 0
    assert table.all()["flags"].tolist() == [int(ConnectionFlag.CLOSED)]


def test_only_so_many_closed_ones_are_kept_but_all_are_counted() -> None:
    table = Connections(10)
    for start in range(0, 100, 5):
        closed = _records(
            *((number, int(ConnectionFlag.CLOSED), {"acceptor": 3}) for number in range(start, start + 5))
        )
        table.apply(closed, NO_IO)
    assert table.all()["id"].tolist() == list(range(90, 100))
    roles, counts = table.roles()
    assert roles["acceptor"].tolist() == [3]
    assert counts.tolist() == [100]


def test_no_more_closed_ones_are_kept_when_everything_is_looked_at_each_time() -> None:
    table = Connections(10)
    for start in range(0, 100, 3):
        numbers = range(start, start + 3)
        closed = _records(*((number, int(ConnectionFlag.CLOSED), {}) for number in numbers))
        table.apply(closed, _io(*((number, worker, 1, 1) for number in numbers for worker in (7, 8, 9))))
        assert table.all()["id"].tolist() == list(range(max(start + 3 - 10, 0), start + 3))
        assert len(table.all_connection_io()) == 3 * min(start + 3, 10)


def test_deeds_come_from_the_record_and_from_the_map_of_further_threads() -> None:
    records = _records((1, 0, {}), (2, 0, {}))
    records["io"]["worker"][0] = [4, 5]
    records["io"]["reads"][0] = [10, 1]
    connection_io = get_connection_io(records, _io((1, 6, 2, 0), (9, 6, 1, 1)))
    assert [(int(deed["worker"]), int(deed["reads"])) for deed in connection_io] == [(4, 10), (5, 1), (6, 2)]


def test_the_main_reader_and_writer_are_those_that_did_most() -> None:
    records = _records((1, 0, {"acceptor": 1, "listener": 8}), (2, 0, {"acceptor": 1, "listener": 8}))
    connection_io = _io((1, 4, 1, 0), (1, 5, 3, 2), (1, 6, 0, 7), (2, 1, 1, 1))
    roles = get_roles(records, connection_io)
    assert roles[["reader", "writer", "readers", "writers"]].tolist() == [(5, 6, 2, 2), (1, 1, 1, 1)]


_CHANGES = st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=8)


@given(st.lists(_CHANGES, max_size=12), st.integers(1, 6))
def test_the_table_is_what_one_gets_by_going_through_the_records_one_by_one(
    batches: list[list[tuple[int, bool]]], keep: int
) -> None:
    table, opened, closed = Connections(keep), dict[int, int](), list[tuple[int, int]]()
    ended: set[int] = set()
    for time, changes in enumerate(batches, 1):
        rows = []
        for number, closes in changes:
            if number not in ended:  # a closed one comes once, and last but for what was read meanwhile
                rows.append(
                    (
                        number,
                        int(ConnectionFlag.CLOSED) if closes else 0,
                        {"touched_ns": 100 * time + len(rows)},
                    )
                )
                ended |= {number} if closes else set()
        table.apply(_records(*rows), NO_IO)
        for number, flags, values in rows:
            if flags:
                closed.append((number, values["touched_ns"]))
            else:
                opened[number] = values["touched_ns"]
        opened = {number: at for number, at in opened.items() if number not in ended}
        expected = [*closed[-keep:], *sorted(opened.items())]
        assert table.all()[["id", "touched_ns"]].tolist() == expected
        assert table.closed_total == len(closed)


@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), max_size=60))
def test_open_and_closed_together_are_every_connection_once(steps: list[tuple[int, bool]]) -> None:
    table = Connections(None)
    closed: set[int] = set()
    seen: set[int] = set()
    for number, closes in steps:
        if number in closed:  # the kernel never gives an id again
            continue
        seen.add(number)
        closed |= {number} if closes else set()
        table.apply(_records((number, int(ConnectionFlag.CLOSED) if closes else 0, {})), NO_IO)
    assert sorted(table.all()["id"].tolist()) == sorted(seen)
    assert table.roles()[1].sum() == len(seen)


def test_what_was_not_seen_from_its_birth_is_not_exact() -> None:
    flags = [0, ConnectionFlag.OPEN_BEFORE, ConnectionFlag.LATE, ConnectionFlag.IO_LOST, ConnectionFlag.RESET]
    records = _records(*((number + 1, int(flag), {}) for number, flag in enumerate(flags)))
    assert is_exact(records).tolist() == [True, False, False, False, True]


def test_what_each_thread_did_for_each_listener_survives_what_is_not_kept() -> None:
    table = Connections(1)
    for number in range(1, 6):
        record = _records((number, int(ConnectionFlag.CLOSED), {"listener": 1 + number % 2}))
        record["io"]["worker"][0, 0], record["io"]["reads"][0, 0] = 9, 10
        table.apply(record, _io((number, 8, 0, 3)))
    still_open = _records((7, 0, {"listener": 2}))
    still_open["io"]["worker"][0, 0], still_open["io"]["reads"][0, 0] = 9, 1
    table.apply(still_open, NO_IO)
    parts = {
        (int(part["listener"]), int(part["worker"])): (int(part["reads"]), int(part["writes"]))
        for part in table.listener_io()
    }
    assert parts == {(1, 9): (20, 0), (1, 8): (0, 6), (2, 9): (31, 0), (2, 8): (0, 9)}
