"""Kernel symbols, from /proc/kallsyms."""

from __future__ import annotations

import bisect


class KernelSymbols:
    """Names of kernel functions; addresses are hidden from us without CAP_SYSLOG (kptr_restrict)."""

    def __init__(self, path: str = "/proc/kallsyms") -> None:
        found: list[tuple[int, str]] = []
        try:
            with open(path, encoding="ascii", errors="replace") as lines:
                for line in lines:
                    words = line.split(None, 3)
                    if len(words) >= 3 and words[1] in "tTwW":
                        found.append((int(words[0], 16), words[2]))
        except (OSError, ValueError):
            found = []
        found.sort()
        self._starts = [start for start, _ in found]
        self._names = [name for _, name in found]

    def name(self, address: int) -> str:
        """Return the function's name, or the address when it is not known."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0 or not self._starts[at]:
            return f"{address:#x}"
        return self._names[at]
