"""``sockscope export``: convert a recording for other tools."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from sockscope import formatting
from sockscope.errors import SockscopeError, UsageError
from sockscope.records.batch import Records

_MAX_CONNECTIONS = 50_000
_MAX_EVENTS = 1_000_000


class Export:
    """Write a recording as Parquet, CSV, JSON Lines or a timeline

    Tables (parquet, csv, jsonl) are written to a directory, one file per table: connections, workers,
    listeners and so on. The timeline is one file for ui.perfetto.dev or chrome://tracing, with one track
    per thread, waits as slices, arrows from accept to read to reply, and queues as counters.

    Examples:

      sockscope export web.sockscope
      sockscope export web.sockscope --format csv --table connections -o /tmp/csv
      sockscope export web.sockscope --format timeline --from 10s --to 12s
      sockscope export web.sockscope --by-host -o fleet/
    """

    name = "export"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="recording")
        parser.add_argument(
            "--format",
            choices=("parquet", "csv", "jsonl", "timeline"),
            default="parquet",
            help="parquet (default), csv, jsonl or timeline",
        )
        parser.add_argument(
            "-o",
            "--output",
            type=Path,
            metavar="PATH",
            help="directory for tables; file for the timeline (.json or .json.gz)",
        )
        parser.add_argument(
            "--table", action="append", default=[], metavar="NAME", help="only this table (repeatable)"
        )
        parser.add_argument(
            "--by-host",
            action="store_true",
            help="write tables to host=NAME/start=TIME below the directory, for reports on many hosts",
        )
        parser.add_argument(
            "--max-connections",
            type=int,
            default=_MAX_CONNECTIONS,
            metavar="N",
            help=f"timeline: only the first N connections (default {_MAX_CONNECTIONS})",
        )
        parser.add_argument(
            "--max-events",
            type=int,
            default=_MAX_EVENTS,
            metavar="N",
            help=f"timeline: only the first N events of a recording with --events (default {_MAX_EVENTS})",
        )
        parser.add_argument(
            "--from",
            dest="begin",
            metavar="DURATION",
            help="timeline: start offset from the start of the recording",
        )
        parser.add_argument(
            "--to",
            dest="end",
            metavar="DURATION",
            help="timeline: end offset from the start of the recording",
        )
        parser.add_argument("--overwrite", action="store_true", help="overwrite existing files")

    def run(self, args: argparse.Namespace) -> int:
        if args.format == "timeline":
            if args.table or args.by_host:
                raise UsageError(
                    "--table and --by-host apply to table formats only",
                    hint="leave them out, or choose another --format",
                )
            if min(args.max_connections, args.max_events) < 1:
                raise UsageError("--max-connections and --max-events must be at least 1")
            return _timeline(args)
        from sockscope.export.tables import export

        directory = args.output or Path(f"{args.file.stem}-{args.format}")
        written = export(
            args.file, directory, args.format, args.table, by_host=args.by_host, overwrite=args.overwrite
        )
        for path, rows in written.items():
            print(f"{path}  {formatting.count(rows)} rows, {formatting.size(path.stat().st_size)}")
        return 0


def _timeline(args: argparse.Namespace) -> int:
    import gzip
    import os

    from sockscope.export.timeline import ALWAYS, render
    from sockscope.session.load_recording import read
    from sockscope.store import Reader
    from sockscope.store.secure_file import hand_over

    target = args.output or Path(f"{args.file.stem}.trace.json.gz")
    if target.exists() and not args.overwrite:
        raise SockscopeError(f"{target} exists", hint="choose another path with -o, or use --overwrite")
    begin = formatting.parse_duration(args.begin) if args.begin else 0
    end = formatting.parse_duration(args.end) if args.end else None
    if end is not None and end <= begin:
        raise UsageError(f"--to {args.end} is not after --from {args.begin or 0}")
    frame, history = read(args.file)
    start = frame.meta.started_ns
    window = (start + begin if args.begin else 0, ALWAYS[1] if end is None else start + end)
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with (
            Reader(args.file) as reader,
            open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
        ):
            events = _FirstRows(reader.events(*window), args.max_events) if reader.count_events() else None
            out = (
                gzip.GzipFile(fileobj=file, mode="wb", compresslevel=5, mtime=0)
                if target.suffix == ".gz"
                else file
            )
            for part in render(frame, history, args.max_connections, events, window):
                out.write(part.encode())
            if out is not file:
                out.close()
        hand_over(unfinished)
        unfinished.replace(target)
    except OSError as error:
        raise SockscopeError(
            f"cannot write {target} ({error.strerror})", hint="choose another path with -o"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    print(
        f"{target}  {formatting.size(target.stat().st_size)}; open it with ui.perfetto.dev or chrome://tracing"
    )
    if events and events.truncated:
        _say(
            f"the timeline shows the first {formatting.count(args.max_events)} events; --max-events shows more, --from later ones"
        )
    total = len(frame.snapshot.connections)
    if total > args.max_connections:
        _say(
            f"the timeline shows the first {formatting.count(args.max_connections)} of {formatting.count(total)}"
            " connections; --max-connections shows more"
        )
    return 0


def _say(line: str) -> None:
    print(f"sockscope: {line}", file=sys.stderr)


class _FirstRows:
    """Iterate over at most ``limit`` rows; ``truncated`` is whether there were more."""

    def __init__(self, chunks: Iterator[Records], limit: int) -> None:
        self._chunks, self._left = chunks, limit
        self.truncated = False

    def __iter__(self) -> Iterator[Records]:
        for chunk in self._chunks:
            self.truncated = len(chunk) > self._left
            yield chunk[: self._left]
            self._left -= len(chunk)
            if self.truncated:
                return
