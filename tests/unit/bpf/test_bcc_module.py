"""bcc is found where the system keeps it, and PyPI's namesake is called by its name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sockscope.bpf.bcc_module import BccError, bcc_identity, load_bcc


@pytest.fixture(autouse=True)
def no_bcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "bcc", raising=False)


def _package(place: Path, text: str, *modules: str) -> Path:
    (place / "bcc").mkdir(parents=True)
    (place / "bcc" / "__init__.py").write_text(text)
    for module in modules:
        (place / "bcc" / f"{module}.py").write_text("")
    return place


def test_a_package_of_the_system_is_found_from_any_environment(tmp_path: Path) -> None:
    place = _package(tmp_path / "dist-packages", "class BPF: pass\n", "libbcc", "table")
    module = load_bcc([tmp_path / "nowhere", place])
    assert module.BPF.__name__ == "BPF"
    assert sys.modules.pop("bcc") is module
    assert str(place) not in sys.path


def test_what_the_environment_itself_has_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = _package(tmp_path / "own", "class BPF: place = 'own'\n", "libbcc", "table")
    system = _package(tmp_path / "system", "class BPF: place = 'system'\n", "libbcc", "table")
    monkeypatch.syspath_prepend(own)
    assert load_bcc([system]).BPF.place == "own"
    sys.modules.pop("bcc")


def test_pypis_bcc_is_recognised_and_named_as_the_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impostor = _package(tmp_path, "def lattice(): pass\n")
    monkeypatch.syspath_prepend(impostor)
    with pytest.raises(
        BccError, match=r"bcc package from PyPI.*pip uninstall bcc.*apt install python3-bpfcc"
    ):
        load_bcc([])


def test_the_systems_bcc_is_used_though_pypis_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(_package(tmp_path / "pypi", "def lattice(): pass\n"))
    system = _package(tmp_path / "system", "class BPF: pass\n", "libbcc", "table")
    assert hasattr(load_bcc([system]), "BPF")
    sys.modules.pop("bcc")


def test_without_bcc_the_error_says_how_to_install_it() -> None:
    with pytest.raises(BccError, match="not installed; apt install python3-bpfcc"):
        load_bcc([])


def test_a_bcc_that_cannot_be_loaded_leaves_no_half_module_behind(tmp_path: Path) -> None:
    place = _package(tmp_path, "import no_such_library_anywhere\n", "libbcc", "table")
    with pytest.raises(BccError, match="cannot load bcc"):
        load_bcc([place])
    assert "bcc" not in sys.modules


def test_its_identity_changes_with_its_version_and_costs_no_import(tmp_path: Path) -> None:
    place = _package(tmp_path, "raise RuntimeError\n", "libbcc", "table")
    before = bcc_identity([place])
    (place / "bcc" / "version.py").write_text("__version__ = '9'\n")
    assert bcc_identity([place]) != before
    assert "bcc" not in sys.modules
