"""Maps of pairs: a batch has what changed, and what is over makes room."""

from __future__ import annotations

import os
import subprocess
from typing import Any, cast

import numpy as np

from sockscope.bpf.delta_maps import DeltaMaps
from sockscope.bpf.maps import Map
from sockscope.records import layout

NOBODY = np.zeros(0, layout.WORKER)


class _Held:
    """A hash map in memory."""

    def __init__(self, key: Any, value: Any) -> None:
        self.key, self._value = key, value
        self.elements: dict[bytes, Any] = {}

    def put(self, key: tuple[int, ...], value: tuple[int, ...]) -> None:
        self.elements[np.array(key, self.key).tobytes()] = np.array(value, self._value)

    def read_all(self) -> tuple[Any, Any]:
        keys = np.frombuffer(b"".join(self.elements), self.key)
        return keys, np.array(list(self.elements.values()), self._value)

    def remove(self, key: Any) -> None:
        del self.elements[key.tobytes()]


def _wakes(room: int = 100) -> tuple[_Held, DeltaMaps]:
    held = _Held(layout.WAKE_KEY, layout.WAKE_COUNT)
    return held, DeltaMaps({"wakes": cast(Map, held)}, room)


def _ended(*threads: tuple[int, int]) -> Any:
    records = np.zeros(len(threads), layout.WORKER)
    for record, (number, tid) in zip(records, threads, strict=True):
        record["id"], record["tid"] = number, tid
    return records


def test_a_batch_has_the_pairs_that_changed_and_all_of_them_when_asked() -> None:
    held, pairs = _wakes()
    held.put((1, 70), (5, 2))
    held.put((2, 60), (9, 9))
    assert sorted(pairs.wakes(NOBODY).tolist()) == [(1, 70, 5, 2), (2, 60, 9, 9)]
    assert pairs.wakes(NOBODY).tolist() == []
    held.put((2, 60), (10, 9))
    held.put((1, 60), (1, 0))
    assert sorted(pairs.wakes(NOBODY).tolist()) == [(1, 60, 1, 0), (2, 60, 10, 9)]
    pairs.reset()
    assert len(pairs.wakes(NOBODY)) == 3
    assert pairs.wakes(NOBODY).tolist() == []


def test_what_an_ended_thread_did_is_told_once_more_and_makes_room() -> None:
    held, pairs = _wakes()
    held.put((1, 70), (5, 2))
    held.put((2, 60), (9, 9))
    held.put((3, 50), (1, 1))
    pairs.wakes(NOBODY)
    held.put((1, 70), (6, 2))
    held.put((2, 60), (8, 8))
    assert pairs.wakes(_ended((1, 10), (9, 60))).tolist() == [(1, 70, 6, 2), (2, 60, 8, 8)]
    assert len(held.elements) == 1
    held.put((1, 70), (1, 1))  # the number is another thread's now
    assert pairs.wakes(NOBODY).tolist() == [(1, 70, 1, 1)]


def test_when_there_is_little_room_threads_that_are_gone_are_looked_for() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    held, pairs = _wakes(room=4)
    for waker in (1, 2, 3):
        held.put((waker, gone.pid), (1, 1))
    held.put((1, os.getpid()), (1, 1))
    for _ in range(10):
        pairs.wakes(NOBODY)
    assert [key[1] for key in held.read_all()[0].tolist()] == [os.getpid()]


def test_with_room_enough_nobody_is_looked_for() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    held, pairs = _wakes(room=4)
    held.put((1, gone.pid), (1, 1))
    for _ in range(20):
        pairs.wakes(NOBODY)
    assert len(held.elements) == 1
