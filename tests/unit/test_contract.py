"""probes/records.h and its numpy twin are one contract: the host's compiler is the judge."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sockscope.records import layout

HEADER = Path(__file__).resolve().parents[2] / "probes" / "records.h"


def _fields(dtype: np.dtype[Any]) -> list[tuple[str, int, int]]:
    assert dtype.fields is not None
    return [(name, dtype.fields[name][1], dtype.fields[name][0].itemsize) for name in dtype.names or ()]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.fail("no C compiler; apt install gcc")
    lines = []
    for name, dtype in layout.TWINS:
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        for field, _, _ in _fields(dtype):
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));')
            lines.append(f'printf("{name}.{field}# %zu\\n", sizeof(((struct {name} *)0)->{field}));')
    lines += [f'printf("{loss.name} %d\\n", LOSS_{loss.name});' for loss in layout.Loss]
    lines += [f'printf("EVENT_{kind.name} %d\\n", EVENT_{kind.name});' for kind in layout.EventKind]
    lines += [f'printf("PHASE_{phase.name} %d\\n", PHASE_{phase.name});' for phase in layout.Phase]
    lines.append('printf("LOSS_COUNT %d\\n", LOSS_COUNT);')
    for flags, prefix in ((layout.ConnectionFlag, "CONNECTION"), (layout.WorkerFlag, "WORKER")):
        lines += [f'printf("{prefix}_{flag.name} %d\\n", {prefix}_{flag.name});' for flag in flags]
    for constant in (
        "RECORDS_VERSION",
        "INLINE_IO",
        "HISTOGRAM_FIRST_OCTAVE",
        "HISTOGRAM_LAST_OCTAVE",
        "HISTOGRAM_BUCKETS",
    ):
        lines.append(f'printf("{constant} %d\\n", {constant});')
    work = tmp_path_factory.mktemp("contract")
    source = (
        f'#include <stdio.h>\n#include <stddef.h>\n#include "{HEADER}"\nint main(void) {{\n'
        + "\n".join(lines)
        + "\n}\n"
    )
    (work / "ask.c").write_text(source)
    subprocess.run([compiler, "-o", work / "ask", work / "ask.c"], check=True, timeout=60)
    said = subprocess.run([work / "ask"], check=True, capture_output=True, text=True, timeout=10).stdout
    return {name: int(number) for name, number in (line.split() for line in said.splitlines())}


@pytest.mark.parametrize(("name", "dtype"), layout.TWINS, ids=[name for name, _ in layout.TWINS])
def test_every_field_has_the_same_offset_and_size_on_both_sides(
    name: str, dtype: np.dtype[Any], told: dict[str, int]
) -> None:
    assert told[name] == dtype.itemsize
    for field, offset, size in _fields(dtype):
        assert (field, told[f"{name}.{field}"], told[f"{name}.{field}#"]) == (field, offset, size)


@pytest.mark.parametrize(("name", "dtype"), layout.TWINS, ids=[name for name, _ in layout.TWINS])
def test_no_field_of_the_header_is_missing_in_python(name: str, dtype: np.dtype[Any]) -> None:
    body = re.search(rf"^struct {name} \{{(.*?)^\}};", HEADER.read_text(), re.M | re.S)
    assert body is not None
    code = re.sub(r"/\*.*?\*/", "", body[1], flags=re.S)
    assert re.findall(r"(\w+)(?:\[\w+\])?;", code) == [field for field, _, _ in _fields(dtype)]


def test_every_struct_of_the_header_has_a_twin() -> None:
    assert re.findall(r"^struct (\w+) \{", HEADER.read_text(), re.M) == [name for name, _ in layout.TWINS]


def test_constants_and_flags_agree(told: dict[str, int]) -> None:
    assert told["RECORDS_VERSION"] == layout.VERSION
    assert told["INLINE_IO"] == layout.INLINE_IO
    assert told["HISTOGRAM_FIRST_OCTAVE"] == layout.FIRST_OCTAVE
    assert told["HISTOGRAM_LAST_OCTAVE"] == layout.LAST_OCTAVE
    assert told["HISTOGRAM_BUCKETS"] == layout.BUCKETS
    assert told["LOSS_COUNT"] == len(layout.Loss)
    for loss in layout.Loss:
        assert told[loss.name] == loss
    for flag in layout.ConnectionFlag:
        assert told[f"CONNECTION_{flag.name}"] == flag
    for worker_flag in layout.WorkerFlag:
        assert told[f"WORKER_{worker_flag.name}"] == worker_flag
    for kind in layout.EventKind:
        assert told[f"EVENT_{kind.name}"] == kind
    for phase in layout.Phase:
        assert told[f"PHASE_{phase.name}"] == phase
    defined = re.findall(r"^#define ((?:CONNECTION|WORKER)_\w+) 0x", HEADER.read_text(), re.M)
    assert sorted(defined) == sorted(
        [f"CONNECTION_{flag.name}" for flag in layout.ConnectionFlag]
        + [f"WORKER_{flag.name}" for flag in layout.WorkerFlag]
    )


def test_records_fill_whole_words_so_that_rings_can_be_read_in_bulk() -> None:
    for dtype in (layout.CONNECTION, layout.WORKER, layout.LISTENER, layout.EVENT):
        assert dtype.itemsize % 8 == 0
