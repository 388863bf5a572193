"""``sockscope replay``: the dashboard for a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

from sockscope.cli.live import add_dashboard_options, need_terminal, save_report, show


class Replay:
    """Open a recording in the dashboard

    The screens are those of `sockscope live`, with playback controls: space plays and pauses, "," and "."
    step, "[" and "]" jump, "-" and "+" change the speed, n and N go to the next and previous finding, and
    a click on the time bar seeks. Neither root nor the recorded machine is needed.

    Examples:

      sockscope replay web.sockscope
      sockscope replay web.sockscope --theme light-safe
    """

    name = "replay"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE", help="recording")
        add_dashboard_options(parser.add_argument_group("dashboard"))

    def run(self, args: argparse.Namespace) -> int:
        need_terminal(f"`sockscope report {args.file}` prints the same as text")
        from sockscope.session.frame_sources import open_replay_source
        from sockscope.session.privdrop import drop_to_invoking_user
        from sockscope.tui.app import make_app

        feed = open_replay_source(args.file)
        drop_to_invoking_user()
        return show(make_app(feed, save=save_report, theme=f"sockscope-{args.theme}"))
