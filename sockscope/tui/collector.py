"""The thread that reads frames from the data source and posts them to the app."""

from __future__ import annotations

from threading import Event, Lock, Thread

from textual.app import App

from sockscope.errors import SockscopeError
from sockscope.tui.data_source import DataSource, FrameContext
from sockscope.tui.messages import Arrived, Ended

_WAIT_S = 0.2


class Collector:
    """Collects frames from :meth:`start` until :meth:`stop`, independent of what the screen shows."""

    def __init__(self, app: App[int], feed: DataSource) -> None:
        self._app, self._feed = app, feed
        self._stopping = Event()
        self._lock = Lock()
        self._newest: FrameContext | None = None
        self._thread = Thread(target=self._run, name="collector", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def take(self) -> FrameContext | None:
        """Return the newest context that has not been taken."""
        with self._lock:
            newest, self._newest = self._newest, None
        return newest

    def _offer(self, context: FrameContext) -> None:
        """Offer a context; at most one waits, so that a slow screen does not build a queue."""
        with self._lock:
            posted, self._newest = self._newest is not None, context
        if not posted:
            self._app.post_message(Arrived())

    def _run(self) -> None:
        try:
            self._feed.start()
            self._collect()
        except SockscopeError as error:
            self._app.post_message(Ended(str(error), failed=True))
        except Exception as error:  # the screen says what would otherwise be lost with this thread
            self._app.post_message(Ended(f"internal error: {type(error).__name__}: {error}", failed=True))
        finally:
            self._stopping.wait()
            self._feed.close()

    def _collect(self) -> None:
        posted = False
        while not self._stopping.is_set():
            found = self._feed.next(_WAIT_S)
            if found is not None:
                self._offer(FrameContext(*found))
            elif self._feed.ended and not posted:
                posted = True
                self._app.post_message(Ended(self._feed.ended))
                if self._feed.replay is None:
                    return
