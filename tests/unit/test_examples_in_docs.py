"""Check that README and tutorials show what the commands print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs_build.examples import PAGES, commands, updated


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_example_output_is_what_the_commands_print(path: Path) -> None:
    page = path.read_text()
    assert page == updated(page), "the output has changed: run `make examples`"


def test_readme_and_tutorials_have_reproducible_examples() -> None:
    assert sum(len(list(commands(path.read_text()))) for path in PAGES) >= 4
