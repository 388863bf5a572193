"""What compilation yields: byte code and map definitions, and where it is kept for the next start.

Clang and LLVM take seconds; their result depends only on the probes' text, the kernel's struct
offsets in it, and bcc itself.  So it is kept under a hash of all that, in a directory that nobody
else can write to: what is loaded into the kernel must not come from elsewhere.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

CACHE = Path("/var/cache/sockscope")
_KEPT = 16


@dataclass(frozen=True)
class MapDefinition:
    """A map to create: enum bpf_map_type, sizes in bytes, room in elements (of a ring, in bytes)."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True)
class Function:
    """A program's instructions; ``maps`` says which instruction refers to which map."""

    code: bytes
    maps: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class CompiledObject:
    """Everything that is to be loaded."""

    maps: Mapping[str, MapDefinition]
    functions: Mapping[str, Function]

    def to_text(self) -> str:
        return json.dumps(
            {
                "maps": {name: asdict(definition) for name, definition in self.maps.items()},
                "functions": {
                    name: {"code": base64.b64encode(function.code).decode(), "maps": function.maps}
                    for name, function in self.functions.items()
                },
            }
        )

    @classmethod
    def from_text(cls, text: str) -> CompiledObject:
        """
        :raises ValueError: when the text is no image
        """
        try:
            held = json.loads(text)
            return cls(
                {name: MapDefinition(**definition) for name, definition in held["maps"].items()},
                {
                    name: Function(
                        base64.b64decode(function["code"], validate=True),
                        tuple((int(index), str(where)) for index, where in function["maps"]),
                    )
                    for name, function in held["functions"].items()
                },
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not an image of compiled probes ({error})") from error


def cache_directory() -> Path:
    """Root's own, or what systemd gives a service (CacheDirectory=), or the user's."""
    if os.geteuid() == 0:
        return CACHE
    given = os.environ.get("CACHE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else Path.home() / ".cache" / "sockscope"


class ObjectCache:
    """Images by what they were made of.  A cache that cannot be used is no cache, never an error."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or cache_directory()

    def key(self, *parts: str) -> str:
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def get(self, key: str) -> CompiledObject | None:
        path = self._directory / key
        try:
            if not self._is_safe(self._directory) or not self._is_safe(path):
                return None
            return CompiledObject.from_text(path.read_text())
        except (OSError, ValueError):
            return None

    def put(self, key: str, image: CompiledObject) -> None:
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._is_safe(self._directory):
                return
            with tempfile.NamedTemporaryFile("w", dir=self._directory, delete=False) as file:
                file.write(image.to_text())
            Path(file.name).replace(self._directory / key)
            self._forget_old()

    def _is_safe(self, path: Path) -> bool:
        """Only we can have written it: ours, and nobody else may write."""
        found = path.lstat()
        return (
            found.st_uid == os.geteuid()
            and not stat.S_ISLNK(found.st_mode)
            and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        )

    def _forget_old(self) -> None:
        kept = sorted(self._directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[_KEPT:]:
            path.unlink(missing_ok=True)
