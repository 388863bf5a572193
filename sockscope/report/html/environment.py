"""The templates of the pages, and the one function that fills them in.

Every value is escaped when it is put in, unless it is :class:`markupsafe.Markup`.  A name that the caller
did not provide is an error, not an empty text.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sockscope import formatting


def render_template(name: str, **values: object) -> str:
    """Return the template ``name`` filled in with ``values``."""
    return _environment().get_template(name).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("sockscope.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["mark_code"] = mark_code
    environment.filters["duration"] = formatting.duration
    return environment


def mark_code(text: str) -> Markup:
    """Return escaped text in which parts between backticks are ``<code>`` elements."""
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if index % 2 else part for index, part in enumerate(text.split("`"))
    )
