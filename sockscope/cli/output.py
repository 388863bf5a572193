"""Write a report to standard output, or to a file that appears only when it is complete."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sockscope.errors import SockscopeError


def write_output(text: str, path: Path | None) -> None:
    """Write ``text`` to ``path``, or to standard output if it is None.

    Under sudo the file belongs to the invoking user.

    :raises SockscopeError: when it cannot be written; an existing file then stays as it was
    """
    if path is None:
        sys.stdout.write(text)
        return
    from sockscope.store.secure_file import hand_over

    try:
        if path.exists() and not path.is_file():  # a terminal, a pipe or /dev/null cannot be replaced
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # follow a symbolic link and replace its target
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            unfinished.write_text(text, encoding="utf-8")
            hand_over(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SockscopeError(f"cannot write {path} ({error.strerror})", hint="choose another path") from error
