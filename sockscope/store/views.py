"""Views for people who ask with plain DuckDB: one row a connection, a worker, a listener, a sample.

They are in the file, and a reader makes its own: it never runs SQL that it found in a file.
``docs/recording-schema.md`` tells what each column is, with its unit.
"""

from __future__ import annotations

from sockscope.records.layout import (
    BUCKETS,
    CONNECTION,
    FIRST_OCTAVE,
    WORKER,
    ConnectionEnd,
    ConnectionFlag,
    EventKind,
)
from sockscope.store.latest import latest
from sockscope.store.schema import SCHEMA, SINCE, Schema
from sockscope.store.tables import RecordTable

#: Moments of a connection that its view shows in wall-clock time.
_MOMENTS = ("established", "accepted", "first_data", "first_read", "first_write", "closed")


def view_statements(tables: str, schema: Schema = SCHEMA) -> list[str]:
    """The SQL that makes macros and views in the current catalog.

    :param tables: the schema that holds the tables
    :param schema: which tables there are
    """
    there = {part.field for part in schema.parts}
    return [
        *(f"CREATE MACRO {name} AS {body}" for name, body in _macros(tables).items()),
        *(
            f"CREATE VIEW {name} AS {query}"
            for name, query in _views(tables, _lacking(schema)).items()
            if name not in SINCE or name in there
        ),
    ]


def _lacking(schema: Schema) -> frozenset[str]:
    """Columns of views, ``table.column``, that an older recording has not."""
    return frozenset(
        f"{part.field}.{column}"
        for part in schema.parts
        if isinstance(part.table, RecordTable)
        for column in part.table.lacks
    )


def _macros(tables: str) -> dict[str, str]:
    groups = " || ".join(
        f"':' || to_hex(((n >> {shift}) & 65535)::UINTEGER)" for shift in range(112, -16, -16)
    )
    zeros = {run: f"'{':0' * run}:'" for run in range(8, 1, -1)}
    # RFC 5952: the longest run of zero groups, the first of equals, becomes two colons
    shortened = " ".join(
        f"WHEN contains(g, {run}) THEN substr(g, 1, strpos(g, {run}) - 1) || '::'"
        f" || substr(g, strpos(g, {run}) + {2 * count + 1})"
        for count, run in zeros.items()
    )
    ends = r"'^:([^:].*?[^:]):$|^:([^:].*)$|^(.*[^:]):$', '\1\2\3'"
    ipv6 = _let("g", f"lower({groups}) || ':'", f"regexp_replace(CASE {shortened} ELSE g END, {ends})")
    ipv4 = " || '.' || ".join(f"((n >> {shift}) & 255)::UTINYINT::VARCHAR" for shift in (24, 16, 8, 0))
    return {
        "address_text(b)": _let(
            "n", "b::BIT::UHUGEINT", f"CASE WHEN (n >> 32) = 65535 THEN {ipv4} ELSE {ipv6} END"
        ),
        "endpoint_text(b, port)": _let(
            "t",
            "address_text(b)",
            "CASE WHEN contains(t, ':') THEN '[' || t || ']' ELSE t END || ':' || port",
        ),
        # a name from the kernel: up to its NUL, what is no UTF-8 as \xHH, without control characters
        "name_text(b)": "regexp_replace(split_part(coalesce(TRY(decode(b)),"
        " replace(b::VARCHAR, '\\x00', chr(0))), chr(0), 1), '[\\x01-\\x1f\\x7f]', '\ufffd', 'g')",
        "between_ns(earlier, later)": "CASE WHEN earlier > 0 AND later >= earlier"
        " THEN TRY_CAST(later::HUGEINT - earlier AS BIGINT) END",
        "wall_clock(ns)": "make_timestamp_ns(TRY_CAST(nullif(ns, 0)::HUGEINT + (SELECT value::HUGEINT"
        f" FROM {tables}.meta WHERE key = 'monotonic_offset_ns') AS BIGINT))",
        "bucket_start_ns(bucket)": f"CASE WHEN bucket <= 0 THEN 0 WHEN bucket < {BUCKETS}"
        f" THEN (4 + (bucket - 1) % 4)::BIGINT << ({FIRST_OCTAVE - 2} + (bucket - 1) // 4)::BIGINT END",
    }


