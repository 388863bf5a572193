"""How ``sockscope record`` writes a session: one file, rotated files, or a flight recorder."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sockscope.errors import UsageError

if TYPE_CHECKING:
    from sockscope.analysis.finding_filter import FindingFilter
    from sockscope.records.batch import Meta
    from sockscope.store.recording import Sink
    from sockscope.store.rotation import RotationLimit


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """Add --rotate, --flight-recorder, --on-finding, --keep and --anonymize."""
    group = parser.add_argument_group("files")
    group.add_argument(
        "--rotate", metavar="DURATION|SIZE", help="start a new file every DURATION or SIZE (1h, 500M)"
    )
    group.add_argument(
        "--flight-recorder",
        metavar="DURATION|SIZE",
        help="keep only the last DURATION or SIZE (5m, 500M); dump it on SIGUSR1, on a finding, at exit",
    )
    group.add_argument(
        "--on-finding",
        action="append",
        default=[],
        metavar="SEVERITY|FINDING",
        help="with --flight-recorder: dump when this finding, or one of this severity or higher, appears "
        "(repeatable)",
    )
    group.add_argument("--keep", type=int, metavar="N", help="keep only the N newest files")
    group.add_argument(
        "--anonymize",
        action="store_true",
        help="replace addresses and host name by pseudonyms, omit command lines",
    )


@dataclass(frozen=True)
class Plan:
    """Which files a session is written to."""

    rotate: RotationLimit | None
    flight_recorder: RotationLimit | None
    bar: FindingFilter | None
    keep: int | None

    @property
    def several(self) -> bool:
        """Return whether there may be several files, whose names have a time."""
        return self.rotate is not None or self.flight_recorder is not None

    def sink(self, path: Path, meta: Meta, overwrite: bool, say: Callable[[str], None]) -> Sink:
        """Create the sink that batches are written to.

        :raises SockscopeError: when the file cannot be created
        """
        from sockscope.store.recording import RecordingSink
        from sockscope.store.rotation import Rotation

        if self.rotate:
            return Rotation(path, meta, self.rotate, self.keep)
        if not self.flight_recorder:
            return RecordingSink(path, meta, overwrite)
        from sockscope.session.finding_watcher import FindingWatcher
        from sockscope.session.flight_recorder import FlightRecorder

        watcher = FindingWatcher(meta, self.bar, self.flight_recorder.ns or _QUIET_NS) if self.bar else None
        recorder = FlightRecorder(path, meta, self.flight_recorder, self.keep, watcher, say)
        signal.signal(signal.SIGUSR1, lambda *_: recorder.ask("SIGUSR1"))
        return recorder


#: How long a finding has to be absent to count as new again, when the flight recorder is limited by size.
_QUIET_NS = 300_000_000_000


def build_plan(args: argparse.Namespace) -> Plan:
    """Return the plan that the options describe.

    :raises UsageError: for invalid values and options that exclude each other
    """
    from sockscope.store.rotation import RotationLimit

    if args.rotate and args.flight_recorder:
        raise UsageError(
            "--rotate and --flight-recorder are mutually exclusive",
            hint="--rotate keeps everything in several files, --flight-recorder only the latest",
        )
    if args.on_finding and not args.flight_recorder:
        raise UsageError("--on-finding needs --flight-recorder", hint="give the DURATION or SIZE to keep")
    if args.keep is not None and (not (args.rotate or args.flight_recorder) or args.keep < 1):
        raise UsageError("--keep needs --rotate or --flight-recorder, and at least 1")
    if args.overwrite and (args.rotate or args.flight_recorder):
        raise UsageError(
            "--overwrite cannot be used with --rotate or --flight-recorder",
            hint="their files have unique names",
        )
    bar = None
    if args.on_finding:
        from sockscope.analysis.finding_filter import parse_finding_filter

        bar = parse_finding_filter(args.on_finding, "--on-finding")
    return Plan(
        RotationLimit.parse(args.rotate, "--rotate") if args.rotate else None,
        RotationLimit.parse(args.flight_recorder, "--flight-recorder") if args.flight_recorder else None,
        bar,
        args.keep,
    )
