"""Load an image of compiled probes: create its maps, verify and load its programs."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sockscope.errors import SockscopeError
from sockscope.sources.kernel import syscall
from sockscope.sources.kernel.image import Function, Image


class LoadError(SockscopeError):
    """The kernel refused the probes."""


@dataclass(frozen=True)
class Loaded:
    """Descriptors by name; close gives everything back to the kernel."""

    maps: Mapping[str, int]
    programs: Mapping[str, int]

    def close(self) -> None:
        for descriptor in (*self.programs.values(), *self.maps.values()):
            os.close(descriptor)


def load(
    image: Image, room: Mapping[str, int], kinds: Mapping[str, str], iterator_of: Callable[[str], int]
) -> Loaded:
    """Create the maps and load the functions of ``kinds``.

    :param room: how many elements (of rings, bytes) a map shall hold, where it is not as compiled
    :param kinds: function → ``raw``, ``tracepoint`` or ``iterator``
    :param iterator_of: the BTF number of an iterator's kernel function, by the function's name
    :raises LoadError: when the kernel refuses; nothing of it stays loaded
    """
    with contextlib.ExitStack() as undo:
        maps: dict[str, int] = {}
        for name, definition in image.maps.items():
            wanted = replace(definition, max_entries=room.get(name, definition.max_entries))
            try:
                maps[name] = syscall.create_map(
                    name, wanted.kind, wanted.key_size, wanted.value_size, wanted.max_entries, wanted.flags
                )
            except OSError as error:
                raise LoadError(
                    f"the kernel refused the map {name} for {wanted.max_entries} ({error.strerror}); "
                    "sockscope doctor says more, --limits asks for less room"
                ) from error
            undo.callback(os.close, maps[name])
        programs: dict[str, int] = {}
        for name, kind in kinds.items():
            code = _relocated(image.functions[name], maps)
            iterator = iterator_of(name) if kind == "iterator" else 0
            try:
                programs[name] = syscall.load_program(name, kind, code, iterator)
            except syscall.VerifierError as error:
                raise LoadError(
                    f"the kernel refused to load {name} ({error}); sockscope doctor says more"
                ) from error
            undo.callback(os.close, programs[name])
        undo.pop_all()
    return Loaded(maps, programs)


def _relocated(function: Function, maps: Mapping[str, int]) -> bytes:
    code = bytearray(function.code)
    for index, name in function.maps:
        struct.pack_into("<i", code, index * 8 + 4, maps[name])
    return bytes(code)
