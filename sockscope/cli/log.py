"""Diagnostic messages on stderr: ``--verbose`` or ``SOCKSCOPE_LOG``; silent by default."""

from __future__ import annotations

import logging
import os
import sys

from sockscope.errors import UsageError

#: Environment variable with a level of :mod:`logging`: debug, info, warning.
VARIABLE = "SOCKSCOPE_LOG"
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def configure_logging(verbose: bool) -> None:
    """Send messages of the ``sockscope`` loggers to stderr, if the user asked for them.

    :param verbose: whether ``--verbose`` was given; it means ``debug``
    :raises UsageError: when the environment variable has an unknown level
    """
    name = "debug" if verbose else os.environ.get(VARIABLE, "").lower()
    if not name:
        return
    if name not in _LEVELS:
        raise UsageError(f"{VARIABLE}={name}: unknown level", hint=f"levels: {', '.join(_LEVELS)}")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(relativeCreated)7.0f ms %(name)s: %(message)s"))
    logger = logging.getLogger("sockscope")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(_LEVELS[name])
