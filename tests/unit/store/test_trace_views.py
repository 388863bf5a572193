"""What people find who open a recording with plain DuckDB."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sockscope import formatting
from sockscope.records.batch import IO_OVERFLOW, QUEUE, THREAD_CPU, Batch, Cost, Health
from sockscope.records.histogram import EDGES
from sockscope.records.layout import BUCKETS, CONNECTION, EVENT, LISTENER, WORKER, ConnectionFlag
from sockscope.store import Reader
from sockscope.store.latest import IDENTITIES, MOMENTS
from sockscope.store.schema import SCHEMA
from sockscope.store.views import view_statements
from tests.unit.store.recordings import META, record

DOCUMENT = Path(__file__).parents[3] / "docs" / "recording-schema.md"
MAPPED = b"\0" * 10 + b"\xff\xff"
LOOPBACK = MAPPED + bytes([127, 0, 0, 1])
V6 = bytes.fromhex("20010db8000000000000000000000001")


def one(dtype: Any, **fields: Any) -> Any:
    """A record of zeros but for these fields."""
    row = np.zeros(1, dtype)
    for name, value in fields.items():
        row[name] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
    return row


def io(*slots: tuple[int, int, int, int, int]) -> Any:
    """The slots of a connection: worker, reads, bytes read, writes, bytes written."""
    row = np.zeros((1, 2), CONNECTION["io"].base)
    for index, values in enumerate(slots):
        for name, value in zip(
            ("worker", "reads", "bytes_read", "writes", "bytes_written"), values, strict=True
        ):
            row[0, index][name] = value
    return row


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two connections over three ticks: one served and closed, one that waits in the queue."""
    comm = b"nginx\0rubbish\xff\xfe\0"
    worker = one(WORKER, id=7, pid=100, tid=101, comm=comm, accepts=1, reads=2, first_seen_ns=500)
    worker["queue_wait"][0, [0, 1, BUCKETS - 1]] = [3, 4, 5]
    served = {"id": 1, "established_ns": 1_000, "local": LOOPBACK, "local_port": 80, "remote": LOOPBACK}
    served |= {"remote_port": 5001, "listener": 3, "family": 4}
    accepted = {"accepted_ns": 1_250, "acceptor": 7, "first_data_ns": 1_300, "first_read_ns": 1_400}
    closed = {"first_write_ns": 1_900, "closed_ns": 3_000, "flags": int(ConnectionFlag.CLOSED)}
    queued = {
        "id": 2,
        "established_ns": 2_000,
        "local": V6,
        "local_port": 80,
        "remote": V6,
        "remote_port": 5002,
    }
    listener = {"id": 3, "inode": 55, "netns": 9, "address": LOOPBACK, "port": 80, "backlog": 128}
    batches = [
        Batch(
            time_ns=2_500,
            connections=np.concatenate([one(CONNECTION, **served), one(CONNECTION, **queued)]),
            listeners=one(LISTENER, **listener, queue_max=1),
            queues=one(QUEUE, netns=9, inode=55, address=LOOPBACK, port=80, family=4, queue=3, backlog=128),
        ),
        Batch(
            time_ns=3_500,
            # the final record stands before the one that was read from the map earlier in the tick
            connections=np.concatenate(
                [
                    one(CONNECTION, **served, **accepted, **closed, io=io((7, 2, 50, 1, 60), (8, 0, 0, 1, 9))),
                    one(CONNECTION, **served, **accepted, io=io((7, 2, 50, 1, 60))),
                ]
            ),
            io_overflow=one(IO_OVERFLOW, connection=1, worker=9, reads=1, bytes_read=5),
            workers=worker,
            listeners=one(LISTENER, **listener, queue_max=5, accepted=1, reuseport=1, listened_by=7),
            queues=one(QUEUE, netns=9, inode=55, address=LOOPBACK, port=80, family=4, queue=1, backlog=128),
            events=np.concatenate(
                [
                    one(EVENT, time_ns=1_250, worker=7, kind=1, connection=1, about=3),
                    one(EVENT, time_ns=1_390, worker=7, kind=5, result=1, about=232),
                    one(EVENT, time_ns=1_400, worker=7, kind=2, connection=1, result=50, cpu=3),
                    one(EVENT, time_ns=1_900, worker=7, kind=3, connection=1, result=60),
                    one(EVENT, time_ns=1_950, worker=7, kind=2, connection=1, result=-11),
                ]
            ),
            threads=one(THREAD_CPU, pid=100, tid=101, cpu_ns=42, last_cpu=3),
            health=Health((("ring full", 2), ("map full", 0)), Cost(probe_ns=9), ("a note",)),
        ),
        Batch(time_ns=4_500, io_overflow=one(IO_OVERFLOW, connection=1, worker=9, reads=2, bytes_read=8), final=True,
              health=Health((("ring full", 3), ("map full", 0)))),
    ]  # fmt: skip
    return record(tmp_path_factory.mktemp("views") / "x.duckdb", batches)


