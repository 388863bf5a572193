"""Access BPF maps as numpy arrays: in bulk, or single elements."""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sockscope.bpf import syscall
from sockscope.records.structured import concat

Records = np.ndarray[Any, np.dtype[Any]]
_CHUNK = 4096
_BATCH = struct.Struct("<QQQQIIQQ")


@dataclass(frozen=True)
class Map:
    """A hash or array map: ``key`` and ``value`` are the dtypes of its elements."""

    fd: int
    key: np.dtype[Any]
    value: np.dtype[Any]

    def read_all(self) -> tuple[Records, Records]:
        """Return (keys, values) of a hash map, unordered.

        Elements that are added or removed meanwhile may be missing; all others are returned once.
        BPF_MAP_LOOKUP_BATCH: Linux 5.6, commit cb4d03ab499d.
        """
        parts = list(self._batches())
        if not parts:
            return np.empty(0, self.key), np.empty(0, self.value)
        return concat([keys for keys, _ in parts]), concat([values for _, values in parts])

    def _batches(self) -> Iterator[tuple[Records, Records]]:
        room = _CHUNK
        cursor = ctypes.create_string_buffer(16)
        following = ctypes.create_string_buffer(16)
        first, done = True, False
        while not done:
            keys, values = np.empty(room, self.key), np.empty(room, self.value)
            attributes = ctypes.create_string_buffer(
                _BATCH.pack(
                    0 if first else ctypes.addressof(cursor),
                    ctypes.addressof(following),
                    keys.ctypes.data,
                    values.ctypes.data,
                    room,
                    self.fd,
                    0,
                    0,
                ),
                _BATCH.size,
            )
            try:
                syscall.bpf_in_place(syscall.MAP_LOOKUP_BATCH, attributes)
            except OSError as error:
                if error.errno == errno.ENOSPC:  # one bucket holds more than the room given
                    room *= 2
                    continue
                if error.errno != errno.ENOENT:
                    raise
                done = True
            count = struct.unpack_from("<I", attributes.raw, 32)[0]
            if count:
                yield keys[:count], values[:count]
            cursor, following, first = following, cursor, False

    def get(self, key: Any) -> Records | None:
        """Return the value of one element (a 0-d record array), or None."""
        value = np.zeros(1, self.value)
        try:
            self._element(syscall.MAP_LOOKUP_ELEM, self._key(key), value, 0)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value[0]  # type: ignore[no-any-return]

    def put(self, key: Any, value: Any, *, only_new: bool = False) -> bool:
        """Write one element; return False if it must be new and is not."""
        held = np.zeros(1, self.value)
        held[0] = value
        try:
            self._element(syscall.MAP_UPDATE_ELEM, self._key(key), held, syscall.NO_EXIST if only_new else 0)
        except OSError as error:
            if only_new and error.errno == errno.EEXIST:
                return False
            raise
        return True

    def add(self, key: Any, value: Any) -> bool:
        """Write one element; return False if the map is full."""
        try:
            return self.put(key, value)
        except OSError as error:
            if error.errno == errno.E2BIG:
                return False
            raise

    def remove(self, key: Any) -> None:
        """Delete one element if it exists."""
        try:
            self._element(syscall.MAP_DELETE_ELEM, self._key(key), None, 0)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise

    def pop_all(self) -> Records:
        """Remove and return all elements of a queue map, in the order they were added."""
        found: list[Any] = []
        value = np.zeros(1, self.value)
        while True:
            try:
                self._element(syscall.MAP_LOOKUP_AND_DELETE_ELEM, None, value, 0)
            except OSError as error:
                if error.errno == errno.ENOENT:
                    return np.array(found, self.value)
                raise
            found.append(value[0])

    def read_array(self, length: int) -> Records:
        """Return the first ``length`` elements of an array map."""
        return np.array([self.get(index) for index in range(length)], self.value)

    def _key(self, key: Any) -> Records:
        held = np.zeros(1, self.key)
        held[0] = key
        return held

    def _element(self, command: int, key: Records | None, value: Records | None, flags: int) -> None:
        which = 0 if key is None else key.ctypes.data
        where = 0 if value is None else value.ctypes.data
        syscall.bpf(command, struct.pack("<IIQQQ", self.fd, 0, which, where, flags))
