"""The flight recorder: the last minutes are kept on the disk, and made a recording when it matters."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from sockscope import formatting
from sockscope.analysis.frame import Finding
from sockscope.errors import SockscopeError
from sockscope.records.batch import Batch, Meta
from sockscope.session.finding_watcher import FindingWatcher
from sockscope.store.deferred_signals import closing_after
from sockscope.store.merge_segments import FROM_START, LATER
from sockscope.store.rebase import Rebaser
from sockscope.store.recording import RecordingSink, Tally
from sockscope.store.rotation import RotationLimit, keep_newest, segment_name
from sockscope.store.secure_file import hand_over, wal_of
from sockscope.store.wall_clock import offset_ns

#: The ring is cut into so many parts; one more than that is kept, so that it never holds less.
_PARTS = 6


class FlightRecorder:
    """A sink that keeps the last minutes, and writes them when it is asked to, or a finding comes up.

    The parts lie in a private folder beside ``path``, each of them a recording; it goes at the end.

    :param path: what the files are called like: the time at which each begins goes into its name
    :param length: how much is kept
    :param keep: how many written files stay; None: all
    :param watch: the findings on which to write; None: only when asked
    :param say: told in one line what was written, and why
    :raises SockscopeError: when a file cannot be written
    """

    def __init__(
        self,
        path: Path,
        meta: Meta,
        length: RotationLimit,
        keep: int | None,
        watch: FindingWatcher | None,
        say: Callable[[str], None],
    ) -> None:
        self._path, self._meta, self._length, self._keep = path, meta, length, keep
        self._part, self._watch, self._say = length.part(_PARTS), watch, say
        self._reasons: list[str] = []
        self._joining: _Joining | None = None
        self._turning = False
        self._parts: list[tuple[Path, int]] = []  # with the moment at which each begins
        self._number = 0
        self._written: list[Path] = []
        self.tally = Tally()
        self._folder = _private_folder(path)
        try:
            self._begin(meta)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def ask(self, reason: str) -> None:
        """Write what is there, soon; safe in a signal handler."""
        self._reasons.append(reason)

    def take(self, batch: Batch) -> None:
        """Keep one batch; a whole one that was asked for ends a part, and begins the next."""
        self.tally.count(batch)
        self._recording.take(batch)
        if self._watch:
            self._reasons += map(_reason, self._watch.new(batch))
        if self._joining and self._joining.has_ended():
            self._finish_joining()
        if self._turning and not batch.final:
            self._turn(batch)

    def wants_whole(self) -> bool:
        octets = sum(_size(part) for part in (self._recording.path, wal_of(self._recording.path)))
        asked = bool(self._reasons) and self._joining is None
        self._turning = self._turning or asked or self._part.is_reached(self._began_ns, octets)
        return self._turning

    def written(self) -> tuple[Path, ...]:
        return tuple(self._written)

    def __enter__(self) -> FlightRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What is there at the end is written too: who ends it wants to see what led there.

        Who interrupts that is told where the parts are; how often they do it makes no difference.
        """
        try:
            self._recording.__exit__(kind, error, trace)
            self.tally.clock = self._recording.tally.clock
            if self._joining:
                self._finish_joining()
            self._join(", ".join(dict.fromkeys(self._reasons)) or "the end")
            self._finish_joining()
        except (SockscopeError, OSError, KeyboardInterrupt) as failed:
            with closing_after(failed):
                if any(path.exists() for path, _ in self._parts):
                    self._say(f"what was kept until then lies in {self._folder}, each file a recording")
            if error is None:
                raise
            return  # what went wrong first is what counts
        finally:
            if self._joining:
                with closing_after(error):
                    self._joining.give_up()
        with closing_after(error):
            shutil.rmtree(self._folder, ignore_errors=True)

    def _turn(self, batch: Batch) -> None:
        self._turning = False
        self._recording.__exit__()
        if self._reasons and self._joining is None:
            reasons, self._reasons = self._reasons, []
            self._join(", ".join(dict.fromkeys(reasons)))
        stretch = Rebaser(self._meta, batch, offset_ns())
        if self._watch:
            self._watch.begin(stretch)
        self._begin(stretch.meta)
        self._recording.take(batch)

    def _begin(self, meta: Meta) -> None:
        self._number += 1
        self._began_ns = meta.started_ns
        path = self._folder / f"{self._number:08}.sockscope"
        self._recording = RecordingSink(path, meta)
        self._parts.append((path, meta.started_ns))
        while self._joining is None and len(self._parts) > 1 and self._is_enough_without_the_first():
            old, _ = self._parts.pop(0)
            old.unlink(missing_ok=True)
            wal_of(old).unlink(missing_ok=True)

    def _is_enough_without_the_first(self) -> bool:
        if self._length.ns is not None:
            return self._began_ns - self._parts[1][1] >= self._length.ns
        return sum(_size(path) for path, _ in self._parts[1:]) >= (self._length.octets or 0)

    def _join(self, reason: str) -> None:
        parts = [path for path, _ in self._parts if path.exists()]
        if not parts:
            raise SockscopeError(f"{self._folder} was removed while recording", hint="record again")
        from_start = self._parts[0][1] == self._meta.started_ns
        self._joining = _Joining(parts, self._folder / "joined", from_start, reason)

    def _finish_joining(self) -> None:
        joining, self._joining = self._joining, None
        if joining is None:
            return
        joining.wait()
        from sockscope.store import Reader

        with Reader(joining.out) as reader:
            target = segment_name(self._path, reader.meta)
        joining.out.replace(target)
        self._written.append(target)
        if self._keep:
            keep_newest(self._path, self._keep, self._written)
            self._written = self._written[-self._keep :]
        self._say(
            f"{joining.reason}: wrote the last {self._length} -> {target} ({formatting.size(_size(target))})"
        )


class _Joining:
    """A process that makes one recording of several parts."""

    def __init__(self, parts: Sequence[Path], out: Path, from_start: bool, reason: str) -> None:
        self.out, self.reason = out, reason
        module, how = "sockscope.store.merge_segments", FROM_START if from_start else LATER
        command = [sys.executable, "-m", module, how, str(out), *map(str, parts)]
        self._process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is ours to handle
        )

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def wait(self) -> None:
        """:raises SockscopeError: when it failed"""
        try:
            _, said = self._process.communicate()
        except BaseException:
            self.give_up()
            raise
        if self._process.returncode:
            line = said.strip().splitlines()[-1:] or ["it was ended from outside"]
            raise SockscopeError(line[0].removeprefix("sockscope: "))

    def give_up(self) -> None:
        self._process.kill()
        self._process.communicate()


def _private_folder(path: Path) -> Path:
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.stem}.ring.", dir=path.absolute().parent))
    except OSError as error:
        raise SockscopeError(
            f"cannot create files in {path.absolute().parent} ({error.strerror})",
            hint="choose another path with -o",
        ) from error
    hand_over(folder)
    return folder


def _reason(finding: Finding) -> str:
    """In words; the finding that was asked for may be one that it explains."""
    symptoms = f" (explains {', '.join(finding.explains)})" if finding.explains else ""
    return f"{finding.id} on {finding.subject}{symptoms}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
