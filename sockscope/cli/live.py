"""``sockscope live``: the dashboard on servers that run now."""

from __future__ import annotations

import argparse
import ctypes
import gc
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.cli.target_options import (
    add_target_options,
    add_tracing_options,
    pairs_of,
    signals_of,
    target_of,
)
from sockscope.errors import SockscopeError, UsageError

if TYPE_CHECKING:
    from sockscope.analysis.frame import Frame

_DEFAULT_SERVE = "127.0.0.1:8000"
_MMAP_THRESHOLD = -3  # of mallopt(3)


class Live:
    """Watch servers in a dashboard

    One look says whether the work is shared fairly: which thread accepts and reads each connection, how the
    queues stand, how the kernel spreads connections over SO_REUSEPORT listeners. ? in the dashboard explains
    each screen; r records what is seen to a file that `sockscope replay` and `sockscope report` read.
    """

    name = "live"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        add_target_options(parser)
        add_tracing_options(parser)
        group = parser.add_argument_group("dashboard")
        add_dashboard_options(group)
        group.add_argument(
            "--interval", type=float, default=0.5, metavar="SECONDS", help="time between two frames (0.5)"
        )
        group.add_argument(
            "--serve", nargs="?", const=_DEFAULT_SERVE, metavar="ADDRESS:PORT",
            help=f"offer the dashboard to a browser instead ({_DEFAULT_SERVE}; whoever reaches it can use it)",
        )  # fmt: skip

    def run(self, args: argparse.Namespace) -> int:
        if not 0.05 <= args.interval <= 60:
            raise UsageError(f"--interval {args.interval}: use 0.05 to 60 seconds")
        target = target_of(args)
        if args.serve:
            return serve(args.serve)
        need_terminal("record the target with `sockscope record` and read it with `sockscope report`")
        from sockscope.session.frame_sources import open_live_source
        from sockscope.tui.app import make_app

        feed = open_live_source(
            target,
            interval_s=args.interval,
            signals=signals_of(args),
            limits=pairs_of(args.limits, "--limits"),
        )
        return show(make_app(feed, save=save_report, theme=f"sockscope-{args.theme}"))


def add_dashboard_options(group: argparse._ArgumentGroup) -> None:
    """Add --theme."""
    group.add_argument(
        "--theme", choices=("dark", "light", "dark-safe", "light-safe"), default="dark",
        help="colours; the safe ones can be told apart by the colour-blind (NO_COLOR=1 takes them away)",
    )  # fmt: skip


def save_report(frame: Frame, path: Path) -> Path:
    """Write the frame that is shown as a report: HTML, or text where matplotlib is missing."""
    from sockscope.report import render

    try:
        text = render("html", frame)
    except SockscopeError:
        text, path = render("text", frame), path.with_suffix(".txt")
    path.write_text(text)
    return path


def need_terminal(instead: str) -> None:
    """
    :raises UsageError: when there is no terminal to draw on
    """
    import os

    if not (sys.stdin.isatty() and sys.stdout.isatty()) and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError(f"the dashboard needs a terminal, and this is none; {instead}")
    if os.environ.get("TERM", "") in ("dumb", "") and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError(
            f"the dashboard cannot draw on a terminal of type {os.environ.get('TERM') or 'unknown'!r}; {instead}"
        )


def show(app: object) -> int:
    """Run a dashboard until it is left; the exit status.

    :raises SockscopeError: when there was never anything to show
    """
    from sockscope.tui.app import Dashboard

    assert isinstance(app, Dashboard)
    # all that has been imported stays: looked through at each full collection, it holds up a key by 0.2 s
    gc.collect()
    gc.freeze()
    _give_memory_back()
    status = app.run()
    if app.failure:
        raise SockscopeError(app.failure)
    return status or app.return_code or 0


def _give_memory_back() -> None:
    """Records that are let go of go back to the system at once.

    By default glibc keeps ever larger blocks to itself (mallopt(3), M_MMAP_THRESHOLD), and the two threads'
    heaps fall to pieces: under 20,000 connections a second 300 MB after half an hour instead of 130.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library has none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 256 * 1024)


def serve(where: str) -> int:
    """The same command, without --serve, in a browser: one process a visitor.

    :raises UsageError: for an address that cannot be one, or when textual-serve is missing
    """
    host, colon, number = where.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise UsageError(f"--serve {where}: write ADDRESS:PORT, such as {_DEFAULT_SERVE}")
    del colon
    try:
        from textual_serve.server import Server
    except ImportError:
        raise UsageError("--serve needs textual-serve; pip install 'sockscope[serve]'") from None
    print(f"sockscope: serving the dashboard on http://{where}/ until Ctrl+C", file=sys.stderr)
    Server(shlex.join(_without_serve(sys.argv[1:])), host=host, port=int(number), title="sockscope").serve()
    return 0


def _without_serve(arguments: list[str]) -> list[str]:
    """This command line, as a browser's session runs it."""
    kept, skip = [], False
    for index, word in enumerate(arguments):
        if skip:
            skip = False
        elif word == "--serve":
            following = arguments[index + 1] if index + 1 < len(arguments) else "-"
            skip = not following.startswith("-")
        elif not word.startswith("--serve="):
            kept.append(word)
    return [sys.executable, "-m", "sockscope", *kept]
