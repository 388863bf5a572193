"""The probes in the kernel: compile, load, attach and detach them.

bcc rewrites only the main text, so probes/ is concatenated into one; ``#line`` keeps the names and
lines of error messages true.
"""

from __future__ import annotations

import mmap
import os
import re
import resource
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.bpf import attaching, syscall
from sockscope.bpf.bcc_module import bcc_identity
from sockscope.bpf.btf import Btf
from sockscope.bpf.kernel_headers import kernel_structs
from sockscope.bpf.loader import LoadError, ProgramSpec, load
from sockscope.bpf.maps import Map
from sockscope.bpf.object_cache import CompiledObject, ObjectCache
from sockscope.bpf.ring import Ring
from sockscope.bpf.slot_array import SlotArray
from sockscope.bpf.tracefs import event_number
from sockscope.records import layout
from sockscope.tracer import drops
from sockscope.tracer.attach_methods import BY_BTF, BY_KPROBE, Hook
from sockscope.tracer.function_constants import function_constants
from sockscope.tracer.map_defs import EVENTS, MAPS, PRIVATE, RINGS, SLOT_ARRAYS, MapSizes
from sockscope.tracer.mptcp_constants import mptcp_constants
from sockscope.tracer.wait_queues import wait_queues

#: The probes' files in the order in which they become one text: what others use comes first.
PROBES = (
    "slot_index",
    "maps",
    "threads",
    "sockets",
    "connections",
    "waiters",
    "recursion_guard",
    "lifecycle",
    "sock_state",
    "accept",
    "compat",
    "io",
    "fallback_hooks",
    "wait",
    "wake",
    "tasks",
    "initial_scan",
    "reap",
)
#: What of the kernel's a function bpf_iter__NAME runs over.
_ITERATORS = ("task_file", "task", "tcp")
#: Functions run_NAME that user space runs itself.
_RUN = ("reap",)


