"""Once everything is attached, a tracer needs little: give the rest up, and under sudo be its caller."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from pwd import struct_passwd

from sockscope.host import privileges
from sockscope.host.privileges import Capability

_FOR_FILES = (Capability.DAC_OVERRIDE, Capability.CHOWN, Capability.FOWNER)


def drop_privileges(folders: Iterable[Path] = (), *, has_child: bool = False) -> None:
    """Keep only what tracing goes on with, for good.

    Under sudo the process becomes the user who called it, so its files and its user interface are that
    user's; it stays root when that user may not write to ``folders``, or when it has a command to end.
    To be called before other threads start.  Where a capability is kept besides, it is for the files in
    ``folders``, for the command, or for Python's own modules where the user may not read them.

    :param folders: where files will be written
    :param has_child: a command was started that is to be ended
    """
    wanted = [Path(folder) for folder in folders]
    user = privileges.invoker()
    if user and (has_child or not all(privileges.may(user, folder, os.W_OK | os.X_OK) for folder in wanted)):
        user = None
    more: list[Capability] = []
    if has_child:
        more.append(Capability.KILL)
    if user is None and not all(_is_ours(folder) for folder in wanted):
        more += _FOR_FILES
    privileges.give_up(user, more + _for_own_code(user))


def drop_to_invoking_user() -> None:
    """Under sudo, be the user who called it from now on, for what shows something and traces nothing.

    To be called before other threads start, when everything is open that only root may open.
    """
    user = privileges.invoker()
    if user is not None:
        privileges.give_up(user, _for_own_code(user), tracing=False)


def _for_own_code(user: struct_passwd | None) -> list[Capability]:
    """What modules need that are imported later, from folders that ``user`` may not enter."""
    there = all(_still_readable(user, place) for place in _own_code())
    return [] if there else [Capability.DAC_READ_SEARCH]


def _is_ours(folder: Path) -> bool:
    """Whether the owner's own rights are enough there."""
    try:
        found = folder.stat()
    except OSError:
        return True  # whoever writes there says what is wrong
    return found.st_uid == os.geteuid() and bool(found.st_mode & 0o200)


def _still_readable(user: struct_passwd | None, place: Path) -> bool:
    if user is not None:
        return privileges.may(user, place, os.R_OK)
    return privileges.readable_without((Capability.DAC_READ_SEARCH, Capability.DAC_OVERRIDE), place)


def _own_code() -> list[Path]:
    """Where modules will be imported from that are not needed until later."""
    return [Path(os.__file__).parent, Path(sys.modules["sockscope"].__file__ or "").parent]
