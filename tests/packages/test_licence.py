"""Check that the licence of the probes agrees in files, package and kernel."""

from __future__ import annotations

import tomllib

import pytest

from sockscope.bpf import syscall
from sockscope.bpf.loader import LoadError
from sockscope.target import Target
from sockscope.tracer.map_defs import MapSizes
from sockscope.tracer.source import KernelSource
from tests.packages.building import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: license_is_gpl_compatible() of Linux, include/linux/license.h
GPL_COMPATIBLE = {
    b"GPL", b"GPL v2", b"GPL and additional rights", b"Dual BSD/GPL", b"Dual MIT/GPL", b"Dual MPL/GPL",
}  # fmt: skip


def test_every_probe_names_the_licence_of_the_package() -> None:
    assert PROJECT["license"] == "GPL-2.0-only OR MIT"
    for path in sorted(path for path in (ROOT / "probes").rglob("*") if path.is_file()):
        assert path.read_text().startswith(f"/* SPDX-License-Identifier: {PROJECT['license']}\n"), path.name


def test_the_licence_file_offers_both_and_says_which_holds_in_the_kernel() -> None:
    text = (ROOT / PROJECT["license-files"][0]).read_text()
    assert "MIT License" in text
    assert "GNU General Public License, version 2" in text
    assert "helpers that the kernel gives only to programs under the GPL" in text


def test_kernel_accepts_the_licences_as_gpl_compatible() -> None:
    assert syscall.LICENCE == b"Dual MIT/GPL"
    assert syscall.LICENCE in GPL_COMPATIBLE


@pytest.mark.kernel
def test_the_kernel_gives_the_probes_their_helpers_for_that_licence_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    KernelSource(Target(ports=(1,)), MapSizes()).close()
    monkeypatch.setattr(syscall, "LICENCE", b"MIT")
    with pytest.raises(LoadError, match="GPL"):
        KernelSource(Target(ports=(1,)), MapSizes())
