"""Check that the manual page is up to date and formats without warnings."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from sockscope.cli import COMMANDS, build_parser
from tests.docs_build.manual_page import PAGE, escaped, page


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="ascii") == page(), "the commands have changed: run `make man`"


def test_page_has_every_command_and_option() -> None:
    text = PAGE.read_text(encoding="ascii").replace("\\-", "-")
    parser, commands = build_parser([name for name, *_ in COMMANDS])
    assert re.findall(r"^\.SS ([\w-]+)$", text, re.M) == list(commands)
    (subparsers,) = (one for one in parser._actions if one.choices)
    for subparser in dict(subparsers.choices or {}).values():
        for action in subparser._actions:
            for option in action.option_strings:
                assert option in ("-h", "--help") or f"\\fB{option}\\fR" in text


@pytest.mark.skipif(not shutil.which("groff"), reason="needs groff")
def test_groff_reports_no_warning() -> None:
    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", str(PAGE)], capture_output=True, timeout=30, check=True
    )
    assert done.stderr == b""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout.decode())
    assert "sockscope report slow.sockscope --format html -o slow.html" in plain


@pytest.mark.skipif(not shutil.which("man"), reason="needs man")
def test_man_displays_the_page() -> None:
    done = subprocess.run(
        ["man", "--warnings", "-P", "cat", "-l", str(PAGE)],
        capture_output=True, text=True, timeout=30, check=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.stderr == ""
    assert "EXIT STATUS" in done.stdout


def test_control_characters_of_roff_are_escaped() -> None:
    assert escaped(".TH x\n'y \\n -a") == "\\&.TH x\n\\&'y \\en \\-a"
