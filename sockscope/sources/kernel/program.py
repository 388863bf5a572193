"""Compile the probes with bcc, load what the chosen ways need, attach, detach.

bcc rewrites only the main text, so probes/ is concatenated into one; ``#line`` keeps the names and
lines of error messages true.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from sockscope.errors import SockscopeError
from sockscope.records import layout
from sockscope.sources.kernel import syscall
from sockscope.sources.kernel.bcc_module import load_bcc
from sockscope.sources.kernel.btf import Btf
from sockscope.sources.kernel.headers import kernel_structs, write_stub_tree
from sockscope.sources.kernel.maps import Map
from sockscope.sources.kernel.ring import Ring
from sockscope.sources.kernel.signals import Hook, Way
from sockscope.sources.kernel.tracefs import tracing_directory

PROBES = ("state", "lifecycle", "accept", "io", "wait", "wake", "tasks", "seed")
_ITERATORS = {"task_file": "bpf_iter__task_file", "task": "bpf_iter__task", "tcp": "bpf_iter__tcp"}
_U8, _U16, _U32, _U64 = (np.dtype(f"<u{size}") for size in (1, 2, 4, 8))

#: Map → (key, value) for :class:`Map`.
_MAPS: dict[str, tuple[np.dtype[Any], np.dtype[Any]]] = {
    "connections": (_U64, layout.CONNECTION),
    "listeners": (_U64, layout.LISTENER),
    "workers": (_U32, layout.WORKER),
    "more_io": (layout.IO_KEY, layout.IO),
    "wakes": (layout.WAKE_KEY, layout.WAKE_COUNT),
    "servers": (_U32, _U8),
    "target_pids": (_U32, _U8),
    "target_ports": (_U16, _U8),
    "seeds": (_U64, _U8),
    "seed_ports": (_U64, _U8),
    "target": (_U32, layout.TARGET),
    "serials": (_U32, _U64),
    "losses": (_U32, _U64),
}
_RINGS = {"closed": layout.CONNECTION, "ended": layout.WORKER, "shut": layout.LISTENER}


class LoadError(SockscopeError):
    """The kernel or bcc refused the probes."""


@dataclass(frozen=True)
class Limits:
    """Room in the kernel, in elements; rings in pages of 4 KiB (powers of two).

    What does not fit is counted, never silently dropped.
    """

    connections: int = 65536
    listeners: int = 4096
    workers: int = 8192
    processes: int = 4096
    more_io: int = 65536
    wakes: int = 16384
    closed_pages: int = 4096
    ended_pages: int = 512
    shut_pages: int = 16

    def defines(self) -> list[str]:
        names = {field.name: getattr(self, field.name) for field in fields(self)}
        return [
            f"-D{name.upper()}={value}" if name.endswith("_pages") else f"-DMAX_{name.upper()}={value}"
            for name, value in names.items()
        ]


def probe_directory() -> Path:
    """Where the probes' source is: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    for place in (package / "probes", package.parent / "probes"):
        if (place / "records.h").is_file():
            return place
    raise LoadError(f"the probes' source is missing beside {package}; reinstall sockscope")


def program_text(structs: str, probes: Path) -> str:
    """One text for bcc: the kernel's structs, the contract, the probes."""
    parts = [f'#line 1 "kernel_structs.h"\n{structs}']
    for name in ("records.h", *(f"{probe}.bpf.c" for probe in PROBES)):
        parts.append(f'#line 1 "{name}"\n{(probes / name).read_text()}')
    return "\n".join(parts)


class Program:
    """The loaded probes.  Use as a context manager: leaving it detaches everything.

    :raises LoadError: when bcc cannot compile or the kernel refuses to load
    """

    def __init__(self, btf: Btf, limits: Limits) -> None:
        self.limits = limits
        self._stack = ExitStack()
        self._attached: list[tuple[str, str]] = []
        self._loaded: dict[str, Any] = {}
        module = load_bcc()
        self._kinds = {"raw": module.BPF.RAW_TRACEPOINT, "tracepoint": module.BPF.TRACEPOINT}
        self._tracing = getattr(module.BPF, "TRACING", 26)
        structs = kernel_structs(btf)
        tracing_directory()
        with tempfile.TemporaryDirectory(prefix="sockscope-") as tree, _environment(BCC_KERNEL_SOURCE=tree):
            write_stub_tree(Path(tree))
            flags = ["-Wno-everything", *limits.defines(), *structs.defines]
            try:
                self._bpf = module.BPF(text=program_text(structs.text, probe_directory()), cflags=flags)
            except Exception as error:  # bcc raises plain Exception
                raise LoadError(f"bcc could not compile the probes ({error}); see what it printed above") from error
        self.maps = {name: Map(self._bpf[name].map_fd, key, value) for name, (key, value) in _MAPS.items()}
        pages = {"closed": limits.closed_pages, "ended": limits.ended_pages, "shut": limits.shut_pages}
        self.rings = {name: Ring(self._bpf[name].map_fd, pages[name], record) for name, record in _RINGS.items()}

    def attach(self, hook: Hook) -> None:
        """Load the hook's function, once, and attach it.

        :raises LoadError: when the kernel refuses either
        """
        function = self._load(hook.function, self._kinds[hook.kind])
        try:
            if hook.kind == "raw":
                self._bpf.attach_raw_tracepoint(tp=hook.place, fn_name=hook.function)
            else:
                self._bpf.attach_tracepoint(tp=hook.place, fn_name=hook.function)
        except Exception as error:  # bcc raises plain Exception
            raise LoadError(f"the kernel refused to attach to {hook.place} ({error})") from error
        del function
        self._attached.append((hook.kind, hook.place))

    def attach_ways(self, chosen: Mapping[str, Way | None], available: Any) -> None:
        """Attach all hooks of the chosen ways; of system calls those that this machine has."""
        for way in chosen.values():
            for hook in way.hooks if way else ():
                if hook.kind == "raw" or available(hook):
                    self.attach(hook)

    def iterate(self, name: str, record: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
        """Run the iterator ``task_file``, ``task`` or ``tcp`` once; what it printed, as records."""
        function = self._load(_ITERATORS[name], self._tracing)
        raw = syscall.read_iterator(function.fd)
        return np.frombuffer(raw, record)

    def run_time(self) -> tuple[int, int]:
        """(nanoseconds, runs) of all probes while BPF statistics were on."""
        spent = [syscall.run_time(function.fd) for function in self._loaded.values()]
        return sum(ns for ns, _ in spent), sum(runs for _, runs in spent)

    def detach(self) -> None:
        """Detach every probe; maps and rings stay readable."""
        while self._attached:
            kind, place = self._attached.pop()
            if kind == "raw":
                self._bpf.detach_raw_tracepoint(tp=place)
            else:
                self._bpf.detach_tracepoint(tp=place)

    def close(self) -> None:
        self.detach()
        for ring in self.rings.values():
            ring.close()
        self._bpf.cleanup()

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _load(self, function: str, kind: int) -> Any:
        if function not in self._loaded:
            try:
                self._loaded[function] = self._bpf.load_func(function, kind)
            except Exception as error:  # bcc raises plain Exception
                raise LoadError(f"the kernel refused to load {function} ({error}); sockscope doctor says more") from error
        return self._loaded[function]


class _environment:
    """Environment variables for the length of a with block."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._values}
        os.environ.update(self._values)

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
