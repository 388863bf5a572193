"""Read BTF, the kernel's description of its types: struct layouts without headers.

Supports what sockscope needs: byte and bit offsets of named fields of named structs, through
anonymous members and dotted paths. Format: Documentation/bpf/btf.rst of Linux.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sockscope.errors import SockscopeError

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_PTR, _ARRAY, _STRUCT, _UNION, _TYPEDEF, _FUNCTION, _PROTOTYPE = 2, 3, 4, 5, 8, 12, 13
_TRANSPARENT = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag
# 32-bit words behind the three of every type: a fixed part, and a part for each of vlen entries
_FIXED_WORDS = {1: 1, 3: 3, 14: 1, 17: 1}
_WORDS_PER_ENTRY = {4: 3, 5: 3, 6: 2, 13: 2, 15: 3, 19: 3}
_LAST_KIND = 19
_FIXED, _EACH = (
    np.array([words.get(kind, 0) for kind in range(32)], np.uint32)
    for words in (_FIXED_WORDS, _WORDS_PER_ENTRY)
)


class BtfError(SockscopeError):
    """The kernel's BTF is missing or has an unexpected content."""


@dataclass(frozen=True)
class Field:
    """Offset of a field in bits from the start of the struct, and its size (of a bit-field, in bits)."""

    bit_offset: int
    size: int
    bit_size: int = 0

    @property
    def offset(self) -> int:
        """Return the offset in bytes from the start of the struct."""
        return self.bit_offset // 8


