"""BPF programs in the kernel, and who holds them: other tracers may be at work on this machine."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import suppress
from pathlib import Path


def loaded() -> dict[int, str]:
    """id → name of every program in the kernel."""
    command = ["bpftool", "prog", "show", "-j"]
    told = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout
    return {program["id"]: program.get("name", "") for program in json.loads(told)}


def objects_of(pid: int | str) -> set[tuple[str, int]]:
    """(``prog``, ``map`` or ``link``, id) of what a process has descriptors of (proc(5), fdinfo)."""
    found: set[tuple[str, int]] = set()
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with suppress(OSError):  # closed meanwhile
            ids = re.findall(r"^(prog|map|link)_id:\s*(\d+)", info.read_text(), re.MULTILINE)
            found.update((kind, int(number)) for kind, number in ids)
    return found


def held_by(pid: int | str) -> dict[int, str]:
    """id → name of the programs of a process."""
    held = objects_of(pid)
    return {number: name for number, name in loaded().items() if ("prog", number) in held}
