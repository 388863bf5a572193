"""Processes that listen on Unix sockets: their connections are not traced, and that is said."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from sockscope import formatting

_ACCEPTS = 0x10000  # __SO_ACCEPTCON of include/linux/net.h, in the column Flags
_SHOWN = 3


def notes(pids: Iterable[int]) -> tuple[str, ...]:
    """One sentence for each process of ``pids`` that listens on Unix sockets."""
    tables: dict[str, dict[int, str]] = {}
    said = []
    for pid in sorted(set(pids)):
        with contextlib.suppress(OSError):  # it has ended, or is not ours to see
            namespace = str(Path(f"/proc/{pid}/ns/net").readlink())
            if namespace not in tables:
                tables[namespace] = _listening(Path(f"/proc/{pid}/net/unix").read_text(errors="replace"))
            held = _sockets(pid) & tables[namespace].keys()
            if held:
                comm = Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
                paths = sorted(tables[namespace][inode] for inode in held)
                more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
                said.append(
                    formatting.printable(
                        f"{comm} ({pid}) listens on the Unix socket {', '.join(paths[:_SHOWN])}{more}: "
                        "only TCP connections are traced"
                    )
                )
    return tuple(said)


def _listening(table: str) -> dict[int, str]:
    """Inode → path, of /proc/net/unix: Num RefCount Protocol Flags Type St Inode [Path]."""
    found = {}
    for line in table.splitlines()[1:]:
        fields = line.split(None, 7)
        with contextlib.suppress(ValueError, IndexError):  # a path with a line break looks like another line
            if int(fields[3], 16) & _ACCEPTS:
                found[int(fields[6])] = fields[7] if len(fields) == 8 else "(without a name)"
    return found


def _sockets(pid: int) -> set[int]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    return found
