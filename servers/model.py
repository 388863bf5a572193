"""The definition of a server model: a name, its options and a function that serves."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .burn import Burner
from .ledger import Ledger
from .stop import Stop


@dataclass(frozen=True)
class Option:
    """An option of some models, declared as data so that an error can name these models."""

    flag: str
    help: str
    choices: tuple[str, ...] = ()
    default: str | None = None

    def parser_arguments(self) -> dict[str, Any]:
        """Return keyword arguments for `ArgumentParser.add_argument`; without choices it is a flag."""
        if not self.choices:
            return {"action": "store_true", "help": self.help}
        return {
            "choices": self.choices,
            "default": self.default,
            "help": f"{self.help} (default: {self.default})",
        }


@dataclass(frozen=True)
class Settings:
    """Settings of all models. Times are microseconds of CPU per request."""

    host: str
    port: int
    workers: int
    backlog: int
    work_us: int = 0
    slow: dict[int, int] = field(default_factory=dict)
    ledger: Path | None = None


@dataclass(frozen=True)
class Context:
    """State that all threads and processes of a server share."""

    settings: Settings
    pid: int
    stop: Stop
    ledger: Ledger
    burner: Burner

    def work_of(self, worker: int) -> int:
        """Return microseconds of CPU per request of this worker, including the extra of the straggler."""
        return self.settings.work_us + self.settings.slow.get(worker, 0)


Announce = Callable[[int], None]
"""Called once with the port when all workers are ready."""


@dataclass(frozen=True)
class Model:
    """A server model. `serve` returns the exit status."""

    name: str
    summary: str
    serve: Callable[[Context, Namespace, Announce], int]
    options: tuple[Option, ...] = ()
    one_worker: bool = False