class Btf:
    """Types of a kernel image.

    :param raw: the bytes of a BTF section, such as /sys/kernel/btf/vmlinux
    :raises BtfError: when the bytes are not BTF that this reader supports
    """

    def __init__(self, raw: bytes) -> None:
        try:
            magic, _, _, header, type_at, type_size, text_at, text_size = _HEADER.unpack_from(raw)
        except struct.error:
            raise BtfError(
                "the kernel's BTF is truncated", hint="check that /sys/kernel/btf/vmlinux is readable"
            ) from None
        types = raw[header + type_at : header + type_at + type_size]
        if magic != _MAGIC or len(types) != type_size or type_size % 4:
            raise BtfError(
                "the kernel's BTF has an unknown format", hint="a newer version of sockscope may read it"
            )
        self._text = raw[header + text_at : header + text_at + text_size]
        self._words = array("I")
        self._words.frombytes(types)
        self._index()

    @classmethod
    def of_running_kernel(cls, path: Path = VMLINUX) -> Btf:
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise BtfError(
                f"cannot read the kernel's BTF at {path} ({error.strerror})",
                hint="use a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian 11, Ubuntu 20.10, Fedora 31 or later)",
            ) from None

    def _index(self) -> None:
        """Find the position, name and kind of each type.

        The distance to the next type is computed for all words at once, as if a type began at each; then
        only the chain of some hundred thousand types has to be followed.
        """
        words = np.frombuffer(self._words, np.uint32)
        info = words[1:]
        kinds = (info >> 24 & 31).astype(np.uint8)
        lengths = _EACH[kinds] * (info & 0xFFFF)
        lengths += 3 + _FIXED[kinds]
        length_at, position, end = lengths.data, 0, len(words)
        starts = array("I", [0])  # type 0 is void
        append = starts.append
        while position + 3 <= end:
            append(position)
            position += length_at[position]
        self._starts = starts
        known = np.frombuffer(starts, np.uint32)[1:]
        self._kinds = np.concatenate([np.zeros(1, np.uint8), kinds[known]])
        self._names = np.concatenate([np.zeros(1, np.uint32), words[known]])
        if self._kinds.max() > _LAST_KIND:
            kind = int(self._kinds[self._kinds > _LAST_KIND][0])
            raise BtfError(
                f"the kernel's BTF has a type of unknown kind {kind}",
                hint="a newer version of sockscope may read it",
            )
        if position != end:
            raise BtfError("the kernel's BTF ends in the middle of a type")

    def has_tracepoint(self, name: str) -> bool:
        """Return whether the kernel has the (raw) tracepoint ``name``."""
        return f"\0btf_trace_{name}\0".encode() in self._text

    def function(self, name: str) -> int | None:
        """Return the type id of the kernel function ``name``, or None."""
        return self._named(name, _FUNCTION)

    def tracepoint(self, name: str) -> int | None:
        """Return the id of the type that describes the arguments of the (raw) tracepoint ``name``."""
        return self._named(f"btf_trace_{name}", _TYPEDEF)

    def _named(self, name: str, kind: int) -> int | None:
        at = self._text.find(f"\0{name}\0".encode()) + 1
        if not at:
            return None
        found = np.flatnonzero((self._names == at) & (self._kinds == kind))
        return int(found[0]) if len(found) else None

    def parameters(self, function: int) -> int:
        """Return the number of parameters of the function with type id ``function``."""
        words = self._words
        prototype = words[self._starts[function] + 2]
        if prototype >= len(self._starts) or self._kind(prototype) != _PROTOTYPE:
            raise BtfError("the kernel's BTF has a function without a prototype")
        return words[self._starts[prototype] + 1] & 0xFFFF

    def structs(self, names: Iterable[str]) -> dict[str, int]:
        """Return the type ids of the named structs; those that the kernel lacks are left out."""
        wanted: dict[int, str] = {}
        for name in names:
            at = self._text.find(f"\0{name}\0".encode())
            if at >= 0:
                wanted[at + 1] = name
        found: dict[str, int] = {}
        named = np.isin(self._names, np.fromiter(wanted, np.uint32, len(wanted)))
        for number in np.flatnonzero(named & (self._kinds == _STRUCT)).tolist():
            found.setdefault(wanted[int(self._names[number])], number)
        return found

    def fields(self, number: int) -> dict[str, Field]:
        """Return the named fields of struct ``number``, including those of anonymous members."""
        return dict(self._walk(number, 0, 0))

    def field(self, number: int, path: str) -> Field | None:
        """Return a field by its dotted path, such as ``ns.inum``."""
        base = 0
        *outer, last = path.split(".")
        for name in outer:
            inner = self._member_type(number, name)
            if inner is None:
                return None
            number, offset = inner
            base += offset
        found = self.fields(number).get(last)
        return found and Field(base + found.bit_offset, found.size, found.bit_size)

    def _members(self, number: int) -> Iterator[tuple[str, int, int, int]]:
        if self._kind(number) not in (_STRUCT, _UNION):
            return
        words, start = self._words, self._starts[number]
        info = words[start + 1]
        for entry in range(start + 3, start + 3 + 3 * (info & 0xFFFF), 3):
            name, kind, where = words[entry], words[entry + 1], words[entry + 2]
            bits = where >> 24 if info >> 31 else 0
            yield self._name(name), kind, where & 0xFFFFFF if info >> 31 else where, bits

    def _walk(self, number: int, base: int, depth: int) -> Iterator[tuple[str, Field]]:
        if depth > 16:
            raise BtfError("the kernel's BTF nests anonymous members too deeply")
        for name, kind, offset, bits in self._members(number):
            if name:
                yield name, Field(base + offset, self._size(kind), bits)
                continue
            inner = self._strip(kind)
            if self._kind(inner) in (_STRUCT, _UNION):
                yield from self._walk(inner, base + offset, depth + 1)

    def _member_type(self, number: int, wanted: str, depth: int = 0) -> tuple[int, int] | None:
        if depth > 16:
            raise BtfError("the kernel's BTF nests anonymous members too deeply")
        for name, kind, offset, _ in self._members(number):
            inner = self._strip(kind)
            if name == wanted:
                return inner, offset
            if not name and self._kind(inner) in (_STRUCT, _UNION):
                below = self._member_type(inner, wanted, depth + 1)
                if below:
                    return below[0], below[1] + offset
        return None

    def _kind(self, number: int) -> int:
        if number >= len(self._starts):
            raise BtfError("the kernel's BTF refers to a type that it does not contain")
        return int(self._kinds[number])

    def _strip(self, number: int) -> int:
        for _ in range(64):
            if self._kind(number) not in _TRANSPARENT:
                return number
            number = self._words[self._starts[number] + 2]
        raise BtfError("the kernel's BTF has a type reference that cannot be resolved")

    def _size(self, number: int, depth: int = 0) -> int:
        number = self._strip(number)
        if depth > 16:
            raise BtfError("the kernel's BTF nests arrays too deeply")
        start = self._starts[number]
        kind = self._kind(number)
        if kind == _PTR:
            return 8
        if kind == _ARRAY:
            return self._size(self._words[start + 3], depth + 1) * self._words[start + 5]
        return self._words[start + 2]

    def _name(self, offset: int) -> str:
        return self._text[offset : self._text.find(b"\0", offset)].decode("utf-8", "replace")
