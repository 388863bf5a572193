"""Trace where the time of processes' threads goes: load probes/why.bpf.c, attach it, read its sums."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sockscope import formatting
from sockscope.bpf import attaching, syscall
from sockscope.bpf.bcc_module import bcc_identity
from sockscope.bpf.btf import Btf
from sockscope.bpf.kernel_headers import kernel_structs
from sockscope.bpf.loader import LoadError, ProgramSpec, load
from sockscope.bpf.maps import Map
from sockscope.bpf.object_cache import CompiledObject, ObjectCache
from sockscope.host import procfs, syscalls
from sockscope.host.threads import threads
from sockscope.symbols.kernel import KernelSymbols
from sockscope.symbols.process import ProcessSymbols
from sockscope.symbols.python import PythonInterpreter, UnsupportedPythonError
from sockscope.tracer.bpf_object import probe_directory

SAMPLES_PER_S = 99
RUNNING, RUNNABLE, BLOCKED, STOPPED, SAMPLE_USER, SAMPLE_KERNEL = range(6)
#: What was lost, in the order of enum why_loss.
LOSSES = ("threads", "sums", "stacks", "objects", "Python stacks")

_PY_FRAMES, _STACK_DEPTH = 32, 127
_TAKES_DESCRIPTOR, _WAITS_FOR_EVENTS, _IS_POLL = 1, 2, 4
_THREAD = np.dtype(
    [
        ("since_ns", "<u8"),
        ("wakeup_ns", "<u8"),
        ("python", "<u8"),
        ("object", "<u8"),
        ("tgid", "<u4"),
        ("kind", "<u4"),
        ("call", "<i4"),
        ("kernel_stack", "<i4"),
        ("user_stack", "<i4"),
        ("pad", "<u4"),
    ]
)
_KEY = np.dtype(
    [
        ("python", "<u8"),
        ("object", "<u8"),
        ("tgid", "<u4"),
        ("tid", "<u4"),
        ("kind", "<u4"),
        ("call", "<i4"),
        ("kernel_stack", "<i4"),
        ("user_stack", "<i4"),
    ]
)
_SUM = np.dtype([("ns", "<u8"), ("count", "<u8"), ("max_ns", "<u8"), ("stalls", "<u8"), ("stall_ns", "<u8")])
_OBJECT = np.dtype(
    [
        ("tgid", "<u4"),
        ("fd", "<u4"),
        ("mode", "<u2"),
        ("family", "<u2"),
        ("local_port", "<u2"),
        ("remote_port", ">u2"),
        ("state", "<u4"),
        ("pad", "<u4"),
        ("remote", "u1", 16),
        ("name", "S48"),
    ]
)
_PYTHON = np.dtype(
    [("state", "<u8"), ("first", "<i4"), ("second", "<i4"), ("code", "<i4"), ("previous", "<i4")]
)
_FRAMES = np.dtype([("code", "<u8", _PY_FRAMES)])
_ID, _WORD = np.dtype("<u4"), np.dtype("<u8")
MAPS = {
    "traced": (_ID, _WORD),
    "why_threads": (_ID, _THREAD),
    "sums": (_KEY, _SUM),
    "objects": (_WORD, _OBJECT),
    "python_threads": (_ID, _PYTHON),
    "python_stacks": (_WORD, _FRAMES),
    "call_flags": (_ID, _ID),
    "settings": (_ID, _WORD),
    "losses": (_ID, _WORD),
    "stacks": (_ID, np.dtype([("address", "<u8", _STACK_DEPTH)])),
}
PRIVATE = ("python_scratch",)
HOOKS = {
    "on_why_switch": "sched_switch",
    "on_why_wakeup": "sched_wakeup",
    "on_why_fork": "sched_process_fork",
}
SAMPLER = "on_why_sample"
_AF_UNIX, _AF_INET, _AF_INET6, _TCP_LISTEN = 1, 2, 10, 10


@dataclass(frozen=True)
class BlockedOn:
    """What a descriptor was: ``kind`` is file, pipe, unix, tcp-listener, inet or other; ``name`` its path
    or remote address; ``local_port`` and ``remote_port`` of a socket of the Internet families."""

    kind: str
    name: str
    local_port: int = 0
    remote_port: int = 0


@dataclass(frozen=True)
class Period:
    """All periods of one thread with the same state, system call, object and stacks.

    ``frames`` are functions, the innermost first: Python's where they were found, else native ones.
    For samples, ``count`` is their number and ``ns`` is 0.
    """

    pid: int
    tid: int
    kind: int
    call: str
    object: BlockedOn | None
    frames: tuple[str, ...]
    kernel_frames: tuple[str, ...]
    ns: int
    count: int
    max_ns: int
    stalls: int
    stall_ns: int


@dataclass(frozen=True)
class ThreadSpan:
    """A thread, and for how long of the run it existed."""

    pid: int
    tid: int
    comm: str
    ns: int


@dataclass(frozen=True)
class WhyTrace:
    """The result of a run; ``unsupported`` has per process why its Python frames were not walked."""

    duration_ns: int
    stall_ns: int
    threads: tuple[ThreadSpan, ...]
    periods: tuple[Period, ...]
    lost: dict[str, int]
    unsupported: dict[int, str]


@dataclass
class _Process:
    symbols: ProcessSymbols
    python: PythonInterpreter | None = None
    comms: dict[int, str] = field(default_factory=dict)


class WhyTracer:
    """Account for the time of all threads of some processes and of the processes that they start.

    Use as a context manager; call :meth:`refresh` a few times per second, and :meth:`read` at the end.

    :param pids: processes to trace
    :param stall_ns: periods off the CPU of at least this length count as stalls
    :raises SockscopeError: when the probes cannot be compiled, loaded or attached
    """

    def __init__(self, pids: Iterable[int], stall_ns: int) -> None:
        btf = Btf.of_running_kernel()
        image = _compiled(btf)
        programs = {name: ProgramSpec(name, "raw") for name in HOOKS}
        programs[SAMPLER] = ProgramSpec(SAMPLER, "perf_event")
        self._loaded = load(image, {}, programs)
        self._links: list[int] = []
        self._maps = {name: Map(self._loaded.maps[name], *types) for name, types in MAPS.items()}
        self._stall_ns = stall_ns
        self._names = syscalls.syscall_names()
        self._processes: dict[int, _Process] = {}
        self._objects: dict[int, BlockedOn] = {}
        self._seen_stacks: set[int] = set()
        self._unsupported: dict[int, str] = {}
        self._begin = 0
        try:
            self._start(list(pids))
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Read what may be gone at the end: new threads, paths of descriptors, code objects."""
        for pid in self._maps["traced"].read_all()[0].tolist():
            self._add_process(pid)
        self._resolve_objects()
        self._resolve_python()

    def read(self) -> WhyTrace:
        """Detach, and return what was counted."""
        end = time.monotonic_ns()
        for link in self._links:
            os.close(link)
        self._links = []
        self.refresh()
        for process in self._processes.values():
            process.symbols.refresh()
        rows = list(zip(*self._maps["sums"].read_all(), strict=True))
        periods = [(key, total) for key, total in rows]
        periods += self._open_periods(end)
        stacks = self._read_stacks(
            {int(key[name]) for key, _ in periods for name in ("kernel_stack", "user_stack")}
        )
        kernel = KernelSymbols()
        found = tuple(self._period(key, total, stacks, kernel) for key, total in periods)
        lengths: dict[tuple[int, int], int] = {}
        for period in found:
            lengths[period.pid, period.tid] = lengths.get((period.pid, period.tid), 0) + period.ns
        spans = tuple(
            ThreadSpan(pid, tid, self._comm(pid, tid), ns) for (pid, tid), ns in sorted(lengths.items())
        )
        lost = dict(zip(LOSSES, self._maps["losses"].read_array(len(LOSSES)).tolist(), strict=True))
        return WhyTrace(
            end - self._begin,
            self._stall_ns,
            spans,
            found,
            {name: number for name, number in lost.items() if number},
            dict(self._unsupported),
        )

    def run_times(self) -> dict[str, tuple[int, int]]:
        """Return program → (nanoseconds, runs) while BPF run-time statistics were on."""
        return {name: syscall.run_time(program)[:2] for name, program in self._loaded.programs.items()}

    def close(self) -> None:
        """Detach, and give programs and maps back to the kernel."""
        for descriptor in self._links:
            os.close(descriptor)
        self._links = []
        for process in self._processes.values():
            if process.python is not None:
                process.python.close()
        self._processes = {}
        self._loaded.close()

    def __enter__(self) -> WhyTracer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, pids: list[int]) -> None:
        for name, number in syscalls.syscall_numbers().items():
            flags = _TAKES_DESCRIPTOR * (name in syscalls.TAKES_DESCRIPTOR)
            flags |= _WAITS_FOR_EVENTS * (name in syscalls.WAIT_FOR_EVENTS | syscalls.ACCEPT)
            flags |= _IS_POLL * (name in syscalls.POLL)
            self._maps["call_flags"].put(number, flags)
        self._maps["settings"].put(0, self._stall_ns)
        for pid in pids:
            self._add_process(pid)
        try:
            for function, tracepoint in HOOKS.items():
                self._links.append(attaching.attach_raw(tracepoint, self._loaded.programs[function]))
            for cpu in _online_cpus():
                self._links.append(
                    attaching.attach_sampler(SAMPLES_PER_S, cpu, self._loaded.programs[SAMPLER])
                )
        except OSError as error:
            raise LoadError(
                f"the kernel refused to attach the probes ({error.strerror})",
                hint="sockscope doctor shows why",
            ) from error
        self._begin = time.monotonic_ns()
        for pid in pids:
            self._maps["traced"].put(pid, self._begin)
        for pid in pids:
            for thread in threads(pid):
                self._seed(pid, thread.tid)

    def _seed(self, pid: int, tid: int) -> None:
        """Enter a thread that sleeps already, with the system call that it is in."""
        try:
            words = (procfs.read(f"/proc/{pid}/task/{tid}/syscall") or b"").split()
        except PermissionError:
            words = []
        if not words or words[0] == b"running":
            return
        call = int(words[0])
        inode = 0
        if self._names.get(call, "") in syscalls.TAKES_DESCRIPTOR and len(words) > 1:
            fd = int(words[1], 16) & 0xFFFFFFFF
            with contextlib.suppress(OSError):
                inode = Path(f"/proc/{pid}/fd/{fd}").stat().st_ino
        state = np.zeros(1, _THREAD)
        state["since_ns"], state["kind"], state["tgid"] = self._begin, BLOCKED, pid
        state["call"], state["object"] = call, inode
        state["kernel_stack"] = state["user_stack"] = -1
        with contextlib.suppress(OSError):
            self._maps["why_threads"].put(tid, state[0], only_new=True)

    def _add_process(self, pid: int) -> None:
        process = self._processes.get(pid)
        if process is None:
            process = self._processes[pid] = _Process(ProcessSymbols(pid))
            try:
                process.python = PythonInterpreter(pid)
            except UnsupportedPythonError as error:
                if "CPython" in str(error) and str(error) != "no CPython":
                    self._unsupported[pid] = str(error)
        for thread in threads(pid):
            process.comms[thread.tid] = formatting.printable(thread.comm)
        if process.python is not None:
            offsets = process.python.offsets
            host = _host_tids(pid)
            for thread_state in process.python.threads():
                self._maps["python_threads"].add(
                    host.get(thread_state.native_id, thread_state.native_id),
                    (thread_state.state, *offsets.current, offsets.code, offsets.previous),
                )

    def _comm(self, pid: int, tid: int) -> str:
        process = self._processes.get(pid)
        return process.comms.get(tid, "") if process else ""

    def _resolve_objects(self) -> None:
        for key, found in zip(*self._maps["objects"].read_all(), strict=True):
            inode = int(key)
            if inode not in self._objects:
                self._objects[inode] = _describe(inode, found)

    def _resolve_python(self) -> None:
        """Read the names of code objects that were not seen before, in whichever process has them."""
        for key, frames in zip(*self._maps["python_stacks"].read_all(), strict=True):
            if int(key) in self._seen_stacks:
                continue
            self._seen_stacks.add(int(key))
            for process in self._processes.values():
                if process.python is not None:
                    for code in filter(None, frames["code"].tolist()):
                        process.python.name(code)

    def _open_periods(self, end: int) -> list[tuple[np.void, np.void]]:
        """Return the periods that had not ended: of threads that slept, or ran, until the end."""
        found = []
        for tid, thread in zip(*self._maps["why_threads"].read_all(), strict=True):
            pid, since = int(thread["tgid"]), int(thread["since_ns"])
            if not since or end <= since or not Path(f"/proc/{pid}/task/{int(tid)}").exists():
                continue
            key, total = np.zeros(1, _KEY)[0], np.zeros(1, _SUM)[0]
            for name in ("python", "object", "tgid", "kind", "call", "kernel_stack", "user_stack"):
                key[name] = thread[name]
            key["tid"] = tid
            if int(thread["kind"]) in (RUNNING, RUNNABLE):
                key["call"] = key["kernel_stack"] = key["user_stack"] = -1
                key["python"] = key["object"] = 0
            ns = end - since
            total["ns"], total["count"], total["max_ns"] = ns, 1, ns
            if ns >= self._stall_ns:
                total["stalls"], total["stall_ns"] = 1, ns
            found.append((key, total))
        return found

    def _read_stacks(self, numbers: set[int]) -> dict[int, list[int]]:
        stacks = {}
        for number in numbers:
            found = self._maps["stacks"].get(number) if number >= 0 else None
            if found is not None:
                stacks[number] = [address for address in found["address"].tolist() if address]
        return stacks

    def _period(
        self, key: np.void, total: np.void, stacks: dict[int, list[int]], kernel: KernelSymbols
    ) -> Period:
        pid, call = int(key["tgid"]), int(key["call"])
        process = self._processes.get(pid)
        frames: list[str] = []
        if process is not None:
            python = self._maps["python_stacks"].get(int(key["python"])) if key["python"] else None
            if python is not None and process.python is not None:
                frames = [process.python.name(code) for code in python["code"].tolist() if code]
            frames = [name for name in frames if name] or [
                process.symbols.name(address) for address in stacks.get(int(key["user_stack"]), [])
            ]
        return Period(
            pid,
            int(key["tid"]),
            int(key["kind"]),
            self._names.get(call, f"system call {call}") if call >= 0 else "",
            self._objects.get(int(key["object"])) if key["object"] else None,
            tuple(map(formatting.printable, frames)),
            tuple(kernel.name(address) for address in stacks.get(int(key["kernel_stack"]), [])),
            *(int(total[name]) for name in ("ns", "count", "max_ns", "stalls", "stall_ns")),
        )


