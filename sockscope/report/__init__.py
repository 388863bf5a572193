"""Reports: one exporter a file, all fed with a Frame, and the visible list of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sockscope.analysis.frame import Frame
    from sockscope.model.history import HistoryView

#: What ``--format`` offers, and the module of each; a module is imported when it is asked for.
FORMATS: tuple[tuple[str, str], ...] = (
    ("text", "text"),
    ("json", "json"),
    ("markdown", "markdown"),
    ("html", "html.page"),
)

#: Formats that also show what happened when.
WITH_HISTORY = frozenset({"text", "json", "html"})

#: Formats that list connections one by one.
WITH_CONNECTIONS = frozenset({"json"})


def render(
    name: str, frame: Frame, history: HistoryView | None = None, connections: int | None = None
) -> str:
    """The report in one of :data:`FORMATS`.

    :param connections: how many are listed where they are listed one by one; None: 10,000
    :raises SockscopeError: when that format needs what is not installed
    """
    module = importlib.import_module(f"sockscope.report.{dict(FORMATS)[name]}")
    further: dict[str, object] = {}
    if name in WITH_HISTORY:
        further["history"] = history
    if name in WITH_CONNECTIONS and connections is not None:
        further["connections"] = connections
    text: str = module.render(frame, **further)
    return text
