"""``sockscope record``: trace into a file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope import formatting
from sockscope.cli.record_plan import Plan, add_place_options, plan_of
from sockscope.cli.target_options import (
    add_target_options,
    add_tracing_options,
    pairs_of,
    signals_of,
    target_of,
)
from sockscope.errors import SockscopeError, UsageError
from sockscope.target import Target

if TYPE_CHECKING:
    from sockscope.session.child import Child
    from sockscope.store.recording import Tally
    from sockscope.tracer.map_defs import MapSizes


class Record:
    """Trace servers into a file

    Ends after --duration, when COMMAND ends, or at Ctrl-C; whatever ends it, the file holds what
    was seen until then.  With COMMAND, that process (with its threads and children) is the target.

    With --rotate or --ring there are several files: FILE's name gets the time at which each begins,
    as in web-20260131T235959Z.sockscope, and --keep says how many of them stay.
    """

    name = "record"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.usage = "sockscope record -o FILE [-d SECONDS] [TARGET] [-- COMMAND ...]"
        parser.add_argument(
            "-o", "--output", type=Path, required=True, metavar="FILE", help="the recording to write"
        )
        parser.add_argument(
            "-d", "--duration", metavar="SECONDS", help="how long (10, 1.5s, 200ms, 3m); else until Ctrl-C"
        )
        parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")
        parser.add_argument(
            "--detail", action="store_true",
            help="every accept, read, write, wait and wake-up as an event too, for timelines",
        )  # fmt: skip
        add_place_options(parser)
        add_target_options(parser)
        add_tracing_options(parser)
        parser.add_argument("words", nargs="*", metavar="COMMAND", help="start this and trace it")

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.session.child import Child
        from sockscope.session.live import limits_of

        plan = plan_of(args)
        duration = formatting.parse_duration(args.duration) if args.duration else None
        target = target_of(args)
        limits, signals = limits_of(pairs_of(args.limits, "--limits")), signals_of(args)
        # False where we may not look: to make it there says why
        if not plan.several and os.path.lexists(args.output) and not args.force:
            raise SockscopeError(f"{args.output} exists; choose another name, or --force to overwrite it")
        if args.words and target.pids:
            raise UsageError("--pid and COMMAND exclude each other: the command is the target")
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

    with LiveSession(target, limits, signals, detail=args.detail) as session:
        listeners = session.start()  # the kernel keeps what happens while the file is made
        drop_privileges([args.output.absolute().parent], has_child=child is not None)
        veil = Anonymizer() if args.anonymize else None
        meta = veil.meta(session.meta) if veil else session.meta
        with plan.sink(args.output, meta, args.force, _say) as sink:

            def begun() -> None:
                until = (
                    "until it ends or Ctrl-C" if duration is None else f"for {formatting.duration(duration)}"
                )
                _say(f"tracing {target}; {until}")
                if child:
                    child.go()
                elif not listeners:
                    _say("nobody listens there yet; waiting for one who does")

            ended = child.has_ended if child else lambda: False
            ending = run(
                session,
                (lambda batch: sink.take(veil.batch(batch))) if veil else sink.take,
                duration,
                ended=ended,
                wants_whole=sink.wants_whole,
                begun=begun,
            )
    if ending == "target ended" and not child:
        _say(f"the target has ended: {target}")
    if not sink.tally.listeners_seen:
        _say(f"nobody listened: {target}")
    _say(f"{_seen(sink.tally)} -> {_files(sink.written())}")
    if sink.tally.clock:
        _say(sink.tally.clock)
    for what, number in sink.tally.lost:
        _say(f"lost: {formatting.count(number)} {what}")
    return child.status() if child else 0


def _seen(tally: Tally) -> str:
    return f"{formatting.count(tally.connections_closed)} closed connections, {tally.workers_seen} threads"


def _files(written: Sequence[Path]) -> str:
    """Where to look."""
    if not written:
        return "no file"
    size = formatting.size(sum(path.stat().st_size for path in written))
    if len(written) == 1:
        return f"{written[0]} ({size}); sockscope report {written[0]}"
    return f"{len(written)} files ({size}); the last: sockscope report {written[-1]}"


def _say(line: str) -> None:
    print(f"sockscope: {line}", file=sys.stderr)