@pytest.fixture(params=["plain DuckDB", "attached under another name", "the reader"])
def database(recording: Path, request: pytest.FixtureRequest) -> Iterator[duckdb.DuckDBPyConnection]:
    if request.param == "the reader":
        with Reader(recording) as reader:
            yield reader.connection()
        return
    connection = duckdb.connect(recording if request.param == "plain DuckDB" else ":memory:", read_only=False)
    if request.param != "plain DuckDB":
        connection.execute(f"ATTACH '{recording}' AS other (READ_ONLY)")
        connection.execute("USE other")
    yield connection
    connection.close()


def ask(database: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    database.execute(query)
    names = [column[0] for column in database.description or ()]
    return [dict(zip(names, row, strict=True)) for row in database.fetchall()]


def test_a_connection_has_one_row_told_by_its_final_record(database: duckdb.DuckDBPyConnection) -> None:
    served, queued = ask(database, "SELECT * FROM connections ORDER BY id")
    assert (served["local"], served["remote"]) == ("127.0.0.1:80", "127.0.0.1:5001")
    assert (served["acceptor_pid"], served["acceptor_tid"], served["acceptor_comm"]) == (100, 101, "nginx")
    assert (served["queue_wait_ns"], served["first_read_wait_ns"], served["first_answer_ns"]) == (
        250,
        100,
        500,
    )
    assert (served["lifetime_ns"], served["closed"], served["open_before"]) == (2000, True, False)
    assert (queued["local"], queued["remote"]) == ("[2001:db8::1]:80", "[2001:db8::1]:5002")
    assert (
        queued["acceptor_pid"]
        is queued["queue_wait_ns"]
        is queued["accepted_at"]
        is queued["lifetime_ns"]
        is None
    )
    nanoseconds = ask(database, "SELECT epoch_ns(established_at) AS at FROM connections WHERE id = 1")[0][
        "at"
    ]
    assert nanoseconds == META.monotonic_offset_ns + 1_000


def test_every_thread_that_read_or_wrote_a_connection_has_a_row(database: duckdb.DuckDBPyConnection) -> None:
    rows = ask(database, "SELECT * FROM connection_io ORDER BY worker")
    told = [
        (row["connection"], row["worker"], row["tid"], row["reads"], row["bytes_read"], row["writes"])
        for row in rows
    ]
    assert told == [(1, 7, 101, 2, 50, 1), (1, 8, None, 0, 0, 1), (1, 9, None, 2, 8, 0)]


def test_a_worker_has_one_row_and_its_waits_are_counted_by_bucket(
    database: duckdb.DuckDBPyConnection,
) -> None:
    (worker,) = ask(database, "SELECT * FROM workers")
    assert (worker["id"], worker["comm"], worker["pid"], worker["reads"]) == (7, "nginx", 100, 2)
    waits = ask(database, "SELECT * FROM waits ORDER BY from_ns")
    assert [(w["wait"], w["from_ns"], w["to_ns"], w["count"]) for w in waits] == [
        ("queue_wait", 0, 1024, 3),
        ("queue_wait", 1024, 1280, 4),
        ("queue_wait", 2**36, None, 5),
    ]


def test_a_listener_has_one_row(database: duckdb.DuckDBPyConnection) -> None:
    (listener,) = ask(database, "SELECT * FROM listeners")
    assert (listener["address"], listener["queue_max"], listener["reuseport"]) == ("127.0.0.1:80", 5, True)
    assert (listener["listened_pid"], listener["listened_comm"]) == (100, "nginx")


def test_samples_come_with_the_time_of_day(database: duckdb.DuckDBPyConnection) -> None:
    samples = ask(database, "SELECT *, epoch_ns(sampled_at) AS ns FROM queue_samples ORDER BY sampled_at")
    assert [(s["address"], s["queue"], s["ns"] - META.monotonic_offset_ns) for s in samples] == [
        ("127.0.0.1:80", 3, 2_500),
        ("127.0.0.1:80", 1, 3_500),
    ]
    assert [row["cpu_ns"] for row in ask(database, "SELECT * FROM cpu_samples")] == [42]


def test_losses_are_those_of_the_end(database: duckdb.DuckDBPyConnection) -> None:
    assert ask(database, "SELECT * FROM losses") == [{"reason": "ring full", "count": 3}]


def test_the_tables_are_there_beside_the_views(database: duckdb.DuckDBPyConnection) -> None:
    assert ask(database, "SELECT count(*) AS rows FROM raw.connections") == [{"rows": 4}]
    assert {row["key"] for row in ask(database, "SELECT key FROM raw.meta")} >= {"host", "schema_version"}


def test_the_buckets_of_the_view_are_those_of_the_histogram() -> None:
    connection = duckdb.connect(":memory:")
    connection.execute("CREATE SCHEMA raw; CREATE TABLE raw.meta (key VARCHAR, value VARCHAR)")
    for statement in view_statements("raw"):
        if "MACRO" in statement:
            connection.execute(statement)
    query = f"SELECT bucket_start_ns(bucket) FROM range({BUCKETS + 1}) AS buckets(bucket)"
    starts = [row[0] for row in connection.execute(query).fetchall()]
    assert starts == [*(int(edge) for edge in EDGES[:-1]), None]


ADDRESSES = st.one_of(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=4, max_size=4).map(lambda tail: MAPPED + tail),
    st.lists(
        st.sampled_from([b"\0\0", b"\0\0", b"\0\1", b"\xfe\x80", b"\x0a\0"]), min_size=8, max_size=8
    ).map(b"".join),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(ADDRESSES, min_size=1, max_size=40))
