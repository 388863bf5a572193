"""``sockscope serve``: a reference server."""

from __future__ import annotations

import argparse

from sockscope.cli.reference_servers import import_reference_servers


class Serve:
    """Run a reference server of one of the five models

    The arguments are those of `python -m servers`: MODEL --port 0 --workers N and more;
    `sockscope serve MODEL --help` lists them.
    """

    name = "serve"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "words", nargs=argparse.REMAINDER, metavar="MODEL ...", help="the model and its options"
        )

    def run(self, args: argparse.Namespace) -> int:
        status: int = import_reference_servers("__main__").main(args.words)
        return status
