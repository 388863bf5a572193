"""Where the kernel lists its tracepoints; mounted if nobody has."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

from sockscope.errors import SockscopeError

_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_libc = ctypes.CDLL(None, use_errno=True)


class TracefsError(SockscopeError):
    """tracefs is neither mounted nor can it be."""


def tracing_directory(*, mount: bool = True) -> Path:
    """The directory of tracefs.

    :param mount: mount it at /sys/kernel/tracing when it is not mounted (needs root)
    :raises TracefsError: when it is not there and cannot be mounted
    """
    for place in _PLACES:
        try:
            if (place / "events").is_dir():
                return place
        except PermissionError:
            raise TracefsError(
                f"cannot read {place}", hint="run as root, or grant CAP_DAC_READ_SEARCH"
            ) from None
    reason = "not mounted"
    if mount:
        if _libc.mount(b"tracefs", b"/sys/kernel/tracing", b"tracefs", 0, None) == 0:
            return _PLACES[0]
        reason = os.strerror(ctypes.get_errno())
    raise TracefsError(
        f"tracefs is not mounted ({reason})", hint="mount -t tracefs tracefs /sys/kernel/tracing"
    )


def event_number(category: str, name: str) -> int | None:
    """The id of the tracepoint ``category:name``; None when the kernel does not have it."""
    try:
        return int((tracing_directory() / "events" / category / name / "id").read_text())
    except FileNotFoundError:
        return None


def event_field(category: str, name: str, field: str) -> int | None:
    """Where in the tracepoint's record ``field`` begins; None when it has no such field."""
    text = (tracing_directory() / "events" / category / name / "format").read_text()
    found = re.search(rf"field:[^;]*\b{field};\s*offset:(\d+);", text)
    return int(found[1]) if found else None
