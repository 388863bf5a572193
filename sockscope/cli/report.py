"""``sockscope report``: what a recording says, or recordings of many hosts."""

from __future__ import annotations

import argparse
from pathlib import Path

from sockscope.cli.output import put_out
from sockscope.errors import UsageError
from sockscope.report import FORMATS, render


class Report:
    """Report on a recording, or on those of many hosts

    One recording is told at length. Parquet files (of `sockscope export --by-host`), folders of them or
    patterns such as 'fleet/**/*.parquet' are told together: which hosts are alike, and which stands out.
    """

    name = "report"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        names = [name for name, _ in FORMATS]
        parser.add_argument(
            "files",
            nargs="+",
            metavar="FILE",
            help="a recording; or Parquet files, folders or patterns of them",
        )
        parser.add_argument(
            "--format", choices=names, default="text", help=f"{', '.join(names)} (default: text)"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="write there instead of standard output"
        )
        parser.add_argument(
            "--connections",
            type=int,
            metavar="N",
            help="how many connections the json report lists, those that waited longest (default: 10,000)",
        )

    def run(self, args: argparse.Namespace) -> int:
        if args.connections is not None and args.connections < 0:
            raise UsageError("--connections must be at least 0")
        exported = [_is_exported(name) for name in args.files]
        if all(exported):
            from sockscope import fleet

            put_out(fleet.render(args.format, fleet.fleet(args.files)), args.output)
            return 0
        if any(exported) or len(args.files) > 1:
            raise UsageError(
                "give one recording, or Parquet files of several; export those with: "
                "sockscope export FILE --by-host -o DIRECTORY"
            )
        from sockscope.session.load_recording import read

        put_out(render(args.format, *read(Path(args.files[0])), args.connections), args.output)
        return 0


def _is_exported(name: str) -> bool:
    """Whether a name is one of Parquet files, and not of a recording."""
    path = Path(name)
    if path.is_dir():
        from sockscope.fleet.gather import exported_below

        return any(True for _ in exported_below(path))
    return name.endswith(".parquet") or (not path.exists() and any(sign in name for sign in "*?["))
