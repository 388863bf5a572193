"""Whatever a reader is given, it answers or raises what it documents: arbitrary bytes, and good ones bent."""

from __future__ import annotations

import base64
import os
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sockscope.bpf.ring import Ring
from tests.fuzz.targets import TARGETS, Target

_BUSY, _FRAME = 1 << 31, 8
#: BTF in which a struct's member is no struct, and is asked for a field.
_NO_STRUCT = base64.b64decode(
    "n+sBABgAAAAAAAAAZAAAAGQAAAAuAAAAAAAAAAAHAAEEAAAAIAAAAAAAAAABAAAEBAAAAAUAAAABAAAAAAAAAAEAAAACAAAECAAAOwMAAAAB"
    "AAAAAAAAAAAAAAACAAAAIAAAAAAAAAAAAAANAQEAAAAAAAANAAAMBAAAAABhAG5zAHRjYWR5AA=="
)
#: What once went through, or would be easy to get wrong.
_KNOWN = (
    b"",
    b"\0",
    b"9" * 400 + b"h",
    b"a=" + b"[" * 3000,
    b'{"a":' * 3000,
    b"\xff" * 64,
    b"wait:>" + b"9" * 400,
)


@st.composite
def _bent(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """A seed with some of it overwritten, left out, doubled or cut off."""
    raw = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(raw)))
        piece = draw(st.binary(max_size=9))
        match draw(st.integers(0, 3)):
            case 0:
                raw[at : at + len(piece)] = piece
            case 1:
                del raw[at : at + draw(st.integers(0, 40))]
            case 2:
                raw[at:at] = raw[at : at + 40]
            case 3:
                raw[at:at] = piece
    return bytes(raw)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_any_input_is_read_or_refused_as_documented(target: Target) -> None:
    seeds = target.seeds()
    for seed in (*seeds, *_KNOWN):
        target.feed(seed)

    @settings(max_examples=12 if "recording" in target.name else 60, deadline=None, derandomize=True,
              database=None, suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.one_of(st.binary(max_size=400), _bent(seeds)))
    def fed(raw: bytes) -> None:
        target.feed(raw)

    fed()


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    start=st.integers(0, 400),
    flags=st.lists(st.booleans(), max_size=300),
    itemsize=st.sampled_from([8, 24, 40]),
)
@example(start=0, flags=[], itemsize=8)
def test_a_ring_gives_every_record_before_the_first_that_is_still_written(
    start: int, flags: list[bool], itemsize: int
) -> None:
    """At any place of the ring, over its end too; the rest comes when it is whole."""
    import mmap

    size, page = 4 * mmap.PAGESIZE, mmap.PAGESIZE
    frame = itemsize + _FRAME
    flags = flags[: size // frame]
    fd = os.memfd_create("ring")
    os.ftruncate(fd, 2 * page + 2 * size)  # the kernel maps the records twice in a row; here they are copied
    at = start * frame
    for number, busy in enumerate(flags):
        framed = struct.pack("<II", itemsize | (_BUSY if busy else 0), 0) + number.to_bytes(8, "little")
        framed = framed.ljust(frame, b"x")
        for index, octet in enumerate(framed):
            place = (at + number * frame + index) % size
            for copy in (0, size):
                os.pwrite(fd, bytes([octet]), 2 * page + copy + place)
    os.pwrite(fd, struct.pack("<Q", at), 0)
    os.pwrite(fd, struct.pack("<Q", at + len(flags) * frame), page)
    ring = Ring(fd, 4, np.dtype([("number", "<u8"), ("rest", "u1", itemsize - 8)]))
    try:
        whole = flags.index(True) if True in flags else len(flags)
        assert ring.drain()["number"].tolist() == list(range(whole))
        assert ring.drain().tolist() == []
        assert ring.fill() == pytest.approx((len(flags) - whole) * frame / size)
    finally:
        ring.close()
        os.close(fd)
