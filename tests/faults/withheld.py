"""How many events of sockets the kernel raised, and gave to no BPF program at all.

A kernel may run none for what is raised while some process of its choice is on the CPU, and an interrupt
counts as raised there, regardless of the process.  ftrace counts these too.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from sockscope.bpf import attaching, syscall
from sockscope.bpf.compiler import compile_probes
from sockscope.bpf.loader import ProgramSpec, load
from sockscope.bpf.maps import Map
from sockscope.bpf.tracefs import tracing_directory

#: What a connection's record is made of, but for what its threads do.
_EVENTS = ("inet_sock_set_state", "sk_data_ready")
_PROGRAM = """
BPF_ARRAY(seen, u64, 1);
int on_event(void *ctx)
{
	u32 zero = 0;
	u64 *count = seen.lookup(&zero);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}
"""


@contextmanager
def withheld_events() -> Iterator[list[int]]:
    """Afterwards the list has one number, which may be a few too high, never too low: ftrace counts from
    a moment earlier to a moment later."""
    found: list[int] = []
    loaded = load(
        compile_probes(_PROGRAM, ["-Wno-everything"], ["on_event"], ["seen"]),
        {},
        {event: ProgramSpec("on_event", "raw") for event in _EVENTS},
    )
    instance = tracing_directory() / "instances" / f"sockscope-{os.getpid()}"
    instance.mkdir()
    try:
        (instance / "buffer_size_kb").write_text("64")
        for event in _EVENTS:
            (instance / "events" / "sock" / event / "enable").write_text("1")
        links = [attaching.attach_raw(event, loaded.programs[event]) for event in _EVENTS]
        try:
            yield found
        finally:
            for link in links:
                os.close(link)
        given = int(Map(loaded.maps["seen"], np.dtype("<u4"), np.dtype("<u8")).get(0))
        given += sum(syscall.run_time(program)[2] for program in loaded.programs.values())
        found.append(_counted(instance) - given)
    finally:
        instance.rmdir()
        loaded.close()


def _counted(instance: Path) -> int:
    """The events in the ring of each CPU, and those that were written over."""
    text = "".join(path.read_text() for path in instance.glob("per_cpu/cpu*/stats"))
    return sum(map(int, re.findall(r"^(?:entries|overrun): (\d+)", text, re.MULTILINE)))
