"""Identify this build of sockscope by its version and commit."""

from __future__ import annotations

import importlib
import platform
import subprocess
from pathlib import Path

from sockscope.version import __version__


def commit() -> str:
    """The commit that this was built from; ``+changed`` behind it when files differed from it.

    Baked in when a wheel was built; in a checkout, what git says.  Empty when neither knows.
    """
    try:
        baked: str = importlib.import_module("sockscope._baked").COMMIT
        return baked
    except ImportError:
        return of_checkout(Path(__file__).resolve().parents[1])


def of_checkout(root: Path) -> str:
    """What git says of the checkout at ``root``; empty when it is none, or git does not answer."""
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=12", "--exclude=*"]
    try:
        if not (root / ".git").exists():
            return ""
        done = subprocess.run(
            [*command, "--dirty=+changed"], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def description() -> str:
    """``0.1.0 (commit 0123456789ab), Python 3.11.2, Linux 6.1.0``."""
    found = commit()
    built = f"commit {found}" if found else "commit unknown, not built from a git checkout"
    system = f"{platform.system()} {platform.release()}"
    return f"{__version__} ({built}), Python {platform.python_version()}, {system}"
