"""``sockscope report``: what a recording says."""

from __future__ import annotations

import argparse
from pathlib import Path

from sockscope.commands.output import put_out
from sockscope.errors import UsageError
from sockscope.report import FORMATS, render


class Report:
    """Report on a recording"""

    name = "report"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        names = [name for name, _ in FORMATS]
        parser.add_argument("file", type=Path, metavar="FILE", help="a recording")
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
        from sockscope.report.recorded import read

        if args.connections is not None and args.connections < 0:
            raise UsageError("--connections must be at least 0")
        put_out(render(args.format, *read(args.file), args.connections), args.output)
        return 0
