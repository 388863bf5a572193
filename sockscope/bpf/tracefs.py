"""Find tracefs, and mount it if necessary."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

from sockscope.errors import SockscopeError

_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_libc = ctypes.CDLL(None, use_errno=True)


class TracefsError(SockscopeError):
    """tracefs is not mounted and cannot be."""


def tracing_directory(*, mount: bool = True) -> Path:
    """Return the directory of tracefs.

    :param mount: mount it at /sys/kernel/tracing if it is not mounted (needs root)
    :raises TracefsError: when it is not mounted and cannot be
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
    """Return the id of the tracepoint ``category:name``; None if the kernel does not have it."""
    try:
        return int((tracing_directory() / "events" / category / name / "id").read_text())
    except FileNotFoundError:
        return None


def event_field(category: str, name: str, field: str) -> int | None:
    """Return the offset of ``field`` in the record of the tracepoint; None if it has no such field."""
    text = (tracing_directory() / "events" / category / name / "format").read_text()
    found = re.search(rf"field:[^;]*\b{field};\s*offset:(\d+);", text)
    return int(found[1]) if found else None
