"""The host's counters, and what the backlog tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sockscope.errors import SockscopeError
from sockscope.host import netns
from sockscope.host import netns_counters as module
from sockscope.host.netns_counters import NetnsCounters, counters
from sockscope.host.requested_backlog import requested_backlog

#: An emulated machine is slow, and that is no fault.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


word = st.text("abcdefgXYZ", min_size=1, max_size=6)
tables = st.dictionaries(
    word, st.dictionaries(word, st.integers(0, 2**63), min_size=1, max_size=6), max_size=4
)


@patient
@given(tables)
def test_every_counter_is_found_under_its_name(told: dict[str, dict[str, int]]) -> None:
    lines = [
        f"{kind}: {' '.join(map(str, cells))}" for kind, its in told.items() for cells in (its, its.values())
    ]
    assert counters("\n".join(lines).encode()) == told


@patient
@given(st.binary(max_size=200))
def test_any_bytes_are_counters_or_none(raw: bytes) -> None:
    counters(raw)


def test_a_pair_that_does_not_match_is_left_out() -> None:
    assert counters(b"A: x y\nA: 1\nB: z\nB: 2\nC: q\nC: no\nD: r\nE: 3\n") == {"B": {"z": 2}}


def test_this_host_is_read_again_and_again() -> None:
    before = open_files()
    with NetnsCounters() as host:
        read = host.read()
        assert host.read().listen_drops >= read.listen_drops >= read.listen_overflows >= 0
    host.close()
    assert read.netns == netns.own().inode
    assert read.somaxconn == int(Path("/proc/sys/net/core/somaxconn").read_text())
    assert open_files() == before


def test_files_that_are_not_there_or_say_something_else_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SOMAXCONN", str(tmp_path / "none"))
    before = open_files()
    with pytest.raises(SockscopeError, match="cannot read"):
        NetnsCounters()
    assert open_files() == before
    (tmp_path / "empty").write_text("")
    monkeypatch.setattr(module, "_SOMAXCONN", str(tmp_path / "empty"))
    with NetnsCounters() as host, pytest.raises(SockscopeError, match="unexpected format"):
        host.read()


@pytest.mark.parametrize(
    ("in_force", "somaxconn", "short", "clamped", "word"),
    [
        (511, 4096, "511", False, "unless net.core.somaxconn was 511"),
        (4096, 4096, "4096+", True, "may have cut it"),
        (8192, 4096, "8192+", True, "higher than today's 4096"),
        (0, 4096, "0", False, "0, unless"),
        (0, 0, "0+", True, "0 or more"),
    ],
)
def test_the_backlog_asked_for_is_told_as_far_as_it_can_be(
    in_force: int, somaxconn: int, short: str, clamped: bool, word: str
) -> None:
    guess = requested_backlog(in_force, somaxconn)
    assert (guess.least, guess.short, guess.clamped) == (in_force, short, clamped)
    assert word in guess.words


@patient
@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_the_guess_never_denies_what_was_asked(argument: int, then: int, today: int) -> None:
    """``__sys_listen``: ``if ((unsigned int)backlog > somaxconn) backlog = somaxconn``."""
    meant = argument % 2**32
    guess = requested_backlog(min(meant, then), today)
    assert meant >= guess.least
    if meant != guess.least:
        assert guess.clamped or then == guess.least  # the "unless" of the words
