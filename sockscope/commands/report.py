"""``sockscope report``: what a recording says."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sockscope.errors import SockscopeError
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

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.report.recorded import read

        frame, history = read(args.file)
        text = render(args.format, frame, history)
        if args.output is None:
            sys.stdout.write(text)
            return 0
        try:
            args.output.write_text(text)
        except OSError as error:
            raise SockscopeError(
                f"cannot write {args.output} ({error.strerror}); choose another place"
            ) from error
        return 0
