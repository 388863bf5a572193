"""Completion: the shell itself is asked what it would offer."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from pathlib import Path

import pytest

from sockscope.commands.completion import Completion


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    command, parser = Completion(), argparse.ArgumentParser()
    command.prepare(parser)
    assert command.run(parser.parse_args([shell])) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sockscope re", {"record", "report", "replay"}),
        ("sockscope report x --form", {"--format"}),
        ("sockscope report x --format t", {"text"}),
        ("sockscope live --th", {"--theme"}),
    ],
)
def test_bash_offers_what_the_parsers_take(
    line: str, offered: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    words = line.split(" ")
    ask = (
        f"{script('bash', capsys)}\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        '_sockscope; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, timeout=10, check=True)
    assert not done.stderr
    assert offered <= set(done.stdout.split()) or (
        line.startswith("sockscope serve") and not done.stdout.strip()
    )


def test_a_files_name_is_offered_as_it_is_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"r", "r two words", "r*", "r$(touch owned)", "r`touch owned`", "r;touch owned", "r[bold]", "r\x1b[31m",
             "r'\""}  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    ask = (
        f"{script('bash', capsys)}\nCOMP_WORDS=(sockscope report r); COMP_CWORD=2; "
        '_sockscope; printf "%s\\0" "${COMPREPLY[@]}"; echo $- *'
    )
    done = subprocess.run(
        ["bash", "-c", ask], capture_output=True, text=True, timeout=10, check=True, cwd=tmp_path
    )
    assert not done.stderr
    *offered, after = done.stdout.split("\0")
    assert set(offered) == names
    assert len(offered) == len(names)
    assert " r " in after  # patterns work again
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_well_formed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert "report" in text
    if shutil.which(shell):
        check = "--no-execute" if shell == "fish" else "-n"
        subprocess.run([shell, check], input=text, text=True, timeout=10, check=True)
