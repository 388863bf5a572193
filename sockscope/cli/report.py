"""``sockscope report``: report on a recording, or on recordings of many hosts."""

from __future__ import annotations

import argparse
from pathlib import Path

from sockscope.cli.output import write_output
from sockscope.errors import UsageError
from sockscope.report import FORMATS, render


class Report:
    """Report on a recording, or on recordings of many hosts

    For one recording the report is complete: verdict, shares, waits, queues and findings. Given Parquet
    files (of `sockscope export --by-host`), directories of them or patterns, it compares the hosts and
    names those that stand out.

    Examples:

      sockscope report web.sockscope
      sockscope report web.sockscope --format html -o web.html
      sockscope report web.sockscope --format json | jq .findings
      sockscope report 'fleet/**/*.parquet'
    """

    name = "report"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        names = [name for name, _ in FORMATS]
        parser.add_argument(
            "files",
            nargs="+",
            metavar="FILE",
            help="recording; or Parquet files, directories or patterns of them",
        )
        parser.add_argument(
            "--format", choices=names, default="text", help=f"{', '.join(names)} (default: text)"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of standard output"
        )
        parser.add_argument(
            "--connections",
            type=int,
            metavar="N",
            help="json: list the N connections that waited longest (default: 10,000)",
        )

    def run(self, args: argparse.Namespace) -> int:
        if args.connections is not None and args.connections < 0:
            raise UsageError("--connections must be at least 0")
        exported = [_is_exported(name) for name in args.files]
        if all(exported):
            from sockscope import fleet

            write_output(fleet.render(args.format, fleet.fleet(args.files)), args.output)
            return 0
        if any(exported) or len(args.files) > 1:
            raise UsageError(
                "give one recording, or Parquet files of several",
                hint="export those with: sockscope export FILE --by-host -o DIRECTORY",
            )
        from sockscope.session.load_recording import read

        write_output(render(args.format, *read(Path(args.files[0])), args.connections), args.output)
        return 0


def _is_exported(name: str) -> bool:
    """Return whether a name means Parquet files, not a recording."""
    path = Path(name)
    if path.is_dir():
        from sockscope.fleet.gather import exported_below

        return any(True for _ in exported_below(path))
    return name.endswith(".parquet") or (not path.exists() and any(sign in name for sign in "*?["))
