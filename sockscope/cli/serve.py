"""``sockscope serve``: a reference server."""

from __future__ import annotations

import argparse

from sockscope.cli.reference_servers import import_reference_servers


class Serve:
    """Run a reference server of one of the five models

    `sockscope serve --help` shows the models, `sockscope serve MODEL --help` the options of one.

    Examples:

      sockscope serve reuseport --port 8080 --workers 4
      sockscope serve shared --workers 4 --slow 2:20000
    """

    name = "serve"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "words", nargs=argparse.REMAINDER, metavar="MODEL ...", help="the model and its options"
        )

    def run(self, args: argparse.Namespace) -> int:
        status: int = import_reference_servers("__main__").main(args.words)
        return status
