"""A place for what does not fit into memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from sockscope.store.secure_file import hand_over


class TempDir:
    """A private folder, if one can be had; it goes with :meth:`remove`, or with its owner."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        self._finalize: weakref.finalize[[str, bool], TempDir] | None = None
        with suppress(OSError):
            self.folder = Path(tempfile.mkdtemp(prefix="sockscope-"))
            hand_over(self.folder)  # who becomes the caller under sudo writes there and removes it as such
            self._finalize = weakref.finalize(self, shutil.rmtree, str(self.folder), True)

    def remove(self) -> None:
        """Remove it and what is in it."""
        if self._finalize:
            self._finalize()
