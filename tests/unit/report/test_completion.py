"""Completion: the shell itself is asked what it would offer."""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import shlex
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from sockscope.cli.completion import Completion
from tests.conftest import wait_until


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    command, parser = Completion(), argparse.ArgumentParser()
    command.prepare(parser)
    assert command.run(parser.parse_args([shell])) == 0
    return capsys.readouterr().out


#: What is typed, and the only thing that it can become.
LINES = {
    "sockscope rec": "record",
    "sockscope record --ev": "--events",
    "sockscope report --format t": "text",
    "sockscope report --format=t": "--format=text",
    "sockscope sql report --format c": "csv",  # a file that is called like a command
    "sockscope live --attach read=t": "read=tracepoint",
    "sockscope live --disable da": "data-ready",
    "sockscope check --fail-on cri": "critical",
    "sockscope serve dis": "dispatch",
    "sockscope completion f": "fish",
    "sockscope record -o two": "two words.x",
    "sockscope report it": "it's.x",
    "sockscope report dol": "dollar$HOME.x",
    "sockscope record --rotate 1h -- ls tw": "two words.x",
    "sockscope doctor tw": "",
    "sockscope live --port tw": "",
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of files that are called so, to complete in; it is the home, too."""
    place = tmp_path / "home"
    place.mkdir()
    for name in ("two words.x", "it's.x", "dollar$HOME.x"):
        (place / name).touch()
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    return place


def test_bash_completes_what_the_parsers_take(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = [script("bash", capsys)]
    for line in LINES:
        words = line.replace("=", " = ").split(" ")  # as readline splits them
        ask.append(
            f"COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; "
            "_sockscope; printf '%s\\0' \"${#COMPREPLY[@]} ${COMPREPLY[*]}\""
        )
    done = subprocess.run(
        ["bash"], input="\n".join(ask), capture_output=True, text=True, timeout=10, check=True
    )
    assert not done.stderr
    # of a word with = in it readline has only what follows
    assert done.stdout.split("\0")[:-1] == [
        f"1 {told.rpartition('=')[2]}" if told else "0 " for told in LINES.values()
    ]


def test_fish_completes_what_the_parsers_take(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _need("fish")
    ask = [script("fish", capsys)]
    for line in LINES:
        ask.append(f"echo (complete -C{shlex.quote(line)} | string replace -r '\\t.*' '')")
    done = subprocess.run(
        ["fish", "--no-config"], input="\n".join(ask), capture_output=True, text=True, timeout=10, check=True
    )
    assert not done.stderr
    assert done.stdout.splitlines() == list(LINES.values())


def test_zsh_completes_what_the_parsers_take(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At a terminal, for without one it has no completion: a key tells what a line has become."""
    _need("zsh")
    (files / ".zshrc").write_text(
        "PS1=; setopt no_beep; autoload -Uz compinit; compinit -u -D\n"
        f"{script('zsh', capsys)}\n"
        "tell() { print -r -- \"$BUFFER\" >>told; BUFFER= }\nzle -N tell; bindkey '^T' tell; : >told\n"
    )
    told = files / "told"
    ours, its = pty.openpty()
    command = ["setsid", "--ctty", "zsh", "-i", "-o", "no_global_rcs"]
    told_where = {**os.environ, "ZDOTDIR": str(files), "TERM": "xterm"}
    shell = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=told_where)
    os.set_blocking(ours, False)

    def answered(lines: int) -> bool:
        with contextlib.suppress(BlockingIOError):  # it is not to wait for somebody who looks
            os.read(ours, 65536)
        return told.exists() and told.read_bytes().count(b"\n") == lines

    try:
        wait_until(lambda: answered(0), what="zsh")
        for number, line in enumerate(LINES, 1):
            os.write(ours, f"{line}\t\x14".encode())
            wait_until(partial(answered, number), what=line)
    finally:
        shell.kill()
        shell.wait(10)
        os.close(its)
        os.close(ours)
    assert [shlex.split(line)[-1] for line in told.read_text().splitlines()] == [
        becomes or line.split(" ")[-1] for line, becomes in LINES.items()
    ]


def _need(shell: str) -> None:
    if shutil.which(shell) is None:
        assert not os.environ.get("CI"), f"{shell} is missing"
        pytest.skip(f"no {shell}")


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
