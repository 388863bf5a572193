"""A chart as inline SVG whose colours are the page's: one picture for light, dark and paper.

Drawn with matplotlib, when the report is made: of the libraries that give static SVG it is the one
that has all that is needed here (logarithmic axes, heat maps, sensible ticks) and is maintained;
pygal has no heat map, and plotly and Vega are scripts of megabytes in every page, or a browser to
run them in.

A colour's name stands for a CSS variable: matplotlib is given a number that stands for the name,
and the number is replaced in its output.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sockscope import formatting
from sockscope.errors import SockscopeError
from sockscope.report.html.markup import Safe, tag

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_NAMES = (
    "ink",
    "muted",
    "faint",
    "accent",
    "band",
    "fair",
    "good",
    "warning",
    "critical",
    "c1",
    "c2",
    "c3",
    "c4",
    "c5",
    "c6",
)
_NUMBERS = {name: f"#01f{index:03x}" for index, name in enumerate(_NAMES)}
_BACK = {number: f"var(--{name})" for name, number in _NUMBERS.items()}

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 12,
    "text.parse_math": False,  # a thread may be called $x$
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _NUMBERS["faint"],
    "axes.labelcolor": _NUMBERS["muted"],
    "text.color": _NUMBERS["ink"],
    "xtick.color": _NUMBERS["faint"],
    "ytick.color": _NUMBERS["faint"],
    "xtick.labelcolor": _NUMBERS["muted"],
    "ytick.labelcolor": _NUMBERS["muted"],
    "axes.axisbelow": True,
    "grid.color": _NUMBERS["faint"],
    "grid.alpha": 0.5,
    "grid.linewidth": 0.6,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Drawn:
    """A picture, and what it shows in words."""

    svg: Safe
    alt: str


def colour(name: str) -> str:
    """What matplotlib is to be given for one of the page's colours."""
    return _NUMBERS[name]


def need_matplotlib() -> None:
    """Check that matplotlib can be imported: an environment may lack it in spite of the dependency.

    :raises SockscopeError: when it is not installed
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise SockscopeError(
            "matplotlib, which draws the charts, is not installed", hint="pip install matplotlib"
        ) from None


def draw(
    name: str, width: int, height: int, alt: str, paint: Callable[[Figure, Axes], None], kind: str = ""
) -> Drawn:
    """
    :param name: unique on the page; ids in the picture begin with it
    :param width: in pixels, before the page scales it
    :param alt: what the picture shows, for those who do not see it
    :param kind: further CSS classes
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    settings: Any = {**_SETTINGS, "svg.hashsalt": name}
    with rc_context(settings):
        figure = Figure(
            figsize=(width / 72, height / 72), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.03)
        )
        paint(figure, figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Type": None, "Format": None}, dpi=144)  # fmt: skip
    return Drawn(inline(buffer.getvalue(), name, width, height, alt, kind), alt)


def durations(axis: Axis) -> None:
    """Marks of a logarithmic axis as durations; 2 and 5 as well where powers of ten are too far apart."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    few = high < low * 30
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=8))
    axis.set_major_formatter(lambda value, _: formatting.duration(value))
    axis.set_minor_formatter(NullFormatter())


def inline(svg: str, name: str, width: int, height: int, alt: str, kind: str = "") -> Safe:
    """matplotlib's document as an element of a page: no prologue, ids of its own, the page's colours."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.S)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"#01f0[0-9a-f]{2}", lambda found: _BACK[found[0]], body)
    body = re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", _shorter, body))
    used = {f'id="{found}"' for found in re.findall(r'(?:href="|url\()#([^")]+)', body)}
    body = re.sub(r' (id="[^"]*")', lambda found: found[0] if found[1] in used else "", body)
    return tag(
        "svg",
        Safe(body),
        viewBox=f"0 0 {width} {height}",
        role="img",
        aria_label=alt,
        class_=f"chart {kind}".strip(),
    )


def _shorter(element: re.Match[str]) -> str:
    """A tag without what the page's own style decides, and in hundredths of a pixel: half as long."""
    return re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r"font-family: [^;]*; ?", "", element[0]))
