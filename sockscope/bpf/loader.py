"""Load a compiled object: create its maps, then load its programs."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sockscope.bpf import syscall
from sockscope.bpf.object_cache import CompiledObject, Function
from sockscope.errors import SockscopeError


class LoadError(SockscopeError):
    """The kernel refused the probes."""


@dataclass(frozen=True)
class LoadedObject:
    """Descriptors of maps and programs by name; ``typed`` lists programs loaded in their typed form."""

    maps: Mapping[str, int]
    programs: Mapping[str, int]
    typed: frozenset[str] = frozenset()

    def close(self) -> None:
        for descriptor in (*self.programs.values(), *self.maps.values()):
            os.close(descriptor)


@dataclass(frozen=True)
class ProgramSpec:
    """A program to load: a compiled function of a ``kind`` (of a hook, or ``iterator``).

    ``traces`` is the BTF id of the kernel function, for kinds that are bound to one. ``typed`` is an
    alternative function with the BTF id of its tracepoint, preferred if the kernel accepts it.
    """

    function: str
    kind: str
    traces: int = 0
    typed: tuple[str, int] | None = None


def load(image: CompiledObject, room: Mapping[str, int], programs: Mapping[str, ProgramSpec]) -> LoadedObject:
    """Create the maps and load ``programs``.

    :param room: maximum entries of a map (of rings, bytes), if different from the compiled value
    :raises LoadError: when the kernel refuses; then nothing stays loaded
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
                    f"the kernel refused to create map {name} with {wanted.max_entries} entries ({error.strerror})",
                    hint="sockscope doctor shows why; --map-size makes maps smaller",
                ) from error
            undo.callback(os.close, maps[name])
        loaded: dict[str, int] = {}
        typed = set()
        for name, wanted_program in programs.items():
            if wanted_program.typed is not None:
                function, number = wanted_program.typed
                code = _relocated(image.functions[function], maps)
                with contextlib.suppress(syscall.VerifierError):
                    loaded[name] = syscall.load_program(name, "typed", code, number)
                    undo.callback(os.close, loaded[name])
                    typed.add(name)
                    continue
            function = wanted_program.function
            code = _relocated(image.functions[function], maps)
            try:
                loaded[name] = syscall.load_program(
                    function, wanted_program.kind, code, wanted_program.traces
                )
            except syscall.VerifierError as error:
                raise LoadError(
                    f"the kernel refused to load {name} ({error})", hint="sockscope doctor shows why"
                ) from error
            undo.callback(os.close, loaded[name])
        undo.pop_all()
    return LoadedObject(maps, loaded, frozenset(typed))


def _relocated(function: Function, maps: Mapping[str, int]) -> bytes:
    code = bytearray(function.code)
    for index, name in function.maps:
        struct.pack_into("<i", code, index * 8 + 4, maps[name])
    return bytes(code)
