"""Compile the probes with bcc, in a child process.

bcc loads LLVM: some 100 MB that the tracer would keep for as long as it runs. So bcc is imported only
in a child, which returns byte code and map definitions and exits.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sockscope.bpf.bcc_module import load_bcc
from sockscope.bpf.kernel_headers import write_stub_tree
from sockscope.bpf.object_cache import CompiledObject, Function, MapDefinition
from sockscope.errors import SockscopeError

_PATIENCE_S = 120
_LOAD_64 = 0x18  # BPF_LD | BPF_DW | BPF_IMM: two instructions
_MAP_REFERENCE = 1  # BPF_PSEUDO_MAP_FD


class CompileError(SockscopeError):
    """bcc could not compile the probes."""


def compile_probes(
    text: str, flags: Sequence[str], functions: Sequence[str], maps: Sequence[str]
) -> CompiledObject:
    """Compile a program and return its byte code and map definitions.

    :param text: the whole program
    :param flags: for clang
    :param functions: the functions to hand over
    :param maps: the maps to hand over
    :raises SockscopeError: when bcc is missing or cannot compile; with the first line of its messages that names an error
    """
    request = {"text": text, "flags": list(flags), "functions": list(functions), "maps": list(maps)}
    command = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
    with tempfile.TemporaryDirectory(prefix="sockscope-") as tree:
        write_stub_tree(Path(tree))
        with subprocess.Popen(
            [sys.executable, "-S", "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "BCC_KERNEL_SOURCE": tree},
            start_new_session=True,  # the parent handles Ctrl-C
        ) as child:
            try:
                said, wrong = child.communicate(json.dumps(request).encode(), _PATIENCE_S)
            except BaseException:
                child.kill()
                raise
    try:
        answer = json.loads(said)
    except ValueError:
        raise CompileError(
            f"cannot compile the probes (exit status {child.returncode})", hint=_collected_stderr(wrong)
        ) from None
    if "error" in answer:
        raise CompileError(
            answer["error"], hint=_collected_stderr(wrong) if answer["see"] else answer.get("hint", "")
        )
    return CompiledObject.from_text(answer["image"])


def _collected_stderr(messages: bytes) -> str:
    """Return the first line of bcc's messages that names an error."""
    lines = [line.strip() for line in messages.decode("utf-8", "replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
    return f"bcc: {errors[0]}" if errors else "bcc printed no message"


def serve() -> None:
    """Run the child: read one request from standard input, write one reply to standard output."""
    # bcc's C++ code may print to descriptor 1: the reply uses its own descriptor
    answers = os.dup(1)
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    try:
        answer: dict[str, object] = {"image": _compile(**request).to_text()}
    except SockscopeError as error:
        answer = {"error": error.message, "hint": error.hint, "see": False}
    except Exception as error:  # bcc raises plain Exception; the parent shows it as one line
        answer = {"error": f"bcc could not compile the probes ({error})", "see": True}
    with open(answers, "w") as stream:
        json.dump(answer, stream)
    os._exit(0)  # skip the slow teardown of LLVM


def _compile(
    text: str, flags: Sequence[str], functions: Sequence[str], maps: Sequence[str]
) -> CompiledObject:
    from sockscope.bpf.syscall import map_info

    program = load_bcc().BPF(text=text, cflags=list(flags))
    numbers = {program[name].map_fd: name for name in maps}
    return CompiledObject(
        {name: MapDefinition(*map_info(number)) for number, name in numbers.items()},
        {name: _function(program.dump_func(name), numbers, name) for name in functions},
    )


def _function(code: bytes, numbers: dict[int, str], name: str) -> Function:
    """Replace map descriptors in the byte code by zeros, and return the maps that they refer to."""
    instructions = bytearray(code)
    found = []
    at = 0
    while at < len(instructions):
        operation, registers, _, immediate = struct.unpack_from("<BBhi", instructions, at)
        if operation != _LOAD_64:
            at += 8
            continue
        if registers >> 4 == _MAP_REFERENCE:
            if immediate not in numbers:
                raise CompileError(
                    f"{name} uses a map that bcc did not return", hint="this version of bcc is not supported"
                )
            found.append((at // 8, numbers[immediate]))
            struct.pack_into("<i", instructions, at + 4, 0)
        at += 16
    return Function(bytes(instructions), tuple(found))
