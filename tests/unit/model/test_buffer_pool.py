"""Memory is used again only when nobody looks at what is in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from sockscope.model.buffer_pool import ReusedArray

_LARGE = 1_000_000


def _filled(with_what: int, length: int = _LARGE) -> Any:
    return np.full(length, with_what, np.uint64)


def _memory(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def test_what_nobody_looks_at_is_written_over() -> None:
    reused = ReusedArray()
    first = reused.concatenated([_filled(1), _filled(2)])
    where = _memory(first)
    del first
    second = reused.concatenated([_filled(3), _filled(4)])
    assert _memory(second) == where
    assert second[::_LARGE].tolist() == [3, 4]


def test_what_somebody_looks_at_stays_as_it_is() -> None:
    reused = ReusedArray()
    first = reused.concatenated([_filled(1)])
    part = first[10:20]
    del first
    others = [reused.concatenated([_filled(number)]) for number in range(2, 7)]
    assert part.tolist() == [1] * 10
    assert [int(array[0]) for array in others] == [2, 3, 4, 5, 6]
    assert len({_memory(array) for array in [part, *others]}) == 6


def test_two_are_used_by_turns_where_the_last_one_is_still_shown() -> None:
    reused = ReusedArray()
    shown, places = reused.concatenated([_filled(0)]), set()
    for number in range(1, 10):
        following = reused.concatenated([_filled(number)])
        assert (int(shown[0]), int(following[0])) == (number - 1, number)
        shown = following
        places.add(_memory(shown))
    assert len(places) == 2


def test_room_grows_and_shrinks_with_what_is_asked_for() -> None:
    reused = ReusedArray()
    for length in (_LARGE, 3 * _LARGE, 3 * _LARGE + 1000, _LARGE, 10, _LARGE):
        array = reused.concatenated([_filled(length, length)])
        assert (len(array), int(array[0]), int(array[-1])) == (length, length, length)
        del array
    assert sum(array.nbytes for array in reused._rooms._held) < 2 * 8 * _LARGE


def test_whoever_looks_is_noticed_however_they_hold_it() -> None:
    for look in (
        lambda array: array[5:],
        lambda array: array.view(np.int64),
        lambda array: memoryview(array),
        lambda array: [array],
        lambda array: array.reshape(2, -1)[1],
    ):
        reused = ReusedArray()
        array = reused.concatenated([_filled(1)])
        held, where = look(array), _memory(array)
        del array
        assert _memory(reused.concatenated([_filled(2)])) != where
        del held
        assert _memory(reused.concatenated([_filled(3)])) == where
