"""Everything that decodes or parses what may be anything: how to feed it, and what it may raise.

A target swallows the errors that its reader documents; whatever else comes out is a fault.  The same
targets are fed by hypothesis (tests/fuzz/test_targets.py) and, guided by coverage, by atheris
(tests/fuzz/run.py).
"""

from __future__ import annotations

import functools
import struct
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sockscope.analysis.thresholds import Thresholds, as_toml
from sockscope.bpf.btf import VMLINUX, Btf, BtfError
from sockscope.bpf.kernel_headers import FIELDS, kernel_structs
from sockscope.bpf.object_cache import CompiledObject, Function, MapDefinition
from sockscope.errors import SockscopeError, UsageError
from sockscope.formatting import parse_duration, printable, text
from sockscope.host import inet_diag_wire, threads
from sockscope.host.containers import parse_container_id
from sockscope.host.netns_counters import counters
from sockscope.host.processes import cgroup_of, process
from sockscope.session.live import get_map_sizes
from sockscope.store import Reader
from sockscope.tracer import unix_listeners
from sockscope.tui import filters
from sockscope.tui.rows import connections, listeners, workers
from tests.fuzz import contents


@dataclass(frozen=True)
class Target:
    """Something to feed; ``seeds`` are inputs that it accepts, to begin from."""

    name: str
    feed: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]


def _btf(raw: bytes) -> None:
    with suppress(BtfError):
        btf = Btf(raw)
        for name, number in btf.structs([*FIELDS, "pt_regs", "a"]).items():
            btf.fields(number)
            btf.field(number, f"ns.{name}.x")
        btf.function("tcp_v4_rcv")
        btf.has_tracepoint("sk_data_ready")
        kernel_structs(btf)


def _btf_seeds() -> list[bytes]:
    return [_small_btf()] if not VMLINUX.exists() else [_small_btf(), VMLINUX.read_bytes()[:200_000]]


def _small_btf() -> bytes:
    """``struct a { int x; struct { int y; }; }`` and a function, by hand."""
    names = b"\0a\0x\0y\0int\0tcp_v4_rcv\0btf_trace_sk_data_ready\0"
    at = {word: names.index(b"\0" + word + b"\0") + 1 for word in (b"a", b"x", b"y", b"int", b"tcp_v4_rcv")}
    words = [at[b"int"], 1 << 24, 4, 32]
    words += [0, 4 << 24 | 1, 4, at[b"y"], 1, 0]
    words += [at[b"a"], 4 << 24 | 2, 8, at[b"x"], 1, 0, 0, 2, 32]
    words += [0, 13 << 24, 1, at[b"tcp_v4_rcv"], 12 << 24, 4]
    types = np.array(words, "<u4").tobytes()
    head = np.array([0xEB9F | 1 << 16, 24, 0, len(types), len(types), len(names)], "<u4").tobytes()
    return head + types + names


def _filter(raw: bytes) -> None:
    typed = raw.decode("utf-8", "replace")
    for keys in (connections.KEYS, listeners.KEYS, workers.KEYS):
        with suppress(UsageError):
            filters.parse(typed, keys).mask(_Rows(keys))


class _Rows:
    """Three rows with a value, the largest, and none."""

    def __init__(self, keys: tuple[filters.Key, ...]) -> None:
        self.keys = keys

    def __len__(self) -> int:
        return 3

    def numbers(self, key: str) -> filters.Mask:
        return np.array([1.0, 1e308, np.nan])  # type: ignore[return-value]

    def contains(self, key: str, word: str) -> filters.Mask:
        return np.array([word in "nginx", True, False])


def _units(raw: bytes) -> None:
    said = raw.decode("utf-8", "replace")
    assert printable(said).isprintable()
    assert text(raw).isprintable()
    with suppress(UsageError):
        assert parse_duration(said) >= 0