@example([b"\0" * 16, b"\0" * 15 + b"\1", b"\1" + b"\0" * 15, MAPPED + bytes(4), b"\0" * 12 + b"\1\2\3\4"])
def test_addresses_read_as_the_rest_of_the_tool_writes_them(addresses: list[bytes]) -> None:
    connection = duckdb.connect(":memory:")
    for statement in view_statements("raw"):
        if "address_text(b)" in statement or "endpoint_text(b" in statement:
            connection.execute(statement)
    query = "SELECT address_text(a), endpoint_text(a, 80) FROM (SELECT unnest(?::BLOB[]) AS a)"
    found = connection.execute(query, [addresses]).fetchall()
    assert found == [(formatting.address(a), formatting.endpoint(a, 80)) for a in addresses]


def test_the_view_of_events_tells_who_did_what_when(database: duckdb.DuckDBPyConnection) -> None:
    found = database.execute(
        "SELECT time_ns, kind, pid, tid, comm, connection, result, about, cpu FROM events ORDER BY time_ns"
    ).fetchall()
    assert found == [
        (1_250, "accept", 100, 101, "nginx", 1, 0, 3, 0),
        (1_390, "woken", 100, 101, "nginx", None, 1, 232, 0),
        (1_400, "receive", 100, 101, "nginx", 1, 50, 0, 3),
        (1_900, "send", 100, 101, "nginx", 1, 60, 0, 0),
        (1_950, "receive", 100, 101, "nginx", 1, -11, 0, 0),
    ]


def test_every_part_of_a_batch_has_an_identity_or_tells_moments_alone() -> None:
    assert set(IDENTITIES) | MOMENTS == {part.field for part in SCHEMA.parts}


def test_every_view_and_its_columns_are_documented(recording: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    with Reader(recording) as reader:
        columns = (
            reader.connection()
            .execute(
                "SELECT table_name, column_name FROM duckdb_columns()"
                " WHERE database_name = 'memory' AND schema_name = 'main'"
            )
            .fetchall()
        )
    flags = {str(flag.name).lower() for flag in ConnectionFlag}
    assert columns
    for view, column in columns:
        assert f"`{view}`" in text
        if column not in flags and not (view == "workers" and column in (WORKER.names or ())):
            assert f"`{column}`" in text, f"{view}.{column}"


def test_the_examples_of_the_documentation_run(recording: Path) -> None:
    queries = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) >= 5
    with Reader(recording) as reader:
        for query in queries:
            assert reader.connection().execute(query).fetchall(), query
