"""Which thread listened, accepted, read and answered each TCP connection: the Python API.

:class:`Recorder` traces live servers, :class:`Recording` reads recordings; both return a :class:`Frame`
with the :class:`Server` verdicts, waits and :class:`Finding`\\ s at one point in time. docs/api.md
has examples. Names are imported on first use, so ``import sockscope`` is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sockscope.version import __version__

if TYPE_CHECKING:
    from sockscope.analysis.fairness import Fairness, fairness
    from sockscope.analysis.frame import Finding, Frame
    from sockscope.analysis.server import Group, Server, Wait
    from sockscope.api import Recorder, Recording, render
    from sockscope.errors import SockscopeError, UsageError
    from sockscope.model.snapshot import Listener, Snapshot, Worker
    from sockscope.records.batch import Meta
    from sockscope.target import Target

#: Public name → its module; everything else may change without notice.
_WHERE = {
    "Fairness": "sockscope.analysis.fairness",
    "Finding": "sockscope.analysis.frame",
    "Frame": "sockscope.analysis.frame",
    "Group": "sockscope.analysis.server",
    "Listener": "sockscope.model.snapshot",
    "Meta": "sockscope.records.batch",
    "Recorder": "sockscope.api",
    "Recording": "sockscope.api",
    "Server": "sockscope.analysis.server",
    "Snapshot": "sockscope.model.snapshot",
    "SockscopeError": "sockscope.errors",
    "Target": "sockscope.target",
    "UsageError": "sockscope.errors",
    "Wait": "sockscope.analysis.server",
    "Worker": "sockscope.model.snapshot",
    "fairness": "sockscope.analysis.fairness",
    "render": "sockscope.api",
}

__all__ = [
    "Fairness",
    "Finding",
    "Frame",
    "Group",
    "Listener",
    "Meta",
    "Recorder",
    "Recording",
    "Server",
    "Snapshot",
    "SockscopeError",
    "Target",
    "UsageError",
    "Wait",
    "Worker",
    "__version__",
    "fairness",
    "render",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'sockscope' has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
