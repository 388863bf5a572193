"""``sockscope record``: trace into a file."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from sockscope import units
from sockscope.commands.target_options import add_target_options, add_tracing_options, pairs_of, target_of
from sockscope.errors import SockscopeError, UsageError


class Record:
    """Trace servers into a file

    Ends after --duration, when COMMAND ends, or at Ctrl-C; whatever ends it, the file holds what
    was seen until then.  With COMMAND, that process (with its threads and children) is the target.
    """

    name = "record"

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        parser.usage = "sockscope record -o FILE [-d SECONDS] [TARGET] [-- COMMAND ...]"
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the recording to write")
        parser.add_argument("-d", "--duration", metavar="SECONDS", help="how long (10, 1.5s, 200ms, 3m); else until Ctrl-C")
        parser.add_argument("-f", "--force", action="store_true", help="overwrite FILE")
        add_target_options(parser)
        add_tracing_options(parser)
        parser.add_argument("words", nargs="*", metavar="COMMAND", help="start this and trace it")

    def run(self, args: argparse.Namespace) -> int:
        from sockscope.session.live import limits_of

        duration = units.parse_duration(args.duration) if args.duration else None
        target = target_of(args)
        limits, signals = limits_of(pairs_of(args.limits, "--limits")), pairs_of(args.signals, "--signals")
        if args.output.exists() and not args.force:
            raise SockscopeError(f"{args.output} exists; choose another name, or --force to overwrite it")
        if args.words and target.pids:
            raise UsageError("--pid and COMMAND exclude each other: the command is the target")
        child = _Child(args.words) if args.words else None
        try:
            if child:
                target = replace(target, pids=(child.pid,))
            return _record(args, target, limits, signals, duration, child)
        finally:
            if child:
                child.end()


def _record(args, target, limits, signals, duration, child) -> int:  # type: ignore[no-untyped-def]
    from sockscope.session.frames import run
    from sockscope.session.live import LiveSession
    from sockscope.session.recording import Recording

    with LiveSession(target, limits, signals) as session, Recording(args.output, session.meta, args.force) as recording:

        def started() -> None:
            _say(f"tracing {target}; " + ("until it ends or Ctrl-C" if duration is None else f"for {units.duration(duration)}"))
            if child:
                child.go()

        run(session, recording.take, duration, started=started, ended=child.has_ended if child else lambda: False)
        if not recording.listeners_seen:
            _say(f"nobody listened: {target}")
    _say(
        f"{units.count(recording.connections_closed)} closed connections, {recording.workers_seen} threads "
        f"-> {args.output} ({units.size(args.output.stat().st_size)}); sockscope report {args.output}"
    )
    for what, number in recording.lost:
        _say(f"lost: {units.count(number)} {what}")
    return child.status() if child else 0


class _Child:
    """A command that is started, but waits before it begins until tracing has."""

    def __init__(self, words: list[str]) -> None:
        self._gate, theirs = os.pipe()
        reader, self._gate = self._gate, theirs
        waiting = "import os, sys; os.read(int(sys.argv[1]), 1); os.close(int(sys.argv[1])); os.execvp(sys.argv[2], sys.argv[2:])"
        import shutil

        if shutil.which(words[0]) is None:
            os.close(reader)
            os.close(self._gate)
            raise UsageError(f"no command {words[0]!r}; is it on the PATH?")
        self._process = subprocess.Popen([sys.executable, "-S", "-c", waiting, str(reader), *words], pass_fds=(reader,))
        os.close(reader)
        self.pid = self._process.pid

    def go(self) -> None:
        os.write(self._gate, b"g")
        os.close(self._gate)
        self._gate = -1

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def status(self) -> int:
        code = self._process.poll()
        return 0 if code is None or code < 0 else code

    def end(self) -> None:
        """SIGTERM to what we started, if it still runs."""
        if self._gate >= 0:
            os.close(self._gate)
            self._process.kill()
        elif self._process.poll() is None:
            self._process.terminate()
        deadline = time.monotonic() + 5
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _say(line: str) -> None:
    print(f"sockscope: {line}", file=sys.stderr)
