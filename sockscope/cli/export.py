"""``sockscope export``: a recording for other tools."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from sockscope import formatting
from sockscope.errors import SockscopeError, UsageError
from sockscope.records.batch import Records

_LIMIT = 50_000
_EVENTS = 1_000_000


class Export:
    """Write a recording as Parquet, CSV, JSON Lines or a timeline

    Tables (parquet, csv, jsonl) go into a directory, a file each: connections, workers, listeners, and so
    on. The timeline is one file for ui.perfetto.dev or chrome://tracing: a track a thread, waits as
    slices, arrows from accept to read to answer, queues as counters.
    """

    name = "export"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="a recording")
        parser.add_argument(
            "--format", choices=("parquet", "csv", "jsonl", "timeline"), default="parquet", help="parquet (default), csv, jsonl or timeline"
        )  # fmt: skip
        parser.add_argument(
            "-o", "--output", type=Path, metavar="PLACE",
            help="a directory for tables; a file for the timeline (.json, or .json.gz)",
        )  # fmt: skip
        parser.add_argument(
            "--table", action="append", default=[], metavar="NAME", help="only this table (may repeat)"
        )
        parser.add_argument(
            "--by-host", action="store_true",
            help="tables into host=NAME/start=TIME below the directory, to lie beside those of other hosts",
        )  # fmt: skip
        parser.add_argument(
            "--limit", type=int, default=_LIMIT, metavar="N",
            help=f"the timeline's connections, the first N of the recording ({_LIMIT})",
        )  # fmt: skip
        parser.add_argument(
            "--events", type=int, default=_EVENTS, metavar="N",
            help=f"the timeline's events, the first N, of a recording with --detail ({_EVENTS})",
        )  # fmt: skip
        parser.add_argument(
            "--from", dest="begin", metavar="SECONDS", help="begin the timeline so long after tracing began"
        )
        parser.add_argument("--to", dest="end", metavar="SECONDS", help="and end it so long after that began")
        parser.add_argument("--overwrite", action="store_true", help="replace files that exist")

    def run(self, args: argparse.Namespace) -> int:
        if args.format == "timeline":
            if args.table or args.by_host:
                raise UsageError(
                    "--table and --by-host are for tables; leave them out, or choose another --format"
                )
            if args.limit < 1 or args.events < 1:
                raise UsageError("--limit and --events must be at least 1")
            return _timeline(args)
        from sockscope.export.tables import export

        place = args.output or Path(f"{args.file.stem}-{args.format}")
        written = export(
            args.file, place, args.format, args.table, by_host=args.by_host, overwrite=args.overwrite
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
        raise SockscopeError(f"{target} exists; choose another place with -o, or say --overwrite")
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
            connection_io = _Few(reader.events(*window), args.events) if reader.count_events() else None
            out = (
                gzip.GzipFile(fileobj=file, mode="wb", compresslevel=5, mtime=0)
                if target.suffix == ".gz"
                else file
            )
            for part in render(frame, history, args.limit, connection_io, window):
                out.write(part.encode())
            if out is not file:
                out.close()
        hand_over(unfinished)
        unfinished.replace(target)
    except OSError as error:
        raise SockscopeError(
            f"{target} cannot be written ({error.strerror}); choose another place with -o"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    print(
        f"{target}  {formatting.size(target.stat().st_size)}; open it with ui.perfetto.dev or chrome://tracing"
    )
    if connection_io and connection_io.cut:
        _say(
            f"the timeline shows the first {formatting.count(args.events)} events; --events shows more, --from later ones"
        )
    all_of_them = len(frame.snapshot.connections)
    if all_of_them > args.limit:
        _say(
            f"the timeline shows the first {formatting.count(args.limit)} of {formatting.count(all_of_them)}"
            " connections; --limit shows more"
        )
    return 0


def _say(line: str) -> None:
    print(f"sockscope: {line}", file=sys.stderr)


class _Few:
    """The first so many of what comes; ``cut`` tells whether there was more."""

    def __init__(self, chunks: Iterator[Records], limit: int) -> None:
        self._chunks, self._left = chunks, limit
        self.cut = False

    def __iter__(self) -> Iterator[Records]:
        for chunk in self._chunks:
            self.cut = len(chunk) > self._left
            yield chunk[: self._left]
            self._left -= len(chunk)
            if self.cut:
                return
