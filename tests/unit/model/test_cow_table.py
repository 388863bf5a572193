"""Rows that were shown stay as they were, and those that change are right all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sockscope.model.cow_table import CowTable

ROW = np.dtype([("id", "<u4"), ("value", "<u4")])

Table = list[tuple[int, int]]


def _rows(table: Table) -> Any:
    return np.array(table, ROW)


def _memory(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


_STEP = st.one_of(
    st.tuples(st.just("write"), st.sets(st.integers(0, 9), max_size=4)),
    st.tuples(st.just("select"), st.sets(st.integers(0, 9), max_size=9), st.integers(0, 4)),
    st.tuples(st.just("set"), st.integers(0, 8)),
    st.tuples(st.just("show"), st.integers(0, 5)),
    st.tuples(st.just("forget"), st.integers(0, 3)),
)


@given(st.lists(_STEP, max_size=40))
def test_whatever_happens_they_are_what_a_list_would_be_and_what_was_shown_stays(
    steps: list[tuple[Any, ...]],
) -> None:
    rows, table, shown = CowTable(ROW), Table(), list[tuple[Any, Table]]()
    for time, (what, *values) in enumerate(steps):
        if what == "write":
            where = sorted(at for at in values[0] if at < len(table))
            for at in where:
                table[at] = (table[at][0], time)
            rows.write(np.array(where, np.intp), _rows([table[at] for at in where]))
        elif what == "select":
            where = sorted(at for at in values[0] if at < len(table))
            further = [(100 * time + number, time) for number in range(values[1])]
            table = [table[at] for at in where] + further
            rows.select(np.array(where, np.intp), _rows(further))
        elif what == "set":
            table = [(100 * time + number, time) for number in range(values[0])]
            rows.set(_rows(table))
        elif what == "show":
            others = [(7, time)] * values[0]
            shown.append((rows.after(_rows(others)), others + table))
        else:
            del shown[values[0] :]
        assert rows.all.tolist() == table
        for array, was in shown:
            assert array.tolist() == was


def test_two_rooms_are_used_by_turns_where_the_last_table_is_still_shown() -> None:
    rows = CowTable(ROW)
    rows.set(_rows([(number, 0) for number in range(1000)]))
    shown, places = rows.after(_rows([(0, 0)])), list[int]()
    for time in range(1, 9):
        rows.write(np.array([time, 998]), _rows([(time, time), (998, time)]))
        shown = rows.after(_rows([(0, time)]))
        places.append(_memory(shown))
        assert shown["value"][[0, 1 + time, 999, 500]].tolist() == [time, time, time, 0]
    assert len(set(places)) == 2


def test_rows_that_go_leave_their_room_to_others() -> None:
    rows = CowTable(ROW)
    rows.set(_rows([(number, 0) for number in range(1000)]))
    for time in range(1, 20):
        shown = rows.after(_rows([(0, 0)] * 5))
        assert len(shown) == 1005
        rows.select(np.arange(1, 1000), _rows([(1000 + time, time)]))
        del shown
    assert rows.all["id"].tolist() == [*range(19, 1000), *range(1001, 1020)]
    assert sum(map(len, rows._rooms._held)) < 2300
