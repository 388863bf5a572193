"""The version, apart from everything else: the package's own module leads to all of it."""

from __future__ import annotations

__version__ = "0.1.0"
