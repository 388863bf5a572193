"""Names of functions in this very process, and input that a hostile process could prepare."""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path

import pytest

from sockscope.symbols.elf import ElfSymbols, read_elf
from sockscope.symbols.kernel import KernelSymbols
from sockscope.symbols.process import ProcessSymbols, read_mappings
from sockscope.symbols.python import PythonInterpreter, UnsupportedPythonError

LIBC = next(mapping.path for mapping in read_mappings(os.getpid()) if "libc.so" in mapping.path)


def test_an_exported_function_of_the_c_library_is_named() -> None:
    import ctypes

    address = ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value
    assert address is not None
    assert ProcessSymbols(os.getpid()).name(address) == "getppid"


def test_an_address_outside_all_mappings_is_unknown() -> None:
    assert ProcessSymbols(os.getpid()).name(8) == "[unknown]"


def test_mutated_elf_files_raise_nothing(tmp_path: Path) -> None:
    whole = Path(LIBC).read_bytes()
    mutate = random.Random(1)
    path = tmp_path / "mutated"
    for _ in range(40):
        image = bytearray(whole[: mutate.choice((0, 10, 64, 4096, len(whole)))])
        for _ in range(mutate.randrange(1, 30)):
            if image:
                image[mutate.randrange(min(len(image), 1024))] = mutate.randrange(256)
        path.write_bytes(image)
        assert isinstance(read_elf(str(path)), ElfSymbols)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read_elf(str(tmp_path / "pipe")) == ElfSymbols()


def test_lines_of_a_perf_map_that_do_not_parse_are_skipped() -> None:
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    path.write_bytes(b"zz 10 bad\n7f0000000000 20 LazyCompile:*handle /app.js:3\n\xff\xfe\n1\n")
    try:
        assert ProcessSymbols(os.getpid()).name(0x7F0000000010) == "LazyCompile:*handle /app.js:3"
    finally:
        path.unlink()


def test_kernel_symbols_without_addresses_give_the_address(tmp_path: Path) -> None:
    (tmp_path / "kallsyms").write_text("0000000000000000 T schedule\n")
    assert KernelSymbols(str(tmp_path / "kallsyms")).name(0x1234) == "0x1234"


@pytest.mark.skipif(
    not (3, 11) <= sys.version_info[:2] <= (3, 13), reason="CPython 3.11 to 3.13 are supported"
)
def test_threads_and_code_objects_of_this_interpreter_are_found() -> None:
    interpreter = PythonInterpreter(os.getpid())
    try:
        assert interpreter.version == sys.version_info[:2]
        assert threading.get_native_id() in {thread.native_id for thread in interpreter.threads()}
        code = test_an_address_outside_all_mappings_is_unknown.__code__
        assert interpreter.name(id(code)) == f"{code.co_qualname} (test_symbols.py:{code.co_firstlineno})"
        assert interpreter.name(8) == ""
    finally:
        interpreter.close()


def test_a_process_without_python_is_unsupported() -> None:
    with pytest.raises(UnsupportedPythonError, match="no CPython"):
        PythonInterpreter(2**22 + 1)
