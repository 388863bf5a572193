"""What can be asked: models, and an alternative to the recorded setup."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sockscope.errors import UsageError
from sockscope.whatif.engine import Choice, Setup, Sharing, Work

#: model as written on the command line → how the engine shares work; ``single`` is ``shared`` with one worker.
MODELS: tuple[tuple[str, Sharing, Choice], ...] = (
    ("single", "shared", "fifo"),
    ("shared", "shared", "lifo"),
    ("shared:lifo", "shared", "lifo"),
    ("shared:fifo", "shared", "fifo"),
    ("reuseport", "reuseport", "hash"),
    ("reuseport:hash", "reuseport", "hash"),
    ("reuseport:least-loaded", "reuseport", "least-loaded"),
    ("handoff", "handoff", "round-robin"),
    ("handoff:round-robin", "handoff", "round-robin"),
    ("handoff:least", "handoff", "least"),
    ("dispatch", "dispatch", "fifo"),
)


@dataclass(frozen=True)
class Alternative:
    """What to change; None and 1.0 leave it as recorded."""

    model: str | None = None
    workers: int | None = None
    backlog: int | None = None
    cpus: float | None = None
    load: float = 1.0
    speed_up: float = 1.0

    @property
    def name(self) -> str:
        """The changes, as words."""
        words = [self.model] if self.model else []
        words += [f"{self.workers} worker{'s' * (self.workers != 1)}"] if self.workers else []
        words += [f"backlog {self.backlog}"] if self.backlog is not None else []
        words += [f"{self.cpus:g} CPUs"] if self.cpus else []
        words += [f"load ×{self.load:g}"] if self.load != 1 else []
        words += [f"handlers ×{self.speed_up:g} faster"] if self.speed_up != 1 else []
        return ", ".join(words) or "as recorded"

    def apply(self, work: Work, setup: Setup) -> tuple[Work, Setup]:
        """Return the work and the setup with these changes.

        :raises UsageError: when the model is unknown, or ``single`` is asked for with several workers
        """
        workers = self.workers or setup.workers
        if self.model:
            sharing, choice = parse_model(self.model)
            if self.model == "shared" and setup.sharing == "shared":
                choice = setup.choice  # as it was recorded
            if self.model == "single":
                if self.workers not in (None, 1):
                    raise UsageError("single has one worker", hint="leave out --workers, or choose shared")
                workers = 1
            # a dispatcher's workers take one request at a time
            is_loop = setup.event_loop and sharing != "dispatch"
            setup = replace(setup, sharing=sharing, choice=choice, event_loop=is_loop)
        if workers != setup.workers:
            # of fewer workers the slow ones are assumed to stay
            kept = setup.speeds if workers > setup.workers else tuple(sorted(setup.speeds))[:workers]
            kept += (1.0,) * (workers - len(kept))
            setup = replace(setup, workers=workers, speeds=kept if setup.speeds else ())
        if self.backlog is not None:
            setup = replace(setup, backlog=self.backlog)
        if self.cpus:
            setup = replace(setup, cpus=self.cpus)
        if self.load != 1:
            if setup.clients:
                setup = replace(setup, clients=max(round(setup.clients * self.load), 1))
            else:
                work = replace(work, arrivals=work.arrivals / self.load)
        if self.speed_up != 1:
            work = replace(work, cpu=work.cpu / self.speed_up, blocked=work.blocked / self.speed_up)
        return work, setup


def parse_model(text: str) -> tuple[Sharing, Choice]:
    """Return how the engine shares work for a model of the command line.

    :raises UsageError: when there is no such model
    """
    for name, sharing, choice in MODELS:
        if name == text:
            return sharing, choice
    raise UsageError(
        f"unknown model {text!r}", hint=f"choose from {', '.join(name for name, _, _ in MODELS)}"
    )
