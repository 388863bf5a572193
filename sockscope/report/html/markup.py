"""HTML that cannot be broken into: whatever is not :class:`Safe` is escaped when it is put in."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Safe(str):
    """Markup that this program made, fit to be put in as it is."""

    __slots__ = ()


Content = str | Iterable["Content"]

_VOID = {"br", "col", "hr", "meta"}


def tag(name: str, /, *content: Content, **attributes: str | None) -> Safe:
    """An element.  ``class_`` gives ``class``, ``aria_label`` gives ``aria-label``; None leaves out."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Safe(f"<{name}{words}>")
    return Safe(f"<{name}{words}>{markup(content)}</{name}>")


def markup(content: Content) -> Safe:
    """Content as markup: text escaped, markup as it is, lists one after another."""
    if isinstance(content, Safe):
        return content
    if isinstance(content, str):
        return Safe(html.escape(content))
    return Safe("".join(markup(part) for part in content))


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[Content]], *, figures: int | None = None
) -> Safe:
    """A table that scrolls by itself when it is too wide.

    :param figures: the column from which on all are numbers, set to the right; None: from the second
    """
    first = 1 if figures is None else figures
    classes = ["num" if column >= first else None for column in range(len(head))]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption),
            tag("thead", tag("tr", [tag("th", word, scope="col", class_=kind) for word, kind in zip(head, classes, strict=True)])),
            tag("tbody", [tag("tr", [tag("td", cell, class_=kind) for cell, kind in zip(row, classes, strict=True)]) for row in rows]),
        ),
        class_="scroll", tabindex="0", role="region", aria_label=caption,
    )  # fmt: skip


def behind(summary: str, *content: Content) -> Safe:
    """Content that a click shows: the numbers behind a picture."""
    return tag("details", tag("summary", summary), *content)
