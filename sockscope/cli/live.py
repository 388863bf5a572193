"""``sockscope live``: the dashboard for running servers."""

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
    get_attach_methods,
    get_target,
    parse_pairs,
)
from sockscope.errors import SockscopeError, UsageError

if TYPE_CHECKING:
    from sockscope.analysis.frame import Frame

_DEFAULT_WEB = "127.0.0.1:8000"
_MMAP_THRESHOLD = -3  # of mallopt(3)


class Live:
    """Watch running servers in a terminal dashboard

    Shows which thread accepts and reads each connection, the length of the accept queues, how SO_REUSEPORT
    distributes connections, and whether work is shared fairly. Press ? for help on each screen, and r to
    record to a file that `sockscope replay` and `sockscope report` read.

    Examples:

      sockscope live
      sockscope live --port 443
      sockscope live --pid 4321 --disable wake
      sockscope live --container web --web 127.0.0.1:8000
    """

    name = "live"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        add_target_options(parser)
        add_tracing_options(parser)
        group = parser.add_argument_group("dashboard")
        add_dashboard_options(group)
        group.add_argument(
            "--interval",
            type=float,
            default=0.5,
            metavar="SECONDS",
            help="time between updates (default 0.5)",
        )
        group.add_argument(
            "--web",
            nargs="?",
            const=_DEFAULT_WEB,
            metavar="ADDRESS:PORT",
            help=f"serve the dashboard over HTTP (default {_DEFAULT_WEB}; no authentication)",
        )

    def run(self, args: argparse.Namespace) -> int:
        if not 0.05 <= args.interval <= 60:
            raise UsageError(f"--interval {args.interval}: out of range", hint="use 0.05 to 60 seconds")
        target = get_target(args)
        if args.web:
            return serve(args.web)
        need_terminal("record the target with `sockscope record` and read it with `sockscope report`")
        from sockscope.session.frame_sources import open_live_source
        from sockscope.tui.app import make_app

        feed = open_live_source(
            target,
            interval_s=args.interval,
            signals=get_attach_methods(args),
            limits=parse_pairs(args.map_size, "--map-size"),
        )
        return show(make_app(feed, save=save_report, theme=f"sockscope-{args.theme}"))


def add_dashboard_options(group: argparse._ArgumentGroup) -> None:
    """Add --theme."""
    group.add_argument(
        "--theme",
        choices=("dark", "light", "dark-safe", "light-safe"),
        default="dark",
        help="colours; -safe themes suit colour-blind users (NO_COLOR=1 disables colours)",
    )


def save_report(frame: Frame, path: Path) -> Path:
    """Write the current frame as an HTML report, and return its path."""
    from sockscope.report import render

    path.write_text(render("html", frame))
    return path


def need_terminal(instead: str) -> None:
    """Check that the dashboard can be drawn on this terminal.

    :param instead: what to use otherwise
    :raises UsageError: when standard input or output is not a terminal, or it is too simple
    """
    import os

    if not (sys.stdin.isatty() and sys.stdout.isatty()) and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError("the dashboard needs a terminal", hint=instead)
    if os.environ.get("TERM", "") in ("dumb", "") and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError(
            f"the dashboard cannot draw on a terminal of type {os.environ.get('TERM') or 'unknown'!r}",
            hint=instead,
        )


def show(app: object) -> int:
    """Run a dashboard until the user leaves it, and return the exit status.

    :raises SockscopeError: when there was no frame to show
    """
    from sockscope.tui.app import Dashboard

    assert isinstance(app, Dashboard)
    # imported modules stay: scanning them at each full collection would delay a key press by 0.2 s
    gc.collect()
    gc.freeze()
    _release_freed_memory()
    status = app.run()
    if app.failure:
        raise SockscopeError(app.failure)
    return status or app.return_code or 0


def _release_freed_memory() -> None:
    """Make glibc return freed arrays to the system at once.

    By default glibc raises M_MMAP_THRESHOLD (mallopt(3)) and keeps ever larger blocks, and the heaps of
    the two threads fragment: 300 MB after half an hour at 20,000 connections per second, instead of 130.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # another C library has none
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 256 * 1024)


def serve(where: str) -> int:
    """Serve this command line, without --web, over HTTP: one process per visitor.

    :raises UsageError: for an invalid address, or when textual-serve is missing
    """
    host, colon, number = where.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not number.isdigit() or not 0 < int(number) < 65536:
        raise UsageError(
            f"--web {where}: not an address and port",
            hint=f"write ADDRESS:PORT, for example {_DEFAULT_WEB}",
        )
    del colon
    try:
        from textual_serve.server import Server
    except ImportError:
        raise UsageError("--web needs textual-serve", hint="pip install 'sockscope[serve]'") from None
    print(f"sockscope: serving the dashboard on http://{where}/ until Ctrl+C", file=sys.stderr)
    Server(
        shlex.join(_without_web_option(sys.argv[1:])), host=host, port=int(number), title="sockscope"
    ).serve()
    return 0


def _without_web_option(arguments: list[str]) -> list[str]:
    """Return this command line as the session of a browser runs it."""
    kept, skip = [], False
    for index, word in enumerate(arguments):
        if skip:
            skip = False
        elif word in ("--web", "--serve"):
            following = arguments[index + 1] if index + 1 < len(arguments) else "-"
            skip = not following.startswith("-")
        elif not word.startswith(("--web=", "--serve=")):
            kept.append(word)
    return [sys.executable, "-m", "sockscope", *kept]
