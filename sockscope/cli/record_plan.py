"""What ``sockscope record`` makes of a session: one file, one after another, or the last minutes."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.errors import UsageError

if TYPE_CHECKING:
    from sockscope.analysis.finding_filter import Bar
    from sockscope.records.batch import Meta
    from sockscope.store.recording import Sink
    from sockscope.store.rotation import RotationLimit


def add_place_options(parser: argparse.ArgumentParser) -> None:
    """Add --rotate, --ring, --on-finding, --keep and --anonymize."""
    group = parser.add_argument_group("files")
    group.add_argument(
        "--rotate", metavar="1h|500M", help="begin a new file after so long, or when one is so large"
    )
    group.add_argument(
        "--ring", metavar="5m|500M",
        help="keep only the last so long (or large), and write it at SIGUSR1, on a finding, and at the end",
    )  # fmt: skip
    group.add_argument(
        "--on-finding", action="append", default=[], metavar="SEVERITY|FINDING",
        help="with --ring: write when one comes up, this one or of this severity or more (may repeat)",
    )  # fmt: skip
    group.add_argument(
        "--keep", type=int, metavar="N", help="with --rotate or --ring: only the N newest files"
    )
    group.add_argument(
        "--anonymize", action="store_true",
        help="pseudonyms for addresses and the host, no command lines",
    )  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How the session goes into files."""

    rotate: RotationLimit | None
    ring: RotationLimit | None
    bar: Bar | None
    keep: int | None

    @property
    def several(self) -> bool:
        """Whether file names carry the time."""
        return self.rotate is not None or self.ring is not None

    def sink(self, path: Path, meta: Meta, overwrite: bool, say: Callable[[str], None]) -> Sink:
        """Where the batches go.

        :raises SockscopeError: when it cannot be written
        """
        from sockscope.store.recording import RecordingSink
        from sockscope.store.rotation import Rotation

        if self.rotate:
            return Rotation(path, meta, self.rotate, self.keep)
        if not self.ring:
            return RecordingSink(path, meta, overwrite)
        from sockscope.session.finding_watcher import FindingWatcher
        from sockscope.session.flight_recorder import FlightRecorder

        watch = FindingWatcher(meta, self.bar, self.ring.ns or _QUIET_NS) if self.bar else None
        recorder = FlightRecorder(path, meta, self.ring, self.keep, watch, say)
        signal.signal(signal.SIGUSR1, lambda *_: recorder.ask("SIGUSR1"))
        return recorder


#: How long a finding has to be gone to be new again, where the ring's length is not a time.
_QUIET_NS = 300_000_000_000


def plan_of(args: argparse.Namespace) -> Plan:
    """What the options say.

    :raises UsageError: for what cannot be, or does not go together
    """
    from sockscope.store.rotation import RotationLimit

    if args.rotate and args.ring:
        raise UsageError("--rotate and --ring exclude each other: all of it in pieces, or the last of it")
    if args.on_finding and not args.ring:
        raise UsageError("--on-finding needs --ring: how much to write when it comes up")
    if args.keep is not None and (not (args.rotate or args.ring) or args.keep < 1):
        raise UsageError("--keep is how many files of --rotate or --ring stay, 1 or more")
    if args.force and (args.rotate or args.ring):
        raise UsageError("--force is for one file; with --rotate or --ring each has a name of its own")
    bar = None
    if args.on_finding:
        from sockscope.analysis.finding_filter import bar_of

        bar = bar_of(args.on_finding, "--on-finding")
    return Plan(
        RotationLimit.parse(args.rotate, "--rotate") if args.rotate else None,
        RotationLimit.parse(args.ring, "--ring") if args.ring else None,
        bar,
        args.keep,
    )
