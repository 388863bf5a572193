"""Keep the example output in README and tutorials identical to what the commands print: ``make examples``.

A ``console`` block whose command reads the shipped recording is run again and its output replaced.  Blocks
that trace a live server (``sudo``, ``listeners``) cannot be reproduced exactly and are left alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs" / "tutorials").glob("*.md")))

_BLOCK = re.compile(r"^```console\n\$ (sockscope [^\n]*docs/recordings/[^\n]*)\n(.*?)^```$", re.S | re.M)


def commands(page: str) -> Iterator[str]:
    """Yield the command of each block that can be reproduced."""
    for block in _BLOCK.finditer(page):
        yield block[1]


def updated(page: str) -> str:
    """Return the page with the output that its commands print now."""
    return _BLOCK.sub(lambda block: f"```console\n$ {block[1]}\n{output(block[1])}```", page)


def output(command: str) -> str:
    """Run ``sockscope …`` in the root of the checkout and return what it prints."""
    words = f"'{sys.executable}' -m {command}"
    done = subprocess.run(
        ["sh", "-c", words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.stderr, done.stderr
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(updated(path.read_text()))
