"""Where CPython keeps its frames, so that a BPF program can walk them, and the names of code objects.

CPython 3.13 describes its structures itself (struct _Py_DebugOffsets in Include/internal/pycore_runtime.h);
the offsets of 3.11 and 3.12 are those of their headers.  Other versions are reported as unsupported.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from sockscope.symbols.elf import read_elf
from sockscope.symbols.process import read_mappings

_COOKIE = b"xdebugpy"
_SYMBOLS = frozenset({"_PyRuntime", "Py_Version"})
_MOST_THREADS, _LONGEST_NAME = 4096, 200


@dataclass(frozen=True)
class PythonOffsets:
    """Offsets in bytes.  ``current`` leads from PyThreadState to the newest frame: one offset, or two
    with a pointer between them (PyThreadState.cframe of 3.11 and 3.12)."""

    interpreters: int
    threads: int
    next: int
    native_id: int
    current: tuple[int, int]
    code: int
    previous: int
    filename: int
    qualname: int
    first_line: int
    ascii_text: int


_TABLE = {
    (3, 11): PythonOffsets(40, 16, 8, 160, (56, 8), 32, 48, 112, 128, 72, 48),
    (3, 12): PythonOffsets(40, 72, 8, 144, (56, 0), 0, 8, 112, 128, 68, 40),
}


@dataclass(frozen=True)
class PythonThread:
    """A thread of an interpreter: ``native_id`` as the interpreter knows it (in its pid namespace)."""

    native_id: int
    state: int


class UnsupportedPythonError(Exception):
    """A process without CPython, or with a version whose structures are not known."""


class PythonInterpreter:
    """The CPython of a process, read through /proc/PID/mem.

    :raises UnsupportedPythonError: when there is none, or of an unsupported version
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._names: dict[int, str] = {}
        found = _find_runtime(pid)
        if found is None:
            raise UnsupportedPythonError("no CPython")
        self._runtime, version_at = found
        try:
            self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnsupportedPythonError(f"its memory cannot be read ({error.strerror})") from None
        try:
            self.version, self.offsets = self._identify(version_at)
        except (OSError, ValueError, struct.error):
            os.close(self._memory)
            raise UnsupportedPythonError("its memory cannot be read") from None
        except UnsupportedPythonError:
            os.close(self._memory)
            raise

    def close(self) -> None:
        """Close the memory of the process."""
        os.close(self._memory)

    def threads(self) -> list[PythonThread]:
        """Return the threads of the main interpreter; none when the process has ended."""
        found: list[PythonThread] = []
        try:
            interpreter = self._word(self._runtime + self.offsets.interpreters)
            state = self._word(interpreter + self.offsets.threads)
            while state and len(found) < _MOST_THREADS:
                found.append(PythonThread(self._word(state + self.offsets.native_id) & 0xFFFFFFFF, state))
                state = self._word(state + self.offsets.next)
        except (OSError, ValueError, struct.error):
            pass
        return found

    def name(self, code: int) -> str:
        """Return ``qualname (file:line)`` of a code object, or an empty text; remembered once read."""
        if code not in self._names:
            try:
                qualname = self._text(self._word(code + self.offsets.qualname))
                filename = self._text(self._word(code + self.offsets.filename))
                line = struct.unpack("<i", self._read(code + self.offsets.first_line, 4))[0]
                self._names[code] = f"{qualname} ({Path(filename).name}:{line})" if qualname else ""
            except (OSError, ValueError, struct.error):
                self._names[code] = ""
        return self._names[code]

    def _identify(self, version_at: int) -> tuple[tuple[int, int], PythonOffsets]:
        if self._read(self._runtime, 8) == _COOKIE:
            number = self._word(self._runtime + 8)
            version = (number >> 24 & 255, number >> 16 & 255)
            if version != (3, 13):
                raise UnsupportedPythonError(f"CPython {version[0]}.{version[1]} is not supported")
            words = struct.unpack("<40Q", self._read(self._runtime + 24, 320))
            if words[19] > 1 << 16 or words[20] > 1 << 16:
                raise UnsupportedPythonError("CPython 3.13 with unknown structures")
            return version, PythonOffsets(
                words[2],
                words[6],
                words[18],
                words[22],
                (words[20], -1),
                words[27],
                words[26],
                words[32],
                words[34],
                words[36],
                40,
            )
        number = self._word(version_at) if version_at else 0
        version = (number >> 24 & 255, number >> 16 & 255)
        if version not in _TABLE:
            raise UnsupportedPythonError(f"CPython {version[0]}.{version[1]} is not supported")
        return version, _TABLE[version]

    def _read(self, address: int, length: int) -> bytes:
        if not 0 <= address < 1 << 63:
            raise ValueError("not an address")
        found = os.pread(self._memory, length, address)
        if len(found) != length:
            raise ValueError("not mapped")
        return found

    def _word(self, address: int) -> int:
        return int(struct.unpack("<Q", self._read(address, 8))[0])

    def _text(self, string: int) -> str:
        length = self._word(string + 16)
        return self._read(string + self.offsets.ascii_text, min(length, _LONGEST_NAME)).decode("latin-1")


def _find_runtime(pid: int) -> tuple[int, int] | None:
    """Return the addresses of _PyRuntime and Py_Version (0 without one), or None."""
    seen: set[str] = set()
    for mapping in read_mappings(pid, executable=False):
        if mapping.path in seen or "python" not in Path(mapping.path).name:
            continue
        seen.add(mapping.path)
        symbols = read_elf(f"/proc/{pid}/root{mapping.path}", _SYMBOLS)
        found = dict(symbols.objects)
        if "_PyRuntime" not in found:
            continue
        # the first mapping of the file, at its lowest address, gives the load bias
        bias = mapping.start - symbols.virtual_address(mapping.offset)
        version = found.get("Py_Version")
        return found["_PyRuntime"] + bias, version + bias if version is not None else 0
    return None
