"""Check that code, comments, help texts and docs avoid the words that puzzled readers.

Each entry of ``FORBIDDEN`` names a word or phrase, a regular expression that matches it as whole words, and
what to write instead.  ``NOT_YET`` lists the files that are not rewritten so far; it only ever shrinks.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Word(NamedTuple):
    """A forbidden word or phrase: an example, its pattern, and what to write instead."""

    example: str
    pattern: str
    instead: str


FORBIDDEN = (
    Word("tells", r"told|tells?|telling", "reports, shows, returns, documents"),
    Word("deeds", r"deeds?", "operation, I/O, event"),
    Word("whoever", r"who(m|so)?ever", "which thread, any user"),
    Word("anew", r"anew", "again, regenerate"),
    Word("amid", r"amid(st)?", "during"),
    Word("mended", r"mend(s|ed|ing)?", "fix"),
    Word("gravest", r"grav(er|est)", "most severe"),
    Word("for ever", r"for[ _]ever", "forever, indefinitely, or the duration"),
    Word("a way to", r"a[ _]way[ _]to", "how to, an attach method for"),
    Word("who waits", r"(who|nobody|somebody|everybody)[ _]waits?", "which thread waits, no waiter"),
    Word(
        "who accepts",
        r"who[ _](accepts?|accepted|reads?|writes?|wrote|answers?|answered|listens|listened|serves)",
        "which thread accepts",
    ),
    Word(
        "the servers' own books",
        r"(own|their|its|servers?'?s?'?|clients?'?s?'?)[ _]books",
        "ledger, counters",
    ),
    Word("woken in vain", r"in[ _]vain", "spuriously, with EAGAIN"),
    Word("hardly ever", r"hardly[ _]ever", "rarely"),
    Word("by its nature", r"by[ _]its[ _]nature", "by design"),
)
#: Words end at anything but a letter, so that ``told_here`` and ``test_it_is_told`` are found as well.
_FORBIDDEN = re.compile(
    "|".join(rf"(?P<w{n}>(?<![A-Za-z])(?:{word.pattern})(?![A-Za-z]))" for n, word in enumerate(FORBIDDEN)),
    re.I,
)

#: Legitimate technical uses, removed from a line before it is searched.
EXCEPTIONS = (
    re.compile(r"\.tell\(\)"),  # file.tell()
    # the idiom for "impossible to determine", which is also the meaning of exit status 4
    re.compile(r"\b(too (few|early)( \w+)? to|(can|could) ?not) tell\b", re.I),
)

#: Files that are not prose of this project: generated pictures, recordings and measurements.
SKIPPED = re.compile(
    r"\.(svg|png|sockscope|parquet|gz)$|^LICENSE$|^docs/benchmarks/results\.json$|^\.ci/locked-"
)

#: Not rewritten yet.  Remove an entry when its files are clean; never add one.
NOT_YET = (
    "docs/servers.md",  # quotes sentences of the verdict
    "sockscope/analysis/",
    "sockscope/cli/",
    "sockscope/host/",
    "sockscope/model/",
    "sockscope/records/",
    "sockscope/session/",
    "sockscope/store/",
    "sockscope/target.py",
    "sockscope/tracer/",
    "sockscope/tui/",
    "tests/browser.py",
    "tests/conftest.py",
    "tests/kernel/",
    "tests/servers/",
    "tests/synthetic/",
    "tests/tui/",
    "tests/unit/",
)


def tracked_files() -> list[str]:
    """Return the paths of all text files under version control, relative to the root."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split("\0") if name and not SKIPPED.search(name)]
    return [name for name in names if (ROOT / name).is_file()]


def violations(name: str) -> Iterator[str]:
    """Yield ``file:line: 'word': the line (write: …)`` for each forbidden word in a file."""
    for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
        searched = line
        for exception in EXCEPTIONS:
            searched = exception.sub("", searched)
        for match in _FORBIDDEN.finditer(searched):
            word = FORBIDDEN[int((match.lastgroup or "w0")[1:])]
            yield f"{name}:{number}: {match[0]!r}: {line.strip()[:120]} (write: {word.instead})"


def test_no_forbidden_word_in_rewritten_files() -> None:
    here = Path(__file__).relative_to(ROOT).as_posix()
    covered = [name for name in tracked_files() if name != here and not name.startswith(NOT_YET)]
    assert covered
    found = [violation for name in covered for violation in violations(name)]
    assert not found, f"{len(found)} forbidden words:\n" + "\n".join(found)


@pytest.mark.parametrize("word", FORBIDDEN, ids=lambda word: word.example)
def test_a_pattern_matches_its_example_and_no_part_of_another_word(word: Word) -> None:
    assert _FORBIDDEN.search(word.example)
    assert not _FORBIDDEN.search("recommended, intelligent, retelling, indeed, tellurium, engraver")


def test_names_are_searched_and_exceptions_are_not_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "some.py").write_text("position = file.tell()\ndef it_is_told(): ...\n")
    assert [one.split(": ")[1] for one in violations("some.py")] == ["'told'"]
