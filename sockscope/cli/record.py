"""``sockscope record``: trace servers and record to a file."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope import formatting
from sockscope.cli.record_plan import Plan, add_file_options, build_plan
from sockscope.cli.status_line import StatusLine, format_progress
from sockscope.cli.target_options import (
    add_target_options,
    add_tracing_options,
    get_attach_methods,
    get_target,
    parse_pairs,
)
from sockscope.errors import SockscopeError, UsageError
from sockscope.target import Target

if TYPE_CHECKING:
    from sockscope.records.batch import Batch
    from sockscope.session.child import Child
    from sockscope.store.recording import Tally
    from sockscope.tracer.map_defs import MapSizes


class Record:
    """Trace servers and record to a file

    Recording stops after --duration, when COMMAND ends, or on Ctrl-C; everything recorded until then is
    in FILE. With COMMAND, that process with its threads and children is the target.

    With --rotate or --flight-recorder there are several files. Each name is FILE's with the time at
    which it starts, for example web-20260131T235959Z.sockscope; --keep limits their number.

    Examples:

      sockscope record -o web.sockscope -d 30s --port 443
      sockscope record -o run.sockscope -- ./server --workers 4
      sockscope record -o web.sockscope --port 443 --rotate 1h --keep 24
      sockscope record -o web.sockscope --port 443 --flight-recorder 5m --on-finding critical
    """

    name = "record"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.usage = "sockscope record -o FILE [-d DURATION] [TARGET] [-- COMMAND ...]"
        parser.add_argument(
            "-o", "--output", type=Path, required=True, metavar="FILE", help="recording to write"
        )
        parser.add_argument(
            "-d",
            "--duration",
            metavar="DURATION",
            help="stop after 10, 1.5s, 200ms or 3m; default: on Ctrl-C",
        )
        parser.add_argument("-f", "--overwrite", action="store_true", help="overwrite FILE if it exists")
        parser.add_argument(
            "--events",
            action="store_true",
            help="also record every accept, read, write, wait and wake-up as an event (for timelines)",
        )
        add_file_options(parser)
        add_target_options(parser)
        add_tracing_options(parser)
        parser.add_argument("words", nargs="*", metavar="COMMAND", help="start COMMAND and trace it")

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.session.child import Child
        from sockscope.session.live import get_map_sizes

        plan = build_plan(args)
        duration = formatting.parse_duration(args.duration) if args.duration else None
        target = get_target(args)
        limits, signals = get_map_sizes(parse_pairs(args.map_size, "--map-size")), get_attach_methods(args)
        # lexists is False without permission: creating the file then reports why
        if not plan.several and os.path.lexists(args.output) and not args.overwrite:
            raise SockscopeError(f"{args.output} exists", hint="choose another name, or use --overwrite")
        if args.words and target.pids:
            raise UsageError("--pid and COMMAND are mutually exclusive", hint="COMMAND is the target")
        child = Child(args.words) if args.words else None
        try:
            if child:
                target = replace(target, pids=(child.pid,))
            return _record(args, plan, target, limits, signals, duration, child)
        finally:
            if child:
                child.end()


def _record(
    args: argparse.Namespace,
    plan: Plan,
    target: Target,
    limits: MapSizes,
    signals: Mapping[str, str],
    duration: int | None,
    child: Child | None,
) -> int:
    from sockscope.session.frames import run
    from sockscope.session.live import LiveSession
    from sockscope.session.privdrop import drop_privileges
    from sockscope.store.anonymize import Anonymizer

    with (
        StatusLine(sys.stderr, enabled=child is None) as status,  # COMMAND may use the terminal itself
        LiveSession(target, limits, signals, detail=args.events) as session,
    ):
        listeners = session.start()  # the kernel keeps what happens while the file is made
        drop_privileges([args.output.absolute().parent], has_child=child is not None)
        anonymizer = Anonymizer() if args.anonymize else None
        meta = anonymizer.meta(session.meta) if anonymizer else session.meta

        def say(line: str) -> None:
            status.clear()
            _say(line)

        with plan.sink(args.output, meta, args.overwrite, say) as sink:
            started_ns = 0

            def take(batch: Batch) -> None:
                sink.take(anonymizer.batch(batch) if anonymizer else batch)
                elapsed = format_progress(time.monotonic_ns() - started_ns, duration)
                status.update(f"sockscope: {elapsed}; {_seen(sink.tally)}")

            def begun() -> None:
                nonlocal started_ns
                started_ns = time.monotonic_ns()
                until = (
                    "until it ends or Ctrl-C" if duration is None else f"for {formatting.duration(duration)}"
                )
                _say(f"tracing {target}; {until}")
                if child:
                    child.go()
                elif not listeners:
                    _say("no listening socket matches the target yet; waiting for one")

            ended = child.has_ended if child else lambda: False
            ending = run(
                session,
                take,
                duration,
                ended=ended,
                wants_whole=sink.wants_whole,
                begun=begun,
            )
    if ending == "target ended" and not child:
        _say(f"the target has ended: {target}")
    if not sink.tally.listeners_seen:
        _say(f"no listening socket matched the target: {target}")
    _say(f"{_seen(sink.tally)} -> {_files(sink.written())}")
    if sink.tally.clock:
        _say(sink.tally.clock)
    for what, number in sink.tally.lost:
        _say(f"lost: {formatting.count(number)} {what}")
    return child.status() if child else 0


def _seen(tally: Tally) -> str:
    return f"{formatting.count(tally.connections_closed)} closed connections, {tally.workers_seen} threads"


def _files(written: Sequence[Path]) -> str:
    """Name the files and the next command."""
    if not written:
        return "no file"
    size = formatting.size(sum(path.stat().st_size for path in written))
    if len(written) == 1:
        return f"{written[0]} ({size}); sockscope report {written[0]}"
    return f"{len(written)} files ({size}); latest: sockscope report {written[-1]}"


def _say(line: str) -> None:
    print(f"sockscope: {line}", file=sys.stderr)
