"""``sockscope sql``: query a recording."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import Any

from sockscope.errors import UsageError

_VIEWS = (
    "SELECT table_name AS view, string_agg(column_name, ', ' ORDER BY column_index) AS columns"
    " FROM duckdb_columns() WHERE database_name = 'memory' AND schema_name = 'main' AND NOT internal"
    " GROUP BY table_name ORDER BY table_name"
)


class Sql:
    """Query a recording in SQL

    Runs one DuckDB query on the views of a recording: connections, connection_io, workers, waits,
    listeners, waiting, queue_samples, cpu_samples, events, losses; and on derived tables: recordings,
    servers, server_waits, server_shares, findings. `views` instead of a query lists their columns. The
    recording is read-only, and other files cannot be accessed. Durations are in nanoseconds.

    Examples:

      sockscope sql web.sockscope views
      sockscope sql web.sockscope "SELECT comm, accepts, reads FROM workers ORDER BY accepts DESC"
      sockscope sql web.sockscope "SELECT max(queue_wait_ns) FROM connections" --format csv
    """

    name = "sql"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="recording")
        parser.add_argument(
            "query", metavar="QUERY", help="a SELECT, or `views`; - reads the query from standard input"
        )
        parser.add_argument(
            "--format", choices=("text", "csv", "json"), default="text", help="text (default), csv or json"
        )

    def run(self, args: argparse.Namespace) -> int:
        import duckdb

        from sockscope.export.derived_tables import add_derived
        from sockscope.export.table_format import WRITERS, fetched
        from sockscope.store import Reader

        listing = args.query == "views"
        query = _VIEWS if listing else sys.stdin.read() if args.query == "-" else args.query
        with Reader(args.file) as reader:
            connection = reader.connection()
            add_derived(connection, args.file, query)
            try:
                _require_select(duckdb, connection, query)
                cursor = connection.execute(query)
                if listing and args.format == "text":
                    _print_views(cursor.fetchall())
                    return 0
                columns = [column[0] for column in cursor.description or ()]
                WRITERS[args.format](columns, fetched(cursor), sys.stdout)
            except duckdb.Error as error:
                raise UsageError(_line(error)) from error
        return 0


def _print_views(views: list[tuple[str, str]]) -> None:
    for view, columns in views:
        print(view)
        print(textwrap.fill(columns, 100, initial_indent="    ", subsequent_indent="    "))


def _require_select(duckdb: Any, connection: Any, query: str) -> None:
    """Check that the query is a single SELECT.

    :raises UsageError: otherwise
    """
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise UsageError(f"the query has {len(statements)} statements", hint="give one")
    if statements[0].type not in (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN):
        kind = str(statements[0].type).rpartition(".")[2]
        raise UsageError(f"{kind} is not a query; recordings are read-only", hint="use SELECT")


def _line(error: Exception) -> str:
    text = " ".join(str(error).split("\n\n", 1)[0].split())
    return f"{text.rstrip('.!')}; `sockscope sql FILE views` prints the views and their columns"
