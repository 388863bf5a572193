"""Base class of the numbered views."""

from __future__ import annotations

from typing import ClassVar

from textual.containers import Vertical
from textual.reactive import reactive

from sockscope.tui.data_source import FrameContext


class View(Vertical):
    """A numbered view; it receives contexts while it is shown."""

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
        """Pass the context to the widgets."""
        raise NotImplementedError

    def start_focus(self) -> None:
        """Set the initial focus."""

    def take_filter(self) -> None:
        """Open the filter; called if :attr:`filters` is true."""

    def drop_filter(self) -> None:
        """Clear the filter."""

    @property
    def filtered(self) -> bool:
        """Return whether a filter hides rows."""
        return False

    def next_choice(self) -> None:
        """Switch to the next alternative (key ``m``)."""
