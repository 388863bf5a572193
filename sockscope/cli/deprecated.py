"""Accept options under their former names, with one line on stderr that gives the new name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_TRACING = {"--without": "--disable", "--signals": "--attach", "--limits": "--map-size"}
_OVERWRITE = {"--force": "--overwrite"}

#: Command → former option → option.
RENAMED: dict[str, dict[str, str]] = {
    "record": {**_TRACING, **_OVERWRITE, "--detail": "--events", "--ring": "--flight-recorder"},
    "live": {**_TRACING, "--serve": "--web"},
    "metrics": _TRACING,
    "check": {"--without": "--disable"},
    "export": {"--events": "--max-events", "--limit": "--max-connections"},
}


def replace_renamed_options(arguments: Sequence[str]) -> list[str]:
    """Return ``arguments`` with former option names replaced, after printing a line for each.

    Words after ``--`` belong to another command and stay as they are.
    """
    words = list(arguments)
    command = next((word for word in words if not word.startswith("-")), "")
    renamed = RENAMED.get(command, {})
    end = words.index("--") if "--" in words else len(words)
    for index, word in enumerate(words[:end]):
        option, equals, value = word.partition("=")
        if option in renamed:
            words[index] = f"{renamed[option]}{equals}{value}"
            print(f"sockscope: {option} is deprecated; use {renamed[option]}", file=sys.stderr)
    return words
