"""Who listened, accepted, read and answered each TCP connection: the library.

:class:`Recorder` traces what happens now, :class:`Recording` reads what was recorded; both give a
:class:`Frame` at a moment, with the :class:`Server` verdicts, waits and :class:`Finding`\\ s of it.
docs/library.md has examples.  Names are imported when they are first asked for, so ``import sockscope``
costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sockscope.version import __version__

if TYPE_CHECKING:
    from sockscope.analysis.fairness import Fairness, fairness
    from sockscope.analysis.frame import Finding, Frame, Group, Server, Wait
    from sockscope.api import Recorder, Recording, render
    from sockscope.errors import SockscopeError, UsageError
    from sockscope.model.snapshot import Listener, Snapshot, Worker
    from sockscope.records.batch import Meta
    from sockscope.target import Target

#: Public name → the module that has it.  Nothing else is promised to stay.
_WHERE = {
    "Fairness": "sockscope.analysis.fairness",
    "Finding": "sockscope.analysis.frame",
    "Frame": "sockscope.analysis.frame",
    "Group": "sockscope.analysis.frame",
    "Listener": "sockscope.model.snapshot",
    "Meta": "sockscope.records.batch",
    "Recorder": "sockscope.api",
    "Recording": "sockscope.api",
    "Server": "sockscope.analysis.frame",
    "Snapshot": "sockscope.model.snapshot",
    "SockscopeError": "sockscope.errors",
    "Target": "sockscope.target",
    "UsageError": "sockscope.errors",
    "Wait": "sockscope.analysis.frame",
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
