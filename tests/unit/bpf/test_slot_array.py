"""Records in memory that somebody else writes: what has changed, and only what is whole."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sockscope.bpf.slot_array import SlotArray, bucket_count, overflow_capacity
from sockscope.tracer.bpf_object import probe_directory

RECORD = np.dtype([("id", "<u8"), ("touched_ns", "<u8"), ("value", "<u8")])
ROOM = 1000


class Used:
    """Stands for the map that says how many places were ever used."""

    def __init__(self) -> None:
        self.count = 0

    def get(self, index: int) -> Any:
        return self.count


class Kernel:
    """The writing side: a file in memory in place of the map."""

    def __init__(self) -> None:
        size = -(-ROOM * RECORD.itemsize // mmap.PAGESIZE) * mmap.PAGESIZE
        self.fd = os.memfd_create("records")
        os.ftruncate(self.fd, size)
        self.memory = mmap.mmap(self.fd, size)
        self.records = np.frombuffer(self.memory, RECORD, ROOM)
        self.used = Used()
        self.places = SlotArray(self.fd, RECORD, ROOM, (self.used, 0))  # type: ignore[arg-type]

    def write(self, place: int, number: int, touched_ns: int) -> None:
        self.records[place] = (number, touched_ns, number * 10)
        self.used.count = max(self.used.count, place + 1)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    held = Kernel()
    yield held
    held.places.close()
    del held.records
    held.memory.close()
    os.close(held.fd)


def test_only_records_touched_since_then_are_copied(kernel: Kernel) -> None:
    for place in range(10):
        kernel.write(place, place + 1, touched_ns=100 * place)
    assert kernel.places.changed(0)["id"].tolist() == list(range(1, 11))
    assert kernel.places.changed(700)["id"].tolist() == [8, 9, 10]
    assert kernel.places.changed(2000)["id"].tolist() == []


def test_a_place_without_an_id_holds_no_record(kernel: Kernel) -> None:
    for place in range(3):
        kernel.write(place, place + 1, touched_ns=5)
    kernel.records["id"][1] = 0
    assert kernel.places.changed(0)["value"].tolist() == [10, 30]


def test_records_are_found_by_id_while_they_are_there(kernel: Kernel) -> None:
    for place in range(5):
        kernel.write(place, place + 11, touched_ns=5)
    kernel.records["id"][3] = 0
    assert kernel.places.of([12, 14, 99])["value"].tolist() == [120]
    assert len(kernel.places.of([])) == 0


def test_whether_a_record_was_left_alone_for_long_does_not_depend_on_places_that_are_free(
    kernel: Kernel,
) -> None:
    assert not kernel.places.has_untouched_since(1000)
    kernel.write(0, 1, touched_ns=100)
    kernel.write(1, 2, touched_ns=1000)
    assert kernel.places.has_untouched_since(101)
    kernel.records["id"][0] = 0
    assert not kernel.places.has_untouched_since(1000)


def test_what_was_read_stays_as_it_was(kernel: Kernel) -> None:
    kernel.write(0, 1, touched_ns=5)
    rows = kernel.places.changed(0)
    kernel.write(0, 2, touched_ns=6)
    assert rows["id"].tolist() == [1]


def test_the_view_grows_with_the_places_used_up_to_the_room(kernel: Kernel) -> None:
    for count in (1, 64, 65, 500, ROOM):
        for place in range(count):
            kernel.write(place, place + 1, touched_ns=1)
        assert len(kernel.places.changed(0)) == count
    kernel.used.count = ROOM + 3  # several CPUs found the last place taken at once
    assert len(kernel.places.changed(0)) == ROOM


PROBE = (probe_directory() / "slot_index.bpf.c").read_text()
BUCKET_KEYS = int(re.findall(r"#define BUCKET_KEYS (\d+)", PROBE)[0])
ROOMS = pytest.mark.parametrize("places", [1, 8, 9, 1000, 73728, 1_008_192])


@ROOMS
def test_nearly_half_of_the_directory_stays_free_and_no_more(places: int) -> None:
    keys = bucket_count(places) * BUCKET_KEYS
    assert keys * 8 >= places * 15
    assert (keys - 2 * BUCKET_KEYS) * 8 < places * 15


@ROOMS
def test_each_bucket_has_one_beside_it(places: int) -> None:
    count = bucket_count(places)
    assert count >= 2
    assert count % 2 == 0


def _bucket_numbers(keys: Any, count: int) -> Any:
    """As bucket_index() of the probes, with its constant."""
    mix = np.uint64(int(re.findall(r"#define HASH_MULTIPLIER (0x[0-9a-f]+)ULL", PROBE)[0], 16))
    half = np.uint64(32)
    mixed = keys * mix
    mixed ^= mixed << half
    return ((mixed >> half) * np.uint64(count) >> half).astype(np.int64)


@pytest.mark.parametrize("memory", ["one slab after another", "slabs anywhere"])
@pytest.mark.parametrize("size", [1984, 2048, 2176, 2240, 2304, 2368, 2496, 2560, 2688, 3072, 3456])
@pytest.mark.parametrize("sockets", [65536, 200_000])
def test_sockets_of_any_size_spread_over_the_directory_as_if_by_chance(
    sockets: int, size: int, memory: str
) -> None:
    """They lie at equal distances in slabs of 32 KiB: by a product's upper half many sizes gather in a few buckets."""
    slab = 32768
    slabs = -(-sockets // (slab // size))
    where = np.arange(slabs)
    if memory == "slabs anywhere":
        where = np.random.default_rng(size).choice((24 << 30) // slab, slabs, replace=False)
    within = np.arange(slab // size) * size
    addresses = (where[:, np.newaxis] * slab + within).ravel()[:sockets].astype(np.uint64)
    keys = np.concatenate([
        addresses + np.uint64(0xFFFF888100000000),
        np.uint64(1 << 32) + np.arange(1000, 1000 + 8192, dtype=np.uint64),
    ])  # fmt: skip
    count = bucket_count(len(keys))
    held = np.bincount(_bucket_numbers(keys, count), minlength=count)
    # chance alone gives 5.4 % of the buckets too many keys, and lets 0.7 % of the keys find both of theirs full
    assert np.mean(held > BUCKET_KEYS) < 0.075
    crowded = np.maximum(held.reshape(-1, 2).sum(axis=1) - 2 * BUCKET_KEYS, 0).sum()
    assert crowded < 0.025 * len(keys)
    assert crowded < overflow_capacity(len(keys)) / 2.5
