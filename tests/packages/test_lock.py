"""The locked versions are what pyproject.toml asks for, each with hashes, and name no index."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packages.building import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {"demo": (), "test": ("test", "lint"), "fuzz": ("fuzz",)}


def _locked(what: str) -> dict[str, list[tuple[Requirement, int]]]:
    """Name → each version (there can be one for each Python) with the number of its hashes."""
    text = (ROOT / ".ci" / f"locked-{what}.txt").read_text().replace("\\\n", " ")
    found: dict[str, list[tuple[Requirement, int]]] = {}
    for line in text.splitlines():
        words, *hashes = line.split(" --hash=")
        requirement = Requirement(" ".join(words.split()))
        found.setdefault(canonicalize_name(requirement.name), []).append((requirement, len(hashes)))
    return found


@pytest.mark.parametrize("what", EXTRAS)
def test_what_the_project_asks_for_is_locked_to_a_version_that_it_allows(what: str) -> None:
    locked = _locked(what)
    asked = [*PROJECT["dependencies"]]
    for extra in EXTRAS[what]:
        asked += PROJECT["optional-dependencies"][extra]
    for text in asked:
        wanted = Requirement(text)
        assert canonicalize_name(wanted.name) in locked, f"{text}: run make lock"
        for held, _ in locked[canonicalize_name(wanted.name)]:
            (pin,) = held.specifier
            assert pin.operator == "=="
            assert wanted.specifier.contains(pin.version), f"{text}, locked at {pin.version}: run make lock"


@pytest.mark.parametrize("what", EXTRAS)
def test_every_locked_file_has_a_hash_and_no_index_is_named(what: str) -> None:
    assert all(hashes for versions in _locked(what).values() for _, hashes in versions)
    assert not re.search(
        r"://|--(extra-)?index-url|--find-links", (ROOT / ".ci" / f"locked-{what}.txt").read_text()
    )
