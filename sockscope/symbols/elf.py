"""Symbols of 64-bit little-endian ELF files: .symtab and .dynsym.

System V ABI, chapter 4; structures Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr and Elf64_Sym.
"""

from __future__ import annotations

import bisect
import struct
from dataclasses import dataclass

import numpy as np

from sockscope.symbols.safe_file import SafeFile

_PT_LOAD, _SHT_SYMTAB, _SHT_DYNSYM = 1, 2, 11
_STT_OBJECT, _STT_FUNC, _STT_GNU_IFUNC = 1, 2, 10
_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)


@dataclass(frozen=True)
class ElfSymbols:
    """``starts``, ``ends`` and ``names`` of functions in order of address; ``objects`` are addresses of
    data by name; ``segments`` are (virtual address, file offset, size); ``stripped`` when there is no
    .symtab, so that only exported functions have names."""

    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    objects: tuple[tuple[str, int], ...] = ()
    segments: tuple[tuple[int, int, int], ...] = ()
    stripped: bool = True

    def virtual_address(self, offset: int) -> int:
        """Return the virtual address of a file offset."""
        for address, start, size in self.segments:
            if start <= offset < start + size:
                return address + offset - start
        return offset

    def name(self, address: int) -> str | None:
        """Return the function at a virtual address."""
        at = bisect.bisect_right(self.starts, address) - 1
        if at >= 0 and address < self.ends[at]:
            return self.names[at]
        return None


def read_elf(path: str, objects: frozenset[str] = frozenset()) -> ElfSymbols:
    """Read the symbols of a file; what cannot be read or parsed has none.

    :param objects: data symbols to look for
    """
    try:
        with SafeFile(path) as file:
            return _parse(file, objects)
    except (OSError, ValueError, struct.error, IndexError):
        return ElfSymbols()


def _parse(file: SafeFile, objects: frozenset[str]) -> ElfSymbols:
    head = file.read(0, 64)
    if head[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    program_at, section_at = struct.unpack_from("<QQ", head, 32)
    program_size, programs, section_size, sections = struct.unpack_from("<HHHH", head, 54)
    if program_size != 56 or (sections and section_size != 64):
        raise ValueError("unknown sizes of headers")
    raw = file.read(program_at, 56 * programs)
    segments = tuple(
        (address, offset, size)
        for kind, _, offset, address, _, size, _, _ in struct.iter_unpack("<IIQQQQQQ", raw)
        if kind == _PT_LOAD
    )
    found = list(struct.iter_unpack("<IIQQQQIIQQ", file.read(section_at, 64 * sections)))
    functions: dict[int, tuple[int, str]] = {}
    data: dict[str, int] = {}
    stripped = True
    for section in found:
        if section[1] not in (_SHT_SYMTAB, _SHT_DYNSYM):
            continue
        stripped = stripped and section[1] != _SHT_SYMTAB
        strings_at, strings_size = found[section[6]][4:6]
        strings = file.read(strings_at, strings_size)
        table = np.frombuffer(file.read(section[4], section[5] // 24 * 24), _SYMBOL)
        kinds = table["info"] & 15
        defined = (table["section"] != 0) & (table["value"] != 0)
        for row in table[defined & ((kinds == _STT_FUNC) | (kinds == _STT_GNU_IFUNC))].tolist():
            functions.setdefault(row[4], (row[4] + max(row[5], 1), _text(strings, row[0])))
        if objects:
            for row in table[defined & (kinds == _STT_OBJECT)].tolist():
                if (name := _text(strings, row[0])) in objects:
                    data[name] = row[4]
    ordered = sorted(functions.items())
    return ElfSymbols(
        tuple(start for start, _ in ordered),
        tuple(end for _, (end, _) in ordered),
        tuple(name for _, (_, name) in ordered),
        tuple(data.items()),
        segments,
        stripped,
    )


def _text(strings: bytes, at: int) -> str:
    end = strings.find(b"\0", at, at + 1024)
    return strings[at : end if end >= 0 else at + 1024].decode("utf-8", "replace")
