"""``sockscope export``: a recording for other tools."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sockscope import units
from sockscope.errors import SockscopeError, UsageError

_LIMIT = 50_000


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
        parser.add_argument("--overwrite", action="store_true", help="replace files that exist")

    def run(self, args: argparse.Namespace) -> int:
        if args.format == "timeline":
            if args.table or args.by_host:
                raise UsageError(
                    "--table and --by-host are for tables; leave them out, or choose another --format"
                )
            if args.limit < 1:
                raise UsageError("--limit must be at least 1")
            return _timeline(args)
        from sockscope.report.tables import export

        place = args.output or Path(f"{args.file.stem}-{args.format}")
        written = export(
            args.file, place, args.format, args.table, by_host=args.by_host, overwrite=args.overwrite
        )
        for path, rows in written.items():
            print(f"{path}  {units.count(rows)} rows, {units.size(path.stat().st_size)}")
        return 0


def _timeline(args: argparse.Namespace) -> int:
    import gzip
    import os

    from sockscope.report.recorded import read
    from sockscope.report.timeline import render

    target = args.output or Path(f"{args.file.stem}.trace.json.gz")
    if target.exists() and not args.overwrite:
        raise SockscopeError(f"{target} exists; choose another place with -o, or say --overwrite")
    frame, history = read(args.file)
    unfinished = target.with_name(f".{target.name}.unfinished")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            out = (
                gzip.GzipFile(fileobj=file, mode="wb", compresslevel=5, mtime=0)
                if target.suffix == ".gz"
                else file
            )
            for part in render(frame, history, args.limit):
                out.write(part.encode())
            if out is not file:
                out.close()
        unfinished.replace(target)
    except OSError as error:
        raise SockscopeError(
            f"{target} cannot be written ({error.strerror}); choose another place with -o"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{target}  {units.size(target.stat().st_size)}; open it with ui.perfetto.dev or chrome://tracing")
    all_of_them = len(frame.snapshot.connections)
    if all_of_them > args.limit:
        print(
            f"sockscope: the timeline shows the first {units.count(args.limit)} of {units.count(all_of_them)}"
            " connections; --limit shows more",
            file=sys.stderr,
        )
    return 0
