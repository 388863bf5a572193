"""When sockets are looked for, and that each connection whose socket is gone is told once."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from sockscope.host import clock
from sockscope.records.layout import CONNECTION, ConnectionFlag
from sockscope.tracer.bpf_object import probe_directory
from sockscope.tracer.reaper import Reaper
from sockscope.tracer.socket_liveness import BUCKETS_A_RUN

_SECOND = 10**9
_GONE = ConnectionFlag.CLOSED | ConnectionFlag.BEST_EFFORT


def _records(*ids: int, closed_ns: int = 0) -> Any:
    rows = np.zeros(len(ids), CONNECTION)
    rows["id"], rows["touched_ns"], rows["closed_ns"] = ids, 7, closed_ns
    return rows


class Kernel:
    """Stands for the array of connections; ``gone`` is what looks find, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.a_look_takes, self.samples = 0, 0, 0
        self.untouched, self.refuses = True, False
        self.gone: list[list[int]] = []
        self.records = _records()
        monkeypatch.setattr(clock, "now_ns", lambda: self.now)

    def has_untouched_since(self, since_ns: int) -> bool:
        return self.untouched

    def of(self, ids: Any) -> Any:
        return self.records[np.isin(self.records["id"], ids)]

    def look(self) -> Any:
        self.samples += 1
        self.now += self.a_look_takes
        if self.refuses:
            raise PermissionError(1, "Operation not permitted")
        return np.array(self.gone.pop(0) if self.gone else [], np.uint64)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def _ends(kernel: Kernel) -> Reaper:
    return Reaper(kernel, kernel.look)  # type: ignore[arg-type]


def _look_at(kernel: Kernel, ends: Reaper, second: int) -> int:
    kernel.now = second * _SECOND
    ends.look(kernel.now)
    return kernel.samples


def test_sockets_are_looked_for_each_half_minute(kernel: Kernel) -> None:
    ends = _ends(kernel)
    assert [_look_at(kernel, ends, second) for second in (1, 29, 30, 31, 59, 60)] == [0, 0, 1, 1, 1, 2]


def test_nothing_is_looked_for_while_every_connection_does_something(kernel: Kernel) -> None:
    ends, kernel.untouched = _ends(kernel), False
    assert _look_at(kernel, ends, 100) == 0
    kernel.untouched = True
    assert _look_at(kernel, ends, 130) == 1


def test_looks_take_a_hundredth_of_the_time_at_most(kernel: Kernel) -> None:
    ends, kernel.a_look_takes = _ends(kernel), 2 * _SECOND
    assert [_look_at(kernel, ends, second) for second in (30, 60, 229, 230)] == [1, 1, 1, 2]


def test_a_connection_whose_socket_is_gone_is_told_as_closed_and_inexact_once(kernel: Kernel) -> None:
    ends = _ends(kernel)
    kernel.records = _records(1, 2, 3)
    kernel.gone = [[2], [2]]
    ends.look_at_all()
    closed, connections = ends.tell(_records(9, closed_ns=5), _records(1, 2, 3))
    assert closed["id"].tolist() == [9, 2]
    assert closed["flags"].tolist() == [0, _GONE]
    assert closed["closed_ns"].tolist() == [5, 7]
    assert connections["id"].tolist() == [1, 3]
    kernel.gone = [[2], [2]]
    ends.look_at_all()
    closed, connections = ends.tell(_records(), _records(1, 2, 3))
    assert (closed["id"].tolist(), connections["id"].tolist()) == ([], [1, 3])
    closed, connections = ends.tell(_records(2, 8), _records(1, 3))  # its address is used again
    assert (closed["id"].tolist(), connections["id"].tolist()) == ([8], [1, 3])


def test_one_that_ends_while_it_is_looked_for_has_the_end_that_was_seen(kernel: Kernel) -> None:
    ends = _ends(kernel)
    kernel.records = _records(1, 2)
    kernel.gone = [[1], [1]]
    ends.look_at_all()
    closed, connections = ends.tell(_records(1, closed_ns=5), _records(1, 2))
    assert (closed["id"].tolist(), closed["flags"].tolist()) == ([1], [0])
    assert connections["id"].tolist() == [2]


def test_what_only_one_of_two_looks_has_found_is_not_told(kernel: Kernel) -> None:
    ends = _ends(kernel)
    kernel.records = _records(1)
    kernel.gone = [[1], []]
    ends.look_at_all()
    closed, connections = ends.tell(_records(), _records(1))
    assert (closed["id"].tolist(), connections["id"].tolist()) == ([], [1])


def test_the_end_that_was_seen_of_an_unended_record_stays(kernel: Kernel) -> None:
    ends = _ends(kernel)
    kernel.records = _records(1, closed_ns=4)
    kernel.gone = [[1], [1]]
    ends.look_at_all()
    assert ends.tell(_records(), _records())[0]["closed_ns"].tolist() == [4]


def test_where_the_kernel_does_not_let_it_look_that_is_said_and_nothing_fails(kernel: Kernel) -> None:
    ends, kernel.refuses = _ends(kernel), True
    assert _look_at(kernel, ends, 30) == 1
    assert ends.tell(_records(), _records(1))[1]["id"].tolist() == [1]
    assert _look_at(kernel, ends, 60) == 1
    assert ends.notes == (
        "whether a connection's end went unseen is not known: this kernel does not run a program for us "
        "(Operation not permitted)",
    )


def test_the_probe_goes_through_as_many_buckets_as_user_space_steps_over_and_has_room_for_what_it_finds() -> (
    None
):
    text = "".join((probe_directory() / f"{name}.bpf.c").read_text() for name in ("slot_index", "reap"))
    (keys,) = re.findall(r"#define BUCKET_KEYS (\d+)", text)
    assert re.findall(r"#define BUCKETS_PER_RUN (\d+)", text) == [str(BUCKETS_A_RUN)]
    (room,) = re.findall(r"BPF_QUEUE\(reap_queue, u64, (\d+)\)", text)
    assert int(room) >= BUCKETS_A_RUN * int(keys)
