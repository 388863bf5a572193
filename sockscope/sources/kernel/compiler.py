"""Compile and load the probes with bcc, in a process of its own.

bcc brings LLVM with it: some 100 MB that a tracer would carry for as long as it runs.  So bcc lives
in a child for the moment of loading; the child hands the descriptors of the loaded programs and
maps to its parent over a Unix socket (SCM_RIGHTS) and ends.  The parent can prepare other things
meanwhile, and nothing but this module imports bcc.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sockscope.errors import SockscopeError

# enum bpf_prog_type, include/uapi/linux/bpf.h
PROGRAM_TYPES = {"tracepoint": 5, "raw": 17, "iterator": 26}
_ROOM = 1 << 20
_MOST_DESCRIPTORS = 250


class LoadError(SockscopeError):
    """The kernel or bcc refused the probes."""


@dataclass(frozen=True)
class Loaded:
    """Descriptors of what was loaded, by name; the receiver closes them."""

    maps: Mapping[str, int]
    programs: Mapping[str, int]


class Compilation:
    """A compilation under way.  :meth:`result` waits for it.

    :param text: the whole program
    :param flags: for clang
    :param stub_tree: what bcc takes for the kernel's source
    :param functions: function → kind (a key of :data:`PROGRAM_TYPES`) to load
    :param maps: names of the maps to hand over
    """

    def __init__(
        self,
        text: str,
        flags: Sequence[str],
        stub_tree: str,
        functions: Mapping[str, str],
        maps: Sequence[str],
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket = ours
        self._stub_tree = stub_tree
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - read in result()
        command = (
            f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve({theirs.fileno()})"
        )
        self._child = subprocess.Popen(
            [sys.executable, "-S", "-c", command],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=self._messages,
            stderr=self._messages,
            env={**os.environ, "BCC_KERNEL_SOURCE": stub_tree},
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        theirs.close()
        request = {"text": text, "flags": list(flags), "functions": dict(functions), "maps": list(maps)}
        with ours.makefile("wb") as stream:
            stream.write(json.dumps(request).encode() + b"\n")

    def result(self) -> Loaded:
        """
        :raises LoadError: when bcc cannot compile or the kernel refuses to load
        """
        try:
            raw, descriptors, _, _ = socket.recv_fds(self._socket, _ROOM, _MOST_DESCRIPTORS)
        except BaseException:  # Ctrl-C: the child has its own session and would go on
            self.abandon()
            raise
        self._socket.close()
        status = self._child.wait()
        if not raw:
            raise LoadError(f"loading the probes failed (status {status}); {self._said()}")
        answer = json.loads(raw)
        if "error" in answer:
            raise LoadError(
                f"{answer['error']}; {self._said()}" if answer.get("see") else str(answer["error"])
            )
        self._messages.close()
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        names = answer["maps"]
        return Loaded(
            dict(zip(names, descriptors, strict=False)),
            dict(zip(answer["programs"], descriptors[len(names) :], strict=True)),
        )

    def abandon(self) -> None:
        """Give up before :meth:`result` was asked."""
        self._socket.close()
        self._child.kill()
        self._child.wait()
        self._messages.close()

    def _said(self) -> str:
        """The line of bcc's messages that tells most."""
        self._messages.seek(0)
        lines = [
            line.strip()
            for line in self._messages.read().decode("utf-8", "replace").splitlines()
            if line.strip()
        ]
        self._messages.close()
        telling = [line for line in lines if "error" in line.lower() or "HINT" in line] or lines[-1:]
        return f"bcc says: {telling[0]}" if telling else "bcc said nothing"


def serve(descriptor: int) -> None:
    """The child: one request, one answer."""
    channel = socket.socket(fileno=descriptor)
    with channel.makefile("rb") as stream:
        request = json.loads(stream.readline())
    try:
        from sockscope.sources.kernel.bcc_module import load_bcc

        module = load_bcc()
        loaded = _load(module, request)
    except SockscopeError as error:
        channel.sendall(json.dumps({"error": str(error)}).encode())
        return
    except Exception as error:  # bcc raises plain Exception; the parent shows it as one line
        channel.sendall(json.dumps({"error": f"the probes were refused ({error})", "see": True}).encode())
        return
    names = {"maps": list(loaded.maps), "programs": list(loaded.programs)}
    descriptors = [*loaded.maps.values(), *loaded.programs.values()]
    socket.send_fds(channel, [json.dumps(names).encode()], descriptors)
    sys.stdout.flush()
    os._exit(0)  # nothing of LLVM needs an orderly end


def _load(module: object, request: dict[str, object]) -> Loaded:
    program = module.BPF(text=request["text"], cflags=request["flags"])  # type: ignore[attr-defined]
    functions: dict[str, str] = request["functions"]  # type: ignore[assignment]
    programs = {name: program.load_func(name, PROGRAM_TYPES[kind]).fd for name, kind in functions.items()}
    names: list[str] = request["maps"]  # type: ignore[assignment]
    return Loaded({name: program[name].map_fd for name in names}, programs)
