"""Makes this folder's helpers importable, and lets tests be plain functions that run the app."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