def _compiled(btf: Btf) -> CompiledObject:
    structs = kernel_structs(btf)
    source = (probe_directory() / "why.bpf.c").read_text()
    text = f'#line 1 "kernel_structs.h"\n{structs.text}\n#line 1 "why.bpf.c"\n{source}'
    numbers = btf.structs(["file", "dentry", "pt_regs"])
    wanted = {
        "FILE_DENTRY": ("file", "f_path.dentry", 0),
        "DENTRY_NAME": ("dentry", "d_name.name", 0),
        "SECOND_ARGUMENT": ("pt_regs", *(("regs", 8) if os.uname().machine == "aarch64" else ("si", 0))),
    }
    defines = list(structs.defines)
    for name, (struct_name, path, more) in wanted.items():
        found = btf.field(numbers[struct_name], path)
        if found is None:
            raise LoadError(
                f"the kernel's struct {struct_name} has no field {path}",
                hint="this kernel is not supported; please report it",
            )
        defines.append(f"-D{name}={found.offset + more}")
    cache = ObjectCache()
    key = cache.key(text, *defines, bcc_identity())
    image = cache.get(key)
    if image is None:
        from sockscope.bpf.compiler import compile_probes

        functions = re.findall(r"^int (on_\w+)\(", text, re.MULTILINE)
        image = compile_probes(text, ["-Wno-everything", *defines], functions, [*MAPS, *PRIVATE])
        cache.put(key, image)
    return image