def _thresholds(raw: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        with suppress(UsageError):
            Thresholds.load(file.name)


def _limits(raw: bytes) -> None:
    name, _, value = raw.decode("utf-8", "replace").partition("=")
    with suppress(UsageError):
        assert all(number > 0 for number in get_map_sizes({name: value}).room().values())


def _image(raw: bytes) -> None:
    with suppress(ValueError):
        CompiledObject.from_text(raw.decode("utf-8", "replace"))


def _image_seeds() -> list[bytes]:
    image = CompiledObject(
        {"m": MapDefinition(1, 4, 8, 16, 0)}, {"on_x": Function(b"\xb7" + bytes(15), ((0, "m"),))}
    )
    return [image.to_text().encode()]


def _messages(raw: bytes) -> None:
    with suppress(ValueError):
        for rows in inet_diag_wire.runs(raw):
            inet_diag_wire.heading(rows)
            found = inet_diag_wire.sockets(rows)
            assert len(found) == len(rows)


def _message_seeds() -> list[bytes]:
    return [inet_diag_wire.question(2, 1 << 10, 1), inet_diag_wire.question(10, 1 << 3, 7, (80, 443)),
            (150).to_bytes(4, "little") + bytes(148)]  # fmt: skip


@functools.cache
def _proc() -> Path:
    """A /proc with one process of one thread."""
    proc = Path(tempfile.mkdtemp(prefix="fuzz-proc-"))
    (proc / "7" / "task" / "7").mkdir(parents=True)
    (proc / "self").mkdir()
    (proc / "self" / "schedstat").touch()
    return proc


def _procfs(raw: bytes) -> None:
    proc = _proc()
    for name in ("stat", "cmdline", "cgroup", "task/7/stat", "task/7/schedstat", "task/7/syscall"):
        (proc / "7" / name).write_bytes(raw)
    process(7, str(proc))
    threads.threads(7, str(proc))
    threads.blocked_in(7, 7, str(proc))
    with threads.ThreadClocks(proc=str(proc)) as clocks:
        clocks.sample([7])
    parse_container_id(cgroup_of(raw))
    counters(raw)


def _proc_seeds() -> list[bytes]:
    mine = [Path(f"/proc/self/{name}") for name in ("stat", "schedstat", "cgroup", "cmdline", "net/netstat")]
    return [path.read_bytes() for path in mine if path.exists()] + [
        b"0::/system.slice/docker-" + b"a" * 64 + b".scope\n", b"7 (a) (b) S 1 1\n", b"running\n"
    ]  # fmt: skip


def _unix(raw: bytes) -> None:
    unix_listeners._listening(raw.decode("utf-8", "replace"))


#: Before changes to a sound recording, which is too large to be fed as such.
_EDITS = b"edits"


def _recording(raw: bytes) -> None:
    """A file of these octets; or, after ``_EDITS``, a sound one with five octets a change: where, and what."""
    if raw.startswith(_EDITS):
        whole = bytearray(_sound())
        changes = raw[len(_EDITS) :][:200]
        for at, octet in struct.iter_unpack("<IB", changes[: len(changes) // 5 * 5]):
            whole[at % len(whole)] = octet
        raw = bytes(whole)
    path = _place() / "x.sockscope"
    path.write_bytes(raw)
    with suppress(SockscopeError), Reader(path) as reader:
        for _ in reader.batches():
            pass


@functools.cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-recording-"))


@functools.cache
def _sound() -> bytes:
    return contents.recording()


def _recording_seeds() -> list[bytes]:
    return [_EDITS, _EDITS + struct.pack("<IB", 100, 7), _sound()[:4096]]


def _contents(raw: bytes) -> None:
    with suppress(SockscopeError):
        contents.read_changed(raw)


def _contents_seeds() -> list[bytes]:
    return [b"", *(contents.CHANGE.pack(table, 1, 0, what, 7) for table in range(16) for what in range(4))]


TARGETS: tuple[Target, ...] = (
    Target("BTF", _btf, _btf_seeds),
    Target(
        "filter", _filter, lambda: [b"port:443 wait:>10ms !state:closed word", b"reader:nginx bytes:1..2"]
    ),
    Target("recording", _recording, _recording_seeds),
    Target("contents of a recording", _contents, _contents_seeds),
    Target("proc", _procfs, _proc_seeds),
    Target("unix table", _unix, lambda: [Path("/proc/net/unix").read_bytes()[:4000]]),
    Target("inet_diag", _messages, _message_seeds),
    Target("durations", _units, lambda: [b"1.5s", b"200ms", b" 3 m "]),
    Target(
        "thresholds", _thresholds, lambda: [as_toml(Thresholds()).encode(), b'stall = "20ms"\nherd = 3.5\n']
    ),
    Target("limits", _limits, lambda: [b"closed_pages=16", b"connections=65536"]),
    Target("image", _image, _image_seeds),
)
