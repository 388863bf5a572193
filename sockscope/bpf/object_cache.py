"""Compiled probes (byte code and map definitions), and their cache on disk.

Compiling takes seconds; the result depends only on the source of the probes, the struct offsets in it
and the version of bcc. It is stored under a hash of these in a directory that no other user can write
to, because it is loaded into the kernel.
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
    """A map to create: enum bpf_map_type, sizes in bytes, maximum entries (of a ring, bytes)."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


@dataclass(frozen=True)
class Function:
    """The instructions of a program; ``maps`` lists which instruction refers to which map."""

    code: bytes
    maps: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class CompiledObject:
    """All maps and programs of the probes."""

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
        """Parse the text of a compiled object.

        :raises ValueError: when the text is invalid
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
    """Return the cache directory: of root, of a systemd service (CacheDirectory=), or of the user."""
    if os.geteuid() == 0:
        return CACHE
    given = os.environ.get("CACHE_DIRECTORY", "").split(":")[0]
    return Path(given) if given else Path.home() / ".cache" / "sockscope"


class ObjectCache:
    """Compiled objects by a hash of their inputs; a cache that cannot be used is ignored."""

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
        """Return whether only this user can have written it."""
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
