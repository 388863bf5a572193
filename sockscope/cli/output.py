"""Where a report goes: standard output, or a file that is there when it is whole."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sockscope.errors import SockscopeError


def put_out(text: str, path: Path | None) -> None:
    """Write ``text`` to a file, the caller's own even under sudo, or to standard output when there is no path.

    :raises SockscopeError: when it cannot be written; what was there before is there still
    """
    if path is None:
        sys.stdout.write(text)
        return
    from sockscope.store.secure_file import hand_over

    try:
        if path.exists() and not path.is_file():  # a terminal, a pipe, /dev/null: nothing to replace
            path.write_text(text, encoding="utf-8")
            return
        path = path.resolve()  # where a link leads, there it is written
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            unfinished.write_text(text, encoding="utf-8")
            hand_over(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise SockscopeError(f"cannot write {path} ({error.strerror}); choose another place") from error
