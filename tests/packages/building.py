"""Wheels and source archives, as ``python -m build`` makes them, and clean places to put them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Any moment will do; two builds of one moment are to be the same.
EPOCH = 1_700_000_000


def build(kind: str, source: Path, into: Path, **environment: str) -> Path:
    """What hatchling makes of ``source``: the file of a ``wheel`` or an ``sdist``."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    environ = {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), **environment}
    subprocess.run(command, cwd=source, env=environ, check=True, capture_output=True, timeout=60)
    (made,) = into.iterdir()
    return made


def installed(wheel: Path, place: Path) -> Path:
    """The command ``sockscope`` of ``wheel`` in a new environment that shows no system packages.

    Its dependencies are those of the environment that runs the tests: nothing is downloaded.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True, timeout=60)
    python = place / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=60)
    (packages,) = (place / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin" / "sockscope"