def probe_directory() -> Path:
    """Return the directory of the probes: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "probes", package.parent / "probes"):
        if (place / "records.h").is_file():
            return place
    raise LoadError(f"the source of the probes is missing beside {package}", hint="reinstall sockscope")


def program_text(structs: str, probes: Path) -> str:
    """Return one text for bcc: kernel structs, records.h, the probes."""
    parts = [f'#line 1 "kernel_structs.h"\n{structs}']
    for name in ("records.h", *(f"{probe}.bpf.c" for probe in PROBES)):
        parts.append(f'#line 1 "{name}"\n{(probes / name).read_text()}')
    return "\n".join(parts)


def _compiled(btf: Btf, cache: ObjectCache, detail: bool) -> CompiledObject:
    """Return the probes for this kernel, from the cache or newly compiled."""
    structs = kernel_structs(btf)
    text = program_text(structs.text, probe_directory())
    defines = [*structs.defines, *function_constants(btf), *mptcp_constants(btf), *wait_queues(btf)]
    defines += ["-DWITH_DETAIL"] if detail else []
    key = cache.key(text, *defines, bcc_identity())
    image = cache.get(key)
    if image is None:
        from sockscope.bpf.compiler import compile_probes

        functions = re.findall(r"^int (on_\w+|run_\w+|bpf_iter__\w+)\(", text, re.MULTILINE)
        rings = [*RINGS, *([EVENTS] if detail else [])]
        image = compile_probes(
            text, ["-Wno-everything", *defines], functions, [*MAPS, *SLOT_ARRAYS, *rings, *PRIVATE]
        )
        cache.put(key, image)
    return image


def _iterator(btf: Btf, over: str) -> int:
    number = btf.function(f"bpf_iter_{over}")
    if number is None:
        raise LoadError(f"the kernel has no BPF iterator {over}", hint="Linux 5.9 or later is needed")
    return number


def _iterating(name: str) -> str:
    return f"bpf_iter__{name}"


def _running(name: str) -> str:
    return f"run_{name}"


def _name(hook: Hook) -> str:
    """Return the name of a program; one bound to a kernel function by BTF is loaded once per function."""
    return f"{hook.function}:{hook.place}" if hook.kind in BY_BTF else hook.function


def _traced(btf: Btf, hook: Hook) -> int:
    number = btf.function(hook.place) if hook.kind in BY_BTF else 0
    if number is None:
        raise LoadError(
            f"the kernel has no function {hook.place}", hint="sockscope doctor lists the attach methods"
        )
    return number


def _typed(btf: Btf, hook: Hook) -> tuple[str, int] | None:
    number = btf.tracepoint(hook.place) if hook.typed else None
    return (hook.typed, number) if number is not None else None


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


class BpfObject:
    """The loaded probes; use as a context manager, which releases everything.

    :param hooks: what will be attached, so that just that is loaded
    :param cache: where compiled probes are kept
    :param detail: also record every operation as an event, in the ring ``events``
    :raises SockscopeError: when bcc is missing or cannot compile, or the kernel refuses to load
    """

    def __init__(
        self,
        btf: Btf,
        limits: MapSizes,
        hooks: Iterable[Hook],
        cache: ObjectCache | None = None,
        *,
        detail: bool = False,
    ) -> None:
        image = _compiled(btf, cache or ObjectCache(), detail)
        wanted = {
            _name(hook): ProgramSpec(hook.function, hook.kind, _traced(btf, hook), _typed(btf, hook))
            for hook in hooks
        }
        for name in _ITERATORS:
            wanted[_iterating(name)] = ProgramSpec(_iterating(name), "iterator", _iterator(btf, name))
        for name in _RUN:
            wanted[_running(name)] = ProgramSpec(_running(name), "raw")
        self._links: list[int] = []
        self._detaching: threading.Thread | None = None
        self._loaded = load(image, limits.room(), wanted)
        loaded = self._loaded
        self._programs = loaded.programs
        self.maps = {name: Map(loaded.maps[name], key, value) for name, (key, value) in MAPS.items()}
        rings = {**RINGS, **({EVENTS: layout.EVENT} if detail else {})}
        room = limits.room()
        self.maps["bucket_count"].put(0, room["buckets"])
        self.places = {
            name: SlotArray(loaded.maps[name], record, room[name], (self.maps["slots_used"], index))
            for name, (index, record) in SLOT_ARRAYS.items()
        }
        self.rings = {
            name: Ring(loaded.maps[name], room[name] // mmap.PAGESIZE, record)
            for name, record in rings.items()
        }

    def attach(self, hook: Hook) -> None:
        """Attach one of the hooks given at creation.

        :raises LoadError: when the kernel refuses
        """
        program = self._programs[_name(hook)]
        try:
            if hook.kind in BY_BTF or _name(hook) in self._loaded.typed:
                link = attaching.attach_function(program)
            elif hook.kind == "raw":
                link = attaching.attach_raw(hook.place, program)
            elif hook.kind in BY_KPROBE:
                link = attaching.attach_kprobe(hook.place, program, at_return=hook.kind == "kretprobe")
            else:
                number = event_number(*hook.place.split(":"))
                if number is None:
                    raise LoadError(
                        f"the kernel has no tracepoint {hook.place}",
                        hint="sockscope doctor lists the attach methods",
                    )
                link = attaching.attach_tracepoint(number, program)
        except OSError as error:
            raise LoadError(
                f"the kernel refused to attach to {hook.place} ({error.strerror})",
                hint="sockscope doctor shows why",
            ) from error
        self._links.append(link)

    def iterate(self, name: str, record: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
        """Run an iterator once and return its output as records."""
        return np.frombuffer(syscall.read_iterator(self._programs[_iterating(name)]), record)

    def run(self, name: str, *arguments: int) -> int:
        """Run an unattached program once and return its result.

        :raises OSError: when the kernel does not run it
        """
        return syscall.run_program(self._programs[_running(name)], *arguments)

    def run_time(self) -> tuple[int, int]:
        """Return (nanoseconds, runs) of all probes while BPF statistics were enabled.

        Programs that run in our own process are left out: their time is part of its CPU time.
        """
        ours = {*map(_iterating, _ITERATORS), *map(_running, _RUN)}
        spent = [syscall.run_time(program) for name, program in self._programs.items() if name not in ours]
        return sum(ns for ns, _, _ in spent), sum(runs for _, runs, _ in spent)

    def misses(self) -> dict[str, int]:
        """Return function → events missed because of BPF program recursion on the same CPU."""
        missed = {name: syscall.run_time(program)[2] for name, program in self._programs.items()}
        return drops.count_unseen_events(
            missed, self.maps["rescued"].read_array(len(drops.TWO_FOR_ONE)).tolist()
        )

    def detach(self) -> None:
        """Begin to take the probes off; maps and rings stay readable.

        For each system call's probe the kernel waits until all CPUs have passed by (RCU, 30 to 80 ms;
        kernel/trace/trace_event_perf.c, perf_trace_event_unreg), a second in all.  That goes on in a thread,
        and :meth:`close` waits for it; not where address space is limited: Python waits indefinitely for a
        thread that cannot start for lack of memory.
        """
        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            return
        links, self._links = self._links, []
        if links:
            self._detaching = threading.Thread(target=_close_all, args=(links,), name="detach")
            self._detaching.start()

    def close(self) -> None:
        """Detach, and release programs and maps."""
        self.detach()
        if self._detaching is not None:
            self._detaching.join()
        _close_all(self._links)
        for ring in self.rings.values():
            ring.close()
        for records in self.places.values():
            records.close()
        self._loaded.close()

    def __enter__(self) -> BpfObject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
