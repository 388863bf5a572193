"""Thresholds: defaults, a file that changes some, and clear words about what is wrong with one."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from sockscope.analysis.thresholds import Thresholds, as_toml
from sockscope.errors import UsageError


def test_every_threshold_says_what_it_is() -> None:
    assert all(entry.metadata["doc"] for entry in fields(Thresholds))


def test_the_defaults_written_and_read_again_are_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "thresholds.toml"
    file.write_text(as_toml(Thresholds()))
    assert Thresholds.load(file) == Thresholds()


def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "thresholds.toml"
    file.write_text('queue-wait = "20ms"\nstraggler = 3\nmax-share = 0.5\n')
    assert Thresholds.load(file) == Thresholds(queue_wait_ns=20_000_000, straggler=3, max_share=0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("quue-wait = '1s'", "unknown threshold 'quue-wait'"),
        ("queue-wait = 20", 'write it as a string, for example "100ms"'),
        ("queue-wait = 'soon'", "is not a duration"),
        ("straggler = 'much'", "must be a number of at least 0"),
        ("straggler = -1", "must be a number of at least 0"),
        ("straggler = true", "must be a number of at least 0"),
        ("fewest = 2.5", "must be an integer"),
        ("straggler = nan", "must be a number of at least 0"),
        ("straggler == 3", "is not valid TOML"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "thresholds.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=words) as refused:
        Thresholds.load(file)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read thresholds"):
        Thresholds.load(tmp_path / "none.toml")
