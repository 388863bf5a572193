"""The language of the filter, on real rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from feeding import LiveFeed

from sockscope.errors import UsageError
from sockscope.tui.data_source import FrameContext
from sockscope.tui.filters import parse
from sockscope.tui.rows.connections import ConnectionRows
from sockscope.tui.rows.listeners import ListenerRows
from sockscope.tui.rows.workers import WorkerRows
from tests.synthetic import Scenario


def context(**values: Any) -> FrameContext:
    feed = LiveFeed(Scenario(**{"kind": "handoff", "workers": 3, "straggler": 2, **values}))
    feed.start()
    found = feed.next(1)
    assert found
    return FrameContext(*found)


@pytest.fixture(scope="module")
def rows() -> ConnectionRows:
    return ConnectionRows(context().frame)


def chosen(rows: Any, text: str) -> Any:
    return parse(text, rows.keys).mask(rows)


def test_an_empty_filter_lets_all_through(rows: ConnectionRows) -> None:
    assert chosen(rows, "").all()
    assert chosen(rows, "   ").all()


def test_a_port_is_exact(rows: ConnectionRows) -> None:
    assert chosen(rows, "port:8080").all()
    assert not chosen(rows, "port:80").any()
    assert chosen(rows, "port:80..9000").all()


def test_a_wait_is_compared_as_a_duration(rows: ConnectionRows) -> None:
    waited = rows.numbers("wait")
    assert np.array_equal(chosen(rows, "wait:>100us"), waited > 100_000)
    assert np.array_equal(chosen(rows, "wait:<=100us"), waited <= 100_000)
    assert np.array_equal(chosen(rows, "wait:50us..1ms"), (waited >= 50_000) & (waited <= 1_000_000))


def test_terms_are_joined_by_and_and_an_exclamation_mark_negates(rows: ConnectionRows) -> None:
    reader, closed = chosen(rows, "reader:worker-2"), chosen(rows, "state:closed")
    assert 0 < reader.sum() < len(rows)
    assert np.array_equal(chosen(rows, "reader:worker-2 !state:closed"), reader & ~closed)


def test_the_acceptor_is_not_the_reader(rows: ConnectionRows) -> None:
    assert not chosen(rows, "acceptor:worker").any()
    assert chosen(rows, "handed:yes").sum() == chosen(rows, "reader:worker").sum()


def test_a_bare_word_is_looked_for_in_names_and_addresses(rows: ConnectionRows) -> None:
    assert chosen(rows, "memcached").any()
    assert 0 < chosen(rows, "127.0.0.3").sum() < len(rows)
    assert chosen(rows, "127.0.0.3").sum() == chosen(rows, "peer:127.0.0.3").sum()


def test_an_endpoint_finds_one_connection(rows: ConnectionRows) -> None:
    text = rows.cell(0, "peer")[0]
    assert chosen(rows, text)[0]
    assert chosen(rows, text).sum() < 5


@pytest.mark.parametrize("text", ["wait:", "wait:>", "port:", "state:", "!", "reader:", ">", ":", "::"])
def test_what_is_still_being_typed_is_no_error(rows: ConnectionRows, text: str) -> None:
    chosen(rows, text)


@pytest.mark.parametrize("text", ["colour:red", "wait:>soon", "port:http", "reads:>many", "wait:5x..6x"])
def test_what_cannot_be_says_why(rows: ConnectionRows, text: str) -> None:
    with pytest.raises(UsageError, match=text.split(":")[0].split(">")[0] + "|duration"):
        chosen(rows, text)


def test_workers_are_filtered_by_role_and_state() -> None:
    workers = WorkerRows(context())
    assert chosen(workers, "role:a").sum() == 1
    assert chosen(workers, "role:r").sum() == 3
    assert chosen(workers, "busy:>80").sum() == 1
    assert chosen(workers, "stall:>50ms").sum() == 1
    assert chosen(workers, "worker-1").sum() == 1


def test_listeners_are_filtered_by_holder() -> None:
    listeners = ListenerRows(context(kind="reuseport"))
    assert chosen(listeners, "holder:4002").sum() == 1
    assert chosen(listeners, "port:8080").sum() == 3
    assert not chosen(listeners, "drops:>0").any()


def test_every_column_sorts_and_has_a_text_in_every_row() -> None:
    from sockscope.tui.rows import connections, listeners, workers

    now = context()
    pairs: list[tuple[Any, Any]] = [
        (ConnectionRows(now.frame), connections.COLUMNS),
        (WorkerRows(now), workers.COLUMNS),
        (WorkerRows(now, by_process=True), workers.COLUMNS),
        (ListenerRows(now), listeners.COLUMNS),
    ]
    for rows, columns in pairs:
        for column in columns:
            assert len(rows.order(column.key)) == len(rows)
            for row in range(min(len(rows), 20)):
                text, style = rows.cell(row, column.key)
                assert text
                assert style
        for key in rows.keys:
            mask = rows.contains(key.name, "x") if key.unit == "text" else rows.numbers(key.name)
            assert len(mask) == len(rows)
