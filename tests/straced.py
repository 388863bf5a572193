"""strace -f writes a call that another thread's interrupted on two lines: put them together again."""

from __future__ import annotations

import re

_UNFINISHED = re.compile(r"^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")


def whole_calls(text: str) -> list[str]:
    """The log's lines, each call on one."""
    begun: dict[str, str] = {}
    lines = []
    for line in text.splitlines():
        if unfinished := _UNFINISHED.match(line):
            begun[unfinished[1]] = f"{unfinished[1]} {unfinished[2]}({unfinished[3]}"
        elif (resumed := _RESUMED.match(line)) and resumed[1] in begun:
            lines.append(begun.pop(resumed[1]) + resumed[3])
        else:
            lines.append(line)
    return lines
