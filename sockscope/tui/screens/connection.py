"""The screen of one connection: its steps as a pipeline, and all threads that used it."""

from __future__ import annotations

from typing import Any

import numpy as np
from textual.app import ComposeResult

from sockscope import formatting
from sockscope.tui.connection_timeline import get_remarks
from sockscope.tui.data_source import FrameContext
from sockscope.tui.labels import thread_label
from sockscope.tui.screens.base import FrameScreen
from sockscope.tui.text_line import Line, wrap
from sockscope.tui.themes import Palette
from sockscope.tui.widgets.key_line import KeyLine
from sockscope.tui.widgets.pipeline import Pipeline
from sockscope.tui.widgets.text_panel import TextPanel


class ConnectionScreen(FrameScreen):
    heading = "One connection"
    help = (
        ("The pipeline", "Each step with the time since the first and who did it; between two steps how long that took. "
         "Steps stand in the order in which they happened: data often comes before accept."),
        ("Exact", "Remarks below name what was not observed or is assumed; without remarks the record is exact."),
        ("Threads", "All threads that read or wrote. Of several, the pipeline names the one that did most."),
    )  # fmt: skip

    def __init__(self, connection: int) -> None:
        super().__init__()
        self.connection = connection
        self._record: Any = None

    def compose(self) -> ComposeResult:
        yield from self.top()
        yield TextPanel(self._title, id="facts")
        yield Pipeline(id="pipeline")
        yield TextPanel(self._threads, id="threads")
        yield KeyLine()

    def show(self, context: FrameContext) -> None:
        records = context.frame.snapshot.connections
        found = np.flatnonzero(records["id"] == self.connection)
        if len(found):  # else it was closed and is no longer kept: what was seen last stays
            self._record = records[found[-1]].copy()
            pipeline = self.query_one(Pipeline)
            pipeline.context = context
            pipeline.record = self._record
        self._gone = not len(found)
        for sheet in self.query(TextPanel):
            sheet.context = context

    _gone = False

    def _title(self, context: FrameContext, palette: Palette, width: int, height: int) -> list[Line]:
        record, style = self._record, palette.style
        if record is None:
            return [Line().add(" this connection does not exist at this time", style("warning"))]
        ends = (
            formatting.endpoint(record["remote"].tobytes(), int(record["remote_port"])),
            formatting.endpoint(record["local"].tobytes(), int(record["local_port"])),
        )
        line = (
            Line()
            .add(f" {ends[0]}", style("bold text"))
            .add(" → ", style("muted"))
            .add(ends[1], style("bold text"))
        )
        inexact, _ = get_remarks(record)
        if self._gone:
            line.add("   closed a while ago, shown as last observed", style("warning"))
        else:
            line.add(
                "   inexact, see below" if inexact else "   exact",
                style("warning" if inexact else "good"),
            )
        places = [
            f"{words} {record[name]}"
            for words, name, when in (
                ("handshake", "established_cpu", "established_ns"), ("accept", "accepted_cpu", "accepted_ns"),
                ("first read", "first_read_cpu", "first_read_ns"),
            )
            if int(record[when])
        ]  # fmt: skip
        cpus = f" on CPU: {', '.join(places)}" if places else ""
        longest = int(record["data_wait_max_ns"])
        if longest:
            cpus += f"   longest data wait {formatting.duration(longest)}"
        return [line, Line().add(cpus, style("muted"))]

    def _threads(self, context: FrameContext, palette: Palette, width: int, height: int) -> list[Line]:
        if self._record is None:
            return []
        style, connection_io = palette.style, context.frame.snapshot.connection_io
        lines = [
            Line().add(
                f" {'Thread':<20}{'Reads':>9}{'Bytes in':>12}{'Writes':>9}{'Bytes out':>12}",
                style("bold muted"),
            )
        ]
        own = connection_io[connection_io["connection"] == self.connection]
        for row in own[np.argsort(-own["reads"].astype(np.int64), kind="stable")]:
            line = (
                Line()
                .add(" ")
                .fit(
                    thread_label(context.frame, int(row["worker"])),
                    20,
                    style("reader" if row["reads"] else "writer"),
                )
            )
            line.fit(formatting.count(int(row["reads"])), 9, style("text"), right=True)
            line.fit(formatting.size(int(row["bytes_read"])), 12, style("text"), right=True)
            line.fit(formatting.count(int(row["writes"])), 9, style("text"), right=True)
            lines.append(line.fit(formatting.size(int(row["bytes_written"])), 12, style("text"), right=True))
        if not len(own):
            lines.append(Line().add(" no reads or writes yet", style("muted")))
        lines.append(Line())
        inexact, remarks = get_remarks(self._record)
        for words, colour in [(words, "warning") for words in inexact] + [
            (words, "muted") for words in remarks
        ]:
            lines += [Line().add(f" {part}", style(colour)) for part in wrap(words, width - 2)]
        return lines
