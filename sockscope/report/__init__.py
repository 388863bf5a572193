"""Reports: one exporter a file, all fed with a Frame, and the visible list of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sockscope.analysis.frame import Frame
from sockscope.report import json, text

#: What ``--format`` offers.
FORMATS: Mapping[str, Callable[[Frame], str]] = {
    "text": text.render,
    "json": json.render,
}
