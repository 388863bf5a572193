"""Symbols of a process: its mapped ELF files as it sees them, and the perf map of its JIT compiler."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

from sockscope.symbols.elf import ElfSymbols, read_elf
from sockscope.symbols.safe_file import SafeFile

_LARGEST_PERF_MAP = 64 << 20


@dataclass(frozen=True)
class Mapping:
    """An executable mapping of a file, or of memory that has no file (an empty path)."""

    start: int
    end: int
    offset: int
    path: str


def read_mappings(pid: int, *, executable: bool = True) -> list[Mapping]:
    """Return the mappings of a process in order of address; none when it has ended."""
    found = []
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                words = line.rstrip("\n").split(None, 5)
                if executable and "x" not in words[1]:
                    continue
                start, _, end = words[0].partition("-")
                path = words[5] if len(words) > 5 else ""
                found.append(Mapping(int(start, 16), int(end, 16), int(words[2], 16), path))
    except (OSError, ValueError, IndexError):
        return found
    return found


class ProcessSymbols:
    """Names of addresses of one process.  Files are read through /proc/PID/root, in its mount namespace.

    Mappings are read when made and by :meth:`refresh`, so that names remain when the process ends.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._mappings: list[Mapping] = []
        self._files: dict[str, ElfSymbols] = {}
        self._jit: tuple[list[int], list[int], list[str]] = ([], [], [])
        self.refresh()

    def refresh(self) -> None:
        """Read the mappings and the perf map again; what was known stays when the process has ended."""
        self._mappings = read_mappings(self.pid) or self._mappings
        jit = _perf_map(self.pid)
        if jit[0]:
            self._jit = jit

    def name(self, address: int) -> str:
        """Return the function's name; without one ``[file]``, ``[jit]`` or ``[unknown]``."""
        starts, ends, names = self._jit
        at = bisect.bisect_right(starts, address) - 1
        if at >= 0 and address < ends[at]:
            return names[at]
        at = bisect.bisect_right(self._mappings, address, key=lambda mapping: mapping.start) - 1
        if at < 0 or address >= self._mappings[at].end:
            return "[unknown]"
        mapping = self._mappings[at]
        if not mapping.path:
            return "[jit]"
        if not mapping.path.startswith("/"):
            return mapping.path
        if mapping.path not in self._files:
            self._files[mapping.path] = read_elf(f"/proc/{self.pid}/root{mapping.path}")
        symbols = self._files[mapping.path]
        virtual = symbols.virtual_address(address - mapping.start + mapping.offset)
        return symbols.name(virtual) or f"[{Path(mapping.path).name}]"


def _perf_map(pid: int) -> tuple[list[int], list[int], list[str]]:
    """Return starts, ends and names of /tmp/perf-PID.map, with the pid in the process's namespace.

    Format: tools/perf/Documentation/jit-interface.txt.  Lines that do not parse are skipped.
    """
    rows: list[tuple[int, int, str]] = []
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            inner = next(line.split()[-1] for line in status if line.startswith("NSpid:"))
        with SafeFile(f"/proc/{pid}/root/tmp/perf-{int(inner)}.map", follow=False) as file:
            text = file.read(0, min(file.size, _LARGEST_PERF_MAP)).decode("utf-8", "replace")
    except (OSError, ValueError, StopIteration):
        return [], [], []
    for line in text.splitlines():
        words = line.split(" ", 2)
        try:
            rows.append((int(words[0], 16), int(words[1], 16), words[2][:512]))
        except (ValueError, IndexError):
            continue
    rows.sort()
    return [row[0] for row in rows], [row[0] + row[1] for row in rows], [row[2] for row in rows]
