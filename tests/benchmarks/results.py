"""Store the measurements as JSON, run by run, and format them as tables: median, minimum and maximum."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks"
JSON = HERE / "results.json"
TABLES = HERE / "results.md"

Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """What the figures are of."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    return {
        "cpu": model[1].strip() if model else platform.processor(),
        "cpus": os.cpu_count(),
        "memory_gib": round(int(memory[1]) / 2**20) if memory else 0,
        "kernel": platform.release(),
        "machine": platform.machine(),
        "virtual": "hypervisor" in cpuinfo,
        "clock": clock.read_text().strip() if clock.exists() else "",
        "python": platform.python_version(),
    }


class Results:
    """Rows by section, added to run by run: a benchmark may be made in slices."""

    def __init__(self, path: Path = JSON) -> None:
        self._path = path
        held = json.loads(path.read_text()) if path.exists() else {}
        self.sections: dict[str, list[Row]] = held.get("sections", {})

    def add(self, section: str, rows: Iterable[Row]) -> None:
        self.sections.setdefault(section, []).extend(rows)

    def replace(self, section: str, rows: Iterable[Row]) -> None:
        self.sections[section] = list(rows)

    def save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        held = {"machine": machine(), "measured": time.strftime("%Y-%m-%d"), "sections": self.sections}
        rounded = json.loads(json.dumps(held), parse_float=lambda text: float(f"{float(text):.6g}"))
        self._path.write_text(json.dumps(rounded, indent=1) + "\n")


def median(values: Iterable[float | None]) -> float | None:
    held = [value for value in values if value is not None]
    return statistics.median(held) if held else None


def spread(values: Iterable[float | None], form: str = "{:.2f}") -> str:
    """``0.97 (0.93 to 1.02)``: the median, the least and the most."""
    held = [value for value in values if value is not None]
    if not held:
        return "–"
    if len(held) == 1:
        return form.format(held[0])
    return f"{form.format(statistics.median(held))} ({form.format(min(held))} to {form.format(max(held))})"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups
