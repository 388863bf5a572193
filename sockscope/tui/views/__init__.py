"""The numbered views, in the order of their keys."""

from __future__ import annotations

from sockscope.tui.views.base import View
from sockscope.tui.views.connections import ConnectionsView
from sockscope.tui.views.findings import FindingsView
from sockscope.tui.views.latency import LatencyView
from sockscope.tui.views.listeners import ListenersView
from sockscope.tui.views.overview import OverviewView
from sockscope.tui.views.workers import WorkersView

#: key, identity, class.  A test proves that every screen in this folder is listed.
VIEWS: tuple[tuple[str, str, type[View]], ...] = (
    ("1", "overview", OverviewView),
    ("2", "listeners", ListenersView),
    ("3", "workers", WorkersView),
    ("4", "connections", ConnectionsView),
    ("5", "findings", FindingsView),
    ("6", "latency", LatencyView),
)
