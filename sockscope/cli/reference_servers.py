"""Import the reference servers: ``sockscope.servers`` when installed, ``servers`` in a checkout."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any


def package_name() -> str:
    """Return the import name of the package that holds the reference servers.

    The wheel installs one import name, ``sockscope``; a checkout keeps ``servers/`` beside it.
    """
    installed = f"{__package__.partition('.')[0]}.servers"
    return installed if importlib.util.find_spec(installed) else "servers"


def import_reference_servers(module: str = "") -> Any:
    """Import the package of the reference servers, or one of its modules, for example ``models``."""
    return importlib.import_module(f"{package_name()}.{module}" if module else package_name())
