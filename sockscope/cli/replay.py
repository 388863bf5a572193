"""``sockscope replay``: the dashboard on a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from sockscope.cli.live import add_dashboard_options, need_terminal, save_report, show


class Replay:
    """Open a recording in the dashboard

    The same screens as of `sockscope live`, with time under your hand: space plays and stops, , and . step,
    [ and ] jump, - and + change the speed, n and N go from finding to finding, a click on the bar goes there.
    Needs neither root nor the machine that was recorded.
    """

    name = "replay"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "file", type=Path, help="a recording, as `sockscope record` or r in the dashboard wrote it"
        )
        add_dashboard_options(parser.add_argument_group("dashboard"))

    def run(self, args: argparse.Namespace) -> int:
        need_terminal(f"`sockscope report {args.file}` writes the same as text")
        from sockscope.session.frame_sources import open_replay_source
        from sockscope.session.privdrop import drop_to_invoking_user
        from sockscope.tui.app import make_app

        feed = open_replay_source(args.file)
        drop_to_invoking_user()
        return show(make_app(feed, save=save_report, theme=f"sockscope-{args.theme}"))
