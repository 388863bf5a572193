"""Read files that another user may have prepared: no pipes, no devices, no links, bounded sizes."""

from __future__ import annotations

import os
import stat


class SafeFile:
    """A regular file, read by position.  Use as a context manager.

    :raises OSError: when it cannot be opened
    :raises ValueError: when it is not a regular file
    """

    def __init__(self, path: str, *, follow: bool = True) -> None:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        self._descriptor = os.open(path, flags)
        found = os.fstat(self._descriptor)
        self.size = found.st_size
        if not stat.S_ISREG(found.st_mode):
            os.close(self._descriptor)
            raise ValueError(f"{path} is not a regular file")

    def read(self, offset: int, length: int, limit: int = 256 << 20) -> bytes:
        """Return exactly ``length`` bytes.

        :raises ValueError: when the file has fewer, or ``length`` exceeds ``limit``
        """
        if offset < 0 or not 0 <= length <= limit or offset + length > self.size:
            raise ValueError("outside the file")
        parts = []
        while length:
            part = os.pread(self._descriptor, min(length, 1 << 24), offset)
            if not part:
                raise ValueError("the file was truncated")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def __enter__(self) -> SafeFile:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
