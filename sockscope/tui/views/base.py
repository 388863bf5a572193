"""What every screen of the dashboard can do."""

from __future__ import annotations

from typing import ClassVar

from textual.containers import Vertical
from textual.reactive import reactive

from sockscope.tui.data_source import FrameContext


class View(Vertical):
    """One of the numbered screens.  It gets moments while it is shown, and one when it is turned to."""

    title: ClassVar[str]
    #: What ``?`` says: (heading, text) pairs.
    help: ClassVar[tuple[tuple[str, str], ...]]
    #: Whether ``/`` and ``m`` do something here.
    filters: ClassVar[bool] = False
    switches: ClassVar[bool] = False

    context: reactive[FrameContext | None] = reactive(None)

    def watch_context(self, context: FrameContext | None) -> None:
        if context is not None:
            self.show(context)

    def show(self, context: FrameContext) -> None:
        """Hand the moment to the widgets."""
        raise NotImplementedError

    def start_focus(self) -> None:
        """Put the focus where the keys make sense."""

    def take_filter(self) -> None:
        """Open the filter; called where :attr:`filters` is true."""

    def drop_filter(self) -> None:
        """Take a filter away."""

    @property
    def filtered(self) -> bool:
        """Whether a filter hides something."""
        return False

    def next_choice(self) -> None:
        """What ``m`` does here."""
