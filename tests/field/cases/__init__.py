"""One field case a module, each with its public source; ``FAULTS`` and ``CONTROLS`` have them all."""

from __future__ import annotations

import importlib
import pkgutil

from tests.field.stage import FieldCase

_ALL: tuple[FieldCase, ...] = tuple(
    importlib.import_module(f"{__name__}.{found.name}").CASE for found in pkgutil.iter_modules(__path__)
)
FAULTS = tuple(case for case in _ALL if case.expected)
HEALTHY = tuple(case for case in _ALL if not case.expected)
