"""A live session: the kernel traced, completed by the host, tick by tick."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from types import TracebackType

from sockscope.errors import UsageError
from sockscope.host import clock
from sockscope.records.batch import Batch, Meta
from sockscope.session.host_sampler import HostSampler
from sockscope.store.deferred_signals import closing_after
from sockscope.store.wall_clock import offset_ns
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes
from sockscope.tracer.source import KernelSource
from sockscope.version import __version__

DEFAULT_MAP_SIZES = MapSizes()

#: A ring fuller than this is drained before the next tick is due.
_PRESSURE = 0.25


def get_map_sizes(given: Mapping[str, str]) -> MapSizes:
    """Return the map sizes given by ``--map-size NAME=N``.

    :raises UsageError: for an unknown map or an invalid number
    """
    known = {field.name for field in fields(MapSizes)}
    numbers = {}
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"--map-size {name}: unknown map", hint=f"maps: {', '.join(sorted(known))}")
        if not value.isascii() or not value.isdigit() or not 0 < int(value) <= 1 << 24:
            raise UsageError(
                f"--map-size {name}={value}: out of range", hint=f"give a number from 1 to {1 << 24}"
            )
        if name.endswith("_pages") and int(value) & (int(value) - 1):
            raise UsageError(f"--map-size {name}={value}: the size of a ring must be a power of two")
        numbers[name] = int(value)
    return MapSizes(**numbers)


class LiveSession:
    """Trace until :meth:`stop`; use as a context manager.

    :raises SockscopeError: when this kernel, this process or the target does not allow it
    """

    def __init__(
        self,
        target: Target,
        limits: MapSizes = DEFAULT_MAP_SIZES,
        signals: Mapping[str, str] | None = None,
        *,
        detail: bool = False,
    ) -> None:
        self._source = KernelSource(target, limits, signals, detail=detail)
        self._host = HostSampler()
        self._stopped = False
        self.meta = _meta(target, self._source)

    def start(self) -> int:
        """Attach; what happens from now on is seen.  How many listeners of the target there are."""
        return self._source.start()

    def target_has_ended(self) -> bool:
        """Whether the target was given by pid, and all of it has ended."""
        return self._source.target_has_ended()

    def batch(self, *, whole: bool = False) -> Batch:
        """What happened since the last one; ``whole``: and all that is open, changed or not."""
        if whole:
            self._host.forget()
        return self._host.complete(self._source.batch(whole=whole))

    def stop(self) -> Batch:
        """Detach; the last batch, exact for all that was seen."""
        self._stopped = True
        return self._host.complete(self._source.stop())

    def wait_for_tick(self, until_ns: int, slice_s: float = 0.05) -> None:
        """Sleep until ``until_ns`` (monotonic), or until a ring fills up."""
        while (left := until_ns - time.monotonic_ns()) > 0:
            time.sleep(min(slice_s, left / 1e9))
            if self.under_pressure():
                return

    def under_pressure(self) -> bool:
        """Whether a ring is so full that it should be drained before the next tick."""
        return self._source.pressure() > _PRESSURE

    def close(self) -> None:
        self._host.close()
        self._source.close()

    def __enter__(self) -> LiveSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with closing_after(error):
            self.close()


def _meta(target: Target, source: KernelSource) -> Meta:
    monotonic = clock.now_ns()
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return Meta(
        host=platform.node(),
        kernel=platform.release(),
        version=__version__,
        target=str(target),
        command=" ".join(sys.argv),
        cpus=os.cpu_count() or 1,
        started_ns=monotonic,
        monotonic_offset_ns=offset_ns(),
        signals=source.signals(),
        boot_id=boot,
    )
