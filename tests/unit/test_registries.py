"""Every registry names everything that lies in its folder: nothing is written and then forgotten."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from sockscope.cli import COMMANDS
from sockscope.tracer import compat, map_defs, why_tracer
from sockscope.tracer.bpf_object import PROBES, probe_directory
from sockscope.tracer.event_sources import SIGNALS

ROOT = Path(__file__).resolve().parents[2]
#: A program of its own, not part of the text of the others.
STANDALONE = "why"
#: Modules of the commands' folder that are no commands.
HELPERS = {
    "deprecated",
    "log",
    "completion_scripts",
    "output",
    "record_plan",
    "reference_servers",
    "start_page",
    "status_line",
    "target_options",
}


def test_every_module_of_the_commands_is_listed() -> None:
    present = {path.stem for path in (ROOT / "sockscope" / "cli").glob("*.py")} - {"__init__"} - HELPERS
    assert {module for _, module, _, _ in COMMANDS} == present


def test_the_help_of_a_command_is_the_first_line_of_its_docstring() -> None:
    for name, module, attribute, summary in COMMANDS:
        command = getattr(importlib.import_module(f"sockscope.cli.{module}"), attribute)
        assert command.name == name
        assert command.__doc__.splitlines()[0] == summary


def test_every_probe_file_is_compiled() -> None:
    assert {path.name.removesuffix(".bpf.c") for path in probe_directory().glob("*.bpf.c")} == {
        *PROBES,
        STANDALONE,
    }


def test_every_function_that_a_signal_names_exists_in_the_probes_and_the_other_way_round() -> None:
    text = "".join((probe_directory() / f"{name}.bpf.c").read_text() for name in PROBES)
    written = set(re.findall(r"^int (on_\w+)\(", text, re.M))
    hooks = [hook for signal in SIGNALS for method in signal.methods for hook in method.hooks]
    attached = {hook.function for hook in (*hooks, compat.COMPAT_ACCEPTS)}
    assert attached | {hook.typed for hook in hooks} - {""} == written


def test_every_map_of_the_probes_is_in_the_registry_of_what_they_keep_and_the_other_way_round() -> None:
    text = "".join((probe_directory() / f"{name}.bpf.c").read_text() for name in PROBES)
    declared = re.findall(
        r"^BPF_(?:F_)?(TABLE|ARRAY|PERCPU_ARRAY|STACK|QUEUE|RINGBUF_OUTPUT)\((?:\"\w+\", [\w ]+, [\w ]+, )?(\w+)",
        text,
        re.M,
    )
    rings = {name for kind, name in declared if kind == "RINGBUF_OUTPUT"}
    others = {name for kind, name in declared if kind != "RINGBUF_OUTPUT"}
    assert rings == {*map_defs.RINGS, map_defs.EVENTS}
    assert others == {*map_defs.MAPS, *map_defs.SLOT_ARRAYS, *map_defs.PRIVATE}
    assert map_defs.MapSizes().room().keys() <= rings | others


def test_every_map_and_hook_of_the_time_accounting_probe_is_in_its_tracer() -> None:
    text = (probe_directory() / f"{STANDALONE}.bpf.c").read_text()
    assert set(re.findall(r"^BPF_TABLE\(\"\w+\", [\w ]+, [\w ]+, (\w+)", text, re.M)) == {
        *why_tracer.MAPS,
        *why_tracer.PRIVATE,
    }
    assert set(re.findall(r"^int (on_\w+)\(", text, re.M)) == {*why_tracer.HOOKS, why_tracer.SAMPLER}
    losses = re.search(r"enum why_loss {(.*?)}", text, re.S)
    assert losses is not None
    assert losses[1].count("WHY_LOST_") == len(why_tracer.LOSSES)
