"""One session in several files, each complete in itself, the oldest given up."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from sockscope import formatting
from sockscope.errors import UsageError
from sockscope.host import clock
from sockscope.records.batch import Batch, Meta
from sockscope.store.rebase import Rebaser
from sockscope.store.recording import RecordingSink, Tally
from sockscope.store.secure_file import wal_of
from sockscope.store.wall_clock import offset_ns

_SHORTEST_NS = 1_000_000_000
_SMALLEST = 1_000_000


@dataclass(frozen=True)
class RotationLimit:
    """How much goes into one file: a time in nanoseconds, or octets on the disk."""

    ns: int | None = None
    octets: int | None = None

    @classmethod
    def parse(cls, text: str, option: str) -> RotationLimit:
        """``1h``, ``90s``, ``500M``, ``2GiB``.

        :raises UsageError: for anything else, and for less than a second or a megabyte
        """
        try:
            if re.fullmatch(r".*(B|[kMGT]i?)\s*", text):
                made, least = cls(octets=formatting.parse_size(text)), f"{formatting.size(_SMALLEST)} or more"
            else:
                made, least = cls(ns=formatting.parse_duration(text)), "a second or more"
        except UsageError:
            raise UsageError(
                f"{option} {text!r}: neither a duration nor a size", hint="write 1h, 90s or 500M"
            ) from None
        enough = made.ns >= _SHORTEST_NS if made.ns is not None else (made.octets or 0) >= _SMALLEST
        if not enough:
            raise UsageError(f"{option} {text}: too small", hint=f"use {least}")
        return made

    def part(self, share: int) -> RotationLimit:
        """One of ``share`` equal parts, but not less than makes sense."""
        if self.ns is not None:
            return RotationLimit(ns=max(self.ns // share, _SHORTEST_NS))
        return RotationLimit(octets=max((self.octets or 0) // share, _SMALLEST))

    def is_reached(self, since_ns: int, octets: int) -> bool:
        """Whether a file that was begun at ``since_ns`` and has grown to ``octets`` is full."""
        if self.ns is not None:
            return clock.now_ns() - since_ns >= self.ns
        return octets >= (self.octets or 0)

    def __str__(self) -> str:
        return formatting.duration(self.ns) if self.ns is not None else formatting.size(self.octets or 0)


def segment_name(path: Path, meta: Meta) -> Path:
    """``path`` with the time at which the recording begins in its name, in UTC; one that is not there."""
    began = time.gmtime((meta.started_ns + meta.monotonic_offset_ns) / 1e9)
    stem = f"{path.stem}-{time.strftime('%Y%m%dT%H%M%SZ', began)}"
    number, wanted = 1, path.with_name(f"{stem}{path.suffix}")
    while wanted.exists():
        number += 1
        wanted = path.with_name(f"{stem}-{number}{path.suffix}")
    return wanted


def segment_files(path: Path) -> list[Path]:
    """Files that :func:`segment_name` named, the oldest first."""
    pattern = re.compile(rf"{re.escape(path.stem)}-(\d{{8}}T\d{{6}}Z)(?:-(\d+))?{re.escape(path.suffix)}")
    found = [(match, file) for file in path.parent.iterdir() if (match := pattern.fullmatch(file.name))]
    return [file for _, file in sorted(found, key=lambda one: (one[0][1], int(one[0][2] or 1)))]


def keep_newest(path: Path, number: int, ours: Sequence[Path]) -> None:
    """Remove all but so many of :func:`segment_files`, with their logs.

    :param ours: those of this run in their order, which a clock that was set may not know
    """
    earlier = [file for file in segment_files(path) if file not in ours]
    for file in [*earlier, *ours][:-number]:
        file.unlink(missing_ok=True)
        wal_of(file).unlink(missing_ok=True)


class Rotation:
    """A sink that begins a new file whenever one is full.

    :param path: what the files are called like: the time at which each begins goes into its name
    :param keep: how many files stay, earlier runs' of that name included; None: all
    :raises SockscopeError: when a file cannot be written
    """

    def __init__(self, path: Path, meta: Meta, every: RotationLimit, keep: int | None) -> None:
        self._path, self._meta, self._every, self._keep = path, meta, every, keep
        self._stretch: Rebaser | None = None
        self._turning = False
        self._files: list[Path] = []
        self.tally = Tally()
        self._begin(meta)

    def take(self, batch: Batch) -> None:
        """Write one batch, for good; a whole one that was asked for ends one file and begins the next."""
        self.tally.count(batch)
        self._recording.take(self._stretch.of(batch) if self._stretch else batch)
        if not self._turning or batch.final:
            return
        self._turning = False
        self._recording.__exit__()
        self.tally.clock = self._recording.tally.clock or self.tally.clock
        self._stretch = Rebaser(self._meta, batch, offset_ns())
        self._begin(self._stretch.meta)
        self._recording.take(self._stretch.first())

    def wants_whole(self) -> bool:
        path = self._recording.path
        octets = sum(part.stat().st_size for part in (path, wal_of(path)) if part.exists())
        self._turning = self._turning or self._every.is_reached(self._began_ns, octets)
        return self._turning

    def written(self) -> tuple[Path, ...]:
        return tuple(file for file in self._files if file.exists())

    def __enter__(self) -> Rotation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recording.__exit__(kind, error, trace)
        self.tally.clock = self._recording.tally.clock or self.tally.clock

    def _begin(self, meta: Meta) -> None:
        self._began_ns = meta.started_ns
        self._recording = RecordingSink(segment_name(self._path, meta), meta)
        self._files.append(self._recording.path)
        if self._keep:
            keep_newest(self._path, self._keep, self._files)
            self._files = self._files[-self._keep :]
