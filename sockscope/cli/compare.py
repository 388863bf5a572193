"""``sockscope compare``: recordings beside each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from sockscope.cli.output import put_out
from sockscope.errors import UsageError


class Compare:
    """Compare recordings: before and after, or several hosts

    Figures of the first recording and of each other one, with whether they differ by more than chance and
    by enough to matter. Servers belong together by their port, or when each recording has but one.
    """

    name = "compare"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "files",
            type=Path,
            nargs="+",
            metavar="FILE",
            help="recordings; the first is what the others are compared with",
        )
        parser.add_argument(
            "--format", choices=("text", "json", "html"), default="text", help="text (default), json or html"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="write there instead of standard output"
        )

    def run(self, args: argparse.Namespace) -> int:
        if len(args.files) < 2:
            raise UsageError("give two recordings or more")
        from sockscope.compare.model import Recorded, compare
        from sockscope.compare.text import FORMATS
        from sockscope.session.load_recording import read

        result = FORMATS[args.format](compare([Recorded(str(path), *read(path)) for path in args.files]))
        put_out(result, args.output)
        return 0