def _online_cpus() -> list[int]:
    try:
        text = (procfs.read("/sys/devices/system/cpu/online") or b"0").decode("ascii")
        found: list[int] = []
        for part in text.strip().split(","):
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
        return found
    except (PermissionError, ValueError):
        return list(range(os.cpu_count() or 1))


def _host_tids(pid: int) -> dict[int, int]:
    """Return the thread's id in its own pid namespace → its id in ours."""
    found = {}
    for thread in threads(pid):
        for line in (procfs.read(f"/proc/{pid}/task/{thread.tid}/status") or b"").splitlines():
            if line.startswith(b"NSpid:"):
                found[int(line.split()[-1])] = thread.tid
                break
    return found


def _describe(inode: int, found: np.void) -> BlockedOn:
    """Return what a descriptor is: sockets by their addresses, files by the path, or else the name."""
    mode = int(found["mode"])
    if stat.S_ISSOCK(mode):
        local, remote = int(found["local_port"]), int(found["remote_port"])
        family = int(found["family"])
        if family == _AF_UNIX:
            return BlockedOn("unix", "Unix socket")
        if family not in (_AF_INET, _AF_INET6):
            return BlockedOn("other", f"socket of family {family}")
        if int(found["state"]) == _TCP_LISTEN:
            return BlockedOn("tcp-listener", f"port {local}", local)
        octets = found["remote"].tobytes()
        if family == _AF_INET:
            octets = bytes(10) + b"\xff\xff" + octets[:4]
        return BlockedOn("inet", formatting.endpoint(octets, remote), local, remote)
    name = formatting.printable(bytes(found["name"]).decode("utf-8", "replace"))
    link = Path(f"/proc/{int(found['tgid'])}/fd/{int(found['fd'])}")
    with contextlib.suppress(OSError):
        if link.stat().st_ino == inode:
            name = formatting.printable(str(link.readlink()))
    if stat.S_ISFIFO(mode):
        return BlockedOn("pipe", name if name.startswith(("/", "pipe:")) else f"pipe:[{inode}]")
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
        return BlockedOn("file", name or f"inode {inode}")
    return BlockedOn("other", name or f"inode {inode}")
