"""``sockscope compare``: compare recordings."""

from __future__ import annotations

import argparse
from pathlib import Path

from sockscope.cli.output import write_output
from sockscope.errors import UsageError


class Compare:
    """Compare recordings: before and after, or several hosts

    Compares each recording with the first one and reports which differences are statistically significant
    and large enough to matter. Servers are matched by port, or if each recording has only one.

    Examples:

      sockscope compare before.sockscope after.sockscope
      sockscope compare host1.sockscope host2.sockscope host3.sockscope --format html -o hosts.html
    """

    name = "compare"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "files",
            type=Path,
            nargs="+",
            metavar="FILE",
            help="recordings; the first is the baseline",
        )
        parser.add_argument(
            "--format", choices=("text", "json", "html"), default="text", help="text (default), json or html"
        )
        parser.add_argument(
            "-o", "--output", type=Path, metavar="FILE", help="write to FILE instead of standard output"
        )

    def run(self, args: argparse.Namespace) -> int:
        if len(args.files) < 2:
            raise UsageError("compare needs at least two recordings")
        from sockscope.compare.model import Recorded, compare
        from sockscope.compare.text import FORMATS
        from sockscope.session.load_recording import read

        result = FORMATS[args.format](compare([Recorded(str(path), *read(path)) for path in args.files]))
        write_output(result, args.output)
        return 0
