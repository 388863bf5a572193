"""Batches to record, and how to tell that two are equal."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from sockscope.records.batch import AttachedSignal, Batch, Cost, Health, HostCounters, Meta, Process
from sockscope.store import Writer

SECOND = 1_000_000_000

META = Meta(
    host="web-1",
    kernel="6.1.0",
    version="0.1.0",
    target="port 80",
    command="sockscope record -o x",
    cpus=8,
    started_ns=5,
    monotonic_offset_ns=1_700_000_000 * SECOND,
    signals=(AttachedSignal("accept", "tracepoint", ""), AttachedSignal("wake", "", "no request hand-off")),
    boot_id="b-1",
)

#: The fields of a batch that are arrays, with their types.
ARRAYS = {
    field.name: field.default_factory().dtype
    for field in dataclasses.fields(Batch)
    if field.default_factory is not dataclasses.MISSING and isinstance(field.default_factory(), np.ndarray)
}


def records(dtype: np.dtype[Any], count: int, seed: int) -> Any:
    """Any octets at all; now and then all zeros or all ones."""
    octets = random.Random(seed).randbytes(dtype.itemsize * count)
    array = np.frombuffer(octets, dtype).copy()
    if count and seed % 3 == 0:
        array[:1] = np.frombuffer(b"\xff" * dtype.itemsize, dtype)
        array[-1:] = np.zeros(1, dtype)
    return array


def batch(tick: int, rows: int = 3, workers: int = 2, **more: Any) -> Batch:
    """The batch of this number: always the same one."""
    arrays = {
        name: records(dtype, workers if name == "workers" else rows, 1 + tick * 100 + index)
        for index, (name, dtype) in enumerate(ARRAYS.items())
    }
    return Batch(
        time_ns=10 * SECOND + tick * SECOND,
        **{
            **arrays,
            "processes": (Process(tick, 1, "nginx", f"nginx: worker {tick}"),),
            "hosts": (HostCounters(1, tick, 2, 4096),),
            "health": Health((("ring", tick),), Cost(probe_ns=tick), ("note",)),
            **more,
        },
    )


def record(path: Path, batches: Iterable[Batch], meta: Meta = META) -> Path:
    """A finished recording of ``batches``."""
    with Writer(path, meta) as writer:
        for one in batches:
            writer.write(one)
    return path


def assert_equal(found: Batch, expected: Batch) -> None:
    """Equal to the last bit."""
    for field in dataclasses.fields(Batch):
        left, right = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(right, np.ndarray):
            assert left.dtype == right.dtype, field.name
            assert left.shape == right.shape, field.name
            assert left.tobytes() == right.tobytes(), field.name
        else:
            assert left == right, field.name
            assert type(left) is type(right), field.name


def assert_all_equal(found: Iterable[Batch], expected: Iterable[Batch]) -> None:
    """The same batches in the same order."""
    for left, right in zip(list(found), list(expected), strict=True):
        assert_equal(left, right)


_PRELUDE = """
import os, signal, sys, threading, time
import duckdb, numpy
import sockscope.store.writer as writer_module
from sockscope.errors import SockscopeError
from sockscope.store import Reader, Writer
from tests.unit.store.recordings import META, batch
"""
_DEMOTE = """
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
"""


def start(script: str, *arguments: object, demoted: bool = False) -> subprocess.Popen[str]:
    """Run ``script`` in a process of its own, if need be as a user who owns nothing."""
    text = _PRELUDE + (_DEMOTE if demoted else "") + textwrap.dedent(script)
    return subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(script: str, *arguments: object, demoted: bool = False) -> str:
    """What ``script`` printed; it has to succeed."""
    with start(script, *arguments, demoted=demoted) as child:
        said, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    return said


NUMBERS = st.integers(0, 2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=12)
PROCESSES = st.builds(Process, NUMBERS, NUMBERS, TEXTS, TEXTS, TEXTS, TEXTS)
HOSTS = st.builds(HostCounters, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
COSTS = st.builds(Cost, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)
HEALTHS = st.builds(
    Health,
    lost=st.lists(st.tuples(TEXTS, NUMBERS), max_size=3).map(tuple),
    cost=COSTS,
    notes=st.lists(TEXTS, max_size=2).map(tuple),
)
SIGNALS = st.builds(AttachedSignal, TEXTS, TEXTS, TEXTS)
METAS = st.builds(
    Meta,
    host=TEXTS,
    kernel=TEXTS,
    version=TEXTS,
    target=TEXTS,
    command=TEXTS,
    cpus=NUMBERS,
    started_ns=NUMBERS,
    monotonic_offset_ns=st.integers(-(2**63), 2**64),
    signals=st.lists(SIGNALS, max_size=3).map(tuple),
    boot_id=TEXTS,
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Any batch."""
    arrays = {
        name: records(dtype, draw(st.integers(0, 4)), draw(st.integers(0, 2**32)))
        for name, dtype in ARRAYS.items()
    }
    return Batch(
        time_ns=draw(NUMBERS),
        **arrays,
        processes=tuple(draw(st.lists(PROCESSES, max_size=3))),
        hosts=tuple(draw(st.lists(HOSTS, max_size=2))),
        health=draw(HEALTHS),
        final=draw(st.booleans()),
    )
