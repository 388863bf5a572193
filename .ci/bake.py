"""Bakes the commit into what is built, so that an installed sockscope can say what it is."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_IN_ARCHIVE = ".ci/commit"
_IN_WHEEL = "sockscope/_baked.py"


class BakeCommit(BuildHookInterface):
    """Adds the commit to a source archive, and sockscope/_baked.py to a wheel.

    A wheel built from a source archive is the one that its checkout would have given.  Nothing is
    written into the checkout, and nothing baked into an editable install: there git itself is asked.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        commit = self._commit()
        self._folder = tempfile.TemporaryDirectory()
        baked = Path(self._folder.name) / "baked"
        if self.target_name == "sdist":
            baked.write_text(f"{commit}\n")
            build_data["force_include"][str(baked)] = _IN_ARCHIVE
        else:
            baked.write_text(f'"""Written when this was built."""\n\nCOMMIT = "{commit}"\n')
            build_data["force_include"][str(baked)] = _IN_WHEEL

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def _commit(self) -> str:
        written = Path(self.root) / _IN_ARCHIVE
        if written.exists():
            return written.read_text().strip()
        sys.path.insert(0, self.root)
        from sockscope.build_info import of_checkout

        return of_checkout(Path(self.root))