def _let(name: str, value: str, body: str) -> str:
    """``body`` with a name for ``value``, which is worked out once: a macro would repeat its text."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def _latest(tables: str, part: str) -> str:
    """The last row of each thing."""
    return f"(SELECT * FROM {tables}.{part} WHERE rowid IN ({latest(tables, part)}))"


def _views(tables: str, lacking: frozenset[str]) -> dict[str, str]:
    connections = _latest(tables, "connections")
    workers = _latest(tables, "workers")
    threads = f"(SELECT id, pid, tid, name_text(comm) AS comm FROM {workers})"
    kinds = " ".join(f"WHEN {kind.value} THEN '{kind.name.lower()}'" for kind in EventKind)
    changed = "NULL" if "listeners.samples_changed" in lacking else "l.samples_changed"
    histograms = [str(name) for name in WORKER.names or () if WORKER[name].shape == (BUCKETS,)]
    return {
        "connections": f"""
            SELECT c.id, endpoint_text(c.local, c.local_port) AS local,
                endpoint_text(c.remote, c.remote_port) AS remote, c.family, c.listener, c.acceptor,
                a.pid AS acceptor_pid, a.tid AS acceptor_tid, a.comm AS acceptor_comm,
                between_ns(c.established_ns, c.accepted_ns) AS queue_wait_ns,
                between_ns(c.first_data_ns, c.first_read_ns) AS first_read_wait_ns,
                between_ns(c.first_read_ns, c.first_write_ns) AS first_answer_ns,
                between_ns(c.established_ns, c.closed_ns) AS lifetime_ns, c.data_wait_max_ns,
                {_ends(lacking)},
                {", ".join(f"wall_clock(c.{name}_ns) AS {name}_at" for name in _MOMENTS)},
                c.established_cpu, c.accepted_cpu, c.first_read_cpu,
                {", ".join(f"(c.flags & {f.value}) <> 0 AS {str(f.name).lower()}" for f in ConnectionFlag)}
            FROM {connections} AS c LEFT JOIN {threads} AS a ON a.id = c.acceptor
                LEFT JOIN {threads} AS s ON s.id = {_column("connections", "closed_by", lacking, "c")}""",
        "connection_io": f"""
            SELECT io.connection, io.worker, w.pid, w.tid, w.comm,
                io.reads, io.bytes_read, io.writes, io.bytes_written
            FROM ({_slots(tables, connections)}) AS io LEFT JOIN {threads} AS w ON w.id = io.worker""",
        "workers": f"""
            SELECT w.id, name_text(w.comm) AS comm, w.* EXCLUDE (tick, id, comm, {", ".join(histograms)}),
                wall_clock(w.first_seen_ns) AS first_seen_at, wall_clock(w.ended_ns) AS ended_at
            FROM {workers} AS w""",
        "waits": " UNION ALL ".join(
            f"""
            SELECT worker, '{name}' AS wait, bucket_start_ns(bucket) AS from_ns,
                bucket_start_ns(bucket + 1) AS to_ns, count
            FROM (SELECT id AS worker, unnest(range({BUCKETS}))::INTEGER AS bucket, unnest({name}) AS count
                FROM {workers})
            WHERE count > 0"""
            for name in histograms
        ),
        "listeners": f"""
            SELECT l.id, endpoint_text(l.address, l.port) AS address, l.netns, l.inode, l.family,
                l.reuseport <> 0 AS reuseport, l.v6only <> 0 AS v6only, l.backlog, l.queue, l.queue_max,
                l.established, l.accepted, l.drops, l.samples, l.samples_several,
                {_column("listeners", "mptcp", lacking, "l")} <> 0 AS mptcp,
                {_column("listeners", "defer_accept", lacking, "l")} <> 0 AS defer_accept,
                {changed} AS samples_changed, l.waiters, l.exclusive,
                w.pid AS listened_pid, w.tid AS listened_tid, w.comm AS listened_comm,
                wall_clock(l.listened_ns) AS listened_at, wall_clock(l.closed_ns) AS closed_at
            FROM {_latest(tables, "listeners")} AS l LEFT JOIN {threads} AS w ON w.id = l.listened_by""",
        "waiting": f"""
            SELECT s.listener, nullif(s.worker, 0) AS worker, w.pid, w.tid, w.comm, s.samples
            FROM {_latest(tables, "waiting")} AS s LEFT JOIN {threads} AS w ON w.id = s.worker""",
        "accept_errors": f"""
            SELECT e.listener, e.worker, w.pid, w.tid, w.comm, e.error AS errno, e.count,
                wall_clock(e.first_ns) AS first_at, wall_clock(e.last_ns) AS last_at
            FROM {_latest(tables, "accept_errors")} AS e LEFT JOIN {threads} AS w ON w.id = e.worker""",
        "queue_samples": f"""
            SELECT wall_clock(t.time_ns) AS sampled_at, t.time_ns, endpoint_text(q.address, q.port) AS address,
                q.netns, q.inode, q.queue, q.backlog, q.syn_queue, q.drops
            FROM {tables}.queues AS q JOIN {tables}.ticks AS t USING (tick)""",
        "cpu_samples": f"""
            SELECT wall_clock(t.time_ns) AS sampled_at, t.time_ns, s.pid, s.tid, s.cpu_ns, s.cpu_wait_ns,
                s.last_cpu
            FROM {tables}.threads AS s JOIN {tables}.ticks AS t USING (tick)""",
        "events": f"""
            SELECT wall_clock(e.time_ns) AS happened_at, e.time_ns, CASE e.kind {kinds} END AS kind,
                e.worker, w.pid, w.tid, w.comm, nullif(e.connection, 0) AS connection, e.result, e.about, e.cpu
            FROM {tables}.events AS e LEFT JOIN {threads} AS w ON w.id = e.worker""",
        "losses": f"""
            SELECT lost.name AS reason, lost.value AS count
            FROM (SELECT unnest(lost) AS lost FROM {tables}.health
                WHERE rowid = (SELECT max(rowid) FROM {tables}.health))
            WHERE lost.value > 0""",
    }


def _column(part: str, column: str, lacking: frozenset[str], alias: str) -> str:
    """A column, or NULL where an older recording has none."""
    return "NULL" if f"{part}.{column}" in lacking else f"{alias}.{column}"


def _ends(lacking: frozenset[str]) -> str:
    """How a connection ended, and the thread that closed it."""
    if "connections.ended" in lacking:
        names = ("ended", "closed_pid", "closed_tid", "closed_comm", "unread_bytes", "close_wait_ns")
        return ", ".join(f"NULL AS {name}" for name in names)
    closed = f"(c.flags & {ConnectionFlag.CLOSED.value}) <> 0"
    words = " ".join(
        f"WHEN {end.value} THEN '{end.name.lower()}'"
        for end in ConnectionEnd
        if end is not ConnectionEnd.OPEN
    )
    return (
        f"CASE WHEN NOT {closed} THEN 'open' ELSE CASE c.ended {words} ELSE 'unknown' END END AS ended,"
        " s.pid AS closed_pid, s.tid AS closed_tid, s.comm AS closed_comm, c.unread_bytes, c.close_wait_ns"
    )


def _slots(tables: str, connections: str) -> str:
    """What each worker did on each connection: from the connection's own slots, and from io_overflow."""
    counts = ("reads", "bytes_read", "writes", "bytes_written")
    slots = [
        f"SELECT id AS connection, io_{slot}_worker AS worker,"
        f" {', '.join(f'io_{slot}_{count} AS {count}' for count in counts)}"
        f" FROM {connections} WHERE io_{slot}_worker <> 0"
        for slot in range(CONNECTION["io"].shape[0])
    ]
    io_overflow = _latest(tables, "io_overflow")
    more = f"SELECT connection, worker, {', '.join(counts)} FROM {io_overflow}"
    return " UNION ALL ".join([*slots, more])
