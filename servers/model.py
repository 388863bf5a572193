"""What a server model is to the command line: a name, its own options and a function that serves."""

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
    """An option that only some models have, declared as data so that a refusal can name who has it."""

    flag: str
    help: str
    choices: tuple[str, ...] = ()
    default: str | None = None

    def parser_arguments(self) -> dict[str, Any]:
        """Keyword arguments for `ArgumentParser.add_argument`; no choices means a plain switch."""
        if not self.choices:
            return {"action": "store_true", "help": self.help}
        return {
            "choices": self.choices,
            "default": self.default,
            "help": f"{self.help} (default: {self.default})",
        }


@dataclass(frozen=True)
class Settings:
    """What every model takes. Times are microseconds of CPU a request."""

    host: str
    port: int
    workers: int
    backlog: int
    work_us: int = 0
    slow: dict[int, int] = field(default_factory=dict)
    ledger: Path | None = None


@dataclass(frozen=True)
class Context:
    """What every thread and process of one running server has in common."""

    settings: Settings
    pid: int
    stop: Stop
    ledger: Ledger
    burner: Burner

    def work_of(self, worker: int) -> int:
        """Microseconds of CPU that this worker burns a request, the straggler's extra included."""
        return self.settings.work_us + self.settings.slow.get(worker, 0)


Announce = Callable[[int], None]
"""Called once with the port, when every worker is ready."""


@dataclass(frozen=True)
class Model:
    """One way to share the work of a TCP server. `serve` returns the exit status."""

    name: str
    summary: str
    serve: Callable[[Context, Namespace, Announce], int]
    options: tuple[Option, ...] = ()
    one_worker: bool = False
