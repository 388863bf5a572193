"""Find bcc, wherever the system keeps it.

bcc is pure Python over libbcc.so and comes from the system's packages, installed for the system's
own Python.  A virtual environment, pipx or uv does not show it; but it runs in any Python 3, so
that one package (and nothing else of the system's) is imported from where it lies.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from sockscope.errors import SockscopeError

_PLACES = (
    "/usr/lib/python3/dist-packages",  # Debian, Ubuntu
    "/usr/lib/python3*/site-packages",  # Fedora, Arch, openSUSE
    "/usr/lib64/python3*/site-packages",
    "/usr/local/lib/python3*/dist-packages",
    "/usr/local/lib/python3*/site-packages",
)

INSTALL = "apt install python3-bpfcc (Debian, Ubuntu) or dnf install python3-bcc (Fedora)"


class BccError(SockscopeError):
    """bcc is missing, or what is called bcc is something else."""


def system_paths() -> Iterable[Path]:
    """Directories in which a system package may have put bcc."""
    for pattern in _PLACES:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)


def bcc_identity(places: Iterable[Path] | None = None) -> str:
    """Where bcc is and which version, without the cost of importing it.

    :raises BccError: as :func:`load_bcc`
    """
    package = _find(places)
    version = package / "version.py"
    return f"{package} {version.read_text() if version.is_file() else ''}"


def load_bcc(places: Iterable[Path] | None = None) -> ModuleType:
    """Import the BPF Compiler Collection.

    :param places: directories to look in when the environment does not have it (default: the
        system's)
    :raises BccError: naming PyPI's unrelated package of that name if that is what was found
    """
    loaded = sys.modules.get("bcc")
    if loaded is not None and hasattr(loaded, "BPF"):
        return loaded
    return _import(_find(places))


def _find(places: Iterable[Path] | None) -> Path:
    impostor = None
    spec = importlib.util.find_spec("bcc")
    if spec is not None and spec.origin is not None:
        if _is_bcc(Path(spec.origin).parent):
            return Path(spec.origin).parent
        impostor = Path(spec.origin).parent
    for place in system_paths() if places is None else places:
        if _is_bcc(place / "bcc"):
            return place / "bcc"
    if impostor is not None:
        raise BccError(
            f"the package at {impostor} is the unrelated bcc package from PyPI, not the BPF Compiler Collection",
            hint=f"pip uninstall bcc, then {INSTALL}",
        )
    raise BccError("bcc, the BPF Compiler Collection, is not installed", hint=INSTALL)


def _is_bcc(package: Path) -> bool:
    return (package / "libbcc.py").is_file() and (package / "table.py").is_file()


def _import(package: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "bcc", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get("bcc")
    sys.modules["bcc"] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        if before is None:
            del sys.modules["bcc"]
        else:
            sys.modules["bcc"] = before
        raise BccError(f"cannot load bcc from {package} ({error})", hint=INSTALL) from error
    return module
