"""A chart as inline SVG whose colours are the page's: one picture for light, dark and paper.

matplotlib draws the charts when the report is made.  Among the libraries that produce static SVG it is a
maintained one with logarithmic axes, heat maps and sensible ticks.  pygal has no heat map; plotly and Vega
embed megabytes of script in every page, or need a browser to render.

matplotlib accepts only concrete colours.  Each colour of the page's style sheet is therefore drawn as a
placeholder number, which is replaced in the output by its CSS variable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from sockscope import formatting
from sockscope.errors import SockscopeError

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
    """A picture, and its text alternative."""

    svg: Markup
    alt: str


def colour(name: str) -> str:
    """Return the placeholder for one of the page's colours."""
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
    """Return the chart that ``paint`` draws.

    :param name: unique on the page; ids in the picture begin with it
    :param width: in pixels, before the page scales it
    :param alt: text alternative for screen readers
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
        no_metadata = {"Date": None, "Creator": None, "Type": None, "Format": None}
        figure.savefig(buffer, format="svg", transparent=True, metadata=no_metadata, dpi=144)
    return Drawn(inline(buffer.getvalue(), name, width, height, alt, kind), alt)


def durations(axis: Axis) -> None:
    """Label a logarithmic axis with durations; add ticks at 2 and 5 if the axis spans few powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    few = high < low * 30
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=8))
    axis.set_major_formatter(lambda value, _: formatting.duration(value))
    axis.set_minor_formatter(NullFormatter())


def inline(svg: str, name: str, width: int, height: int, alt: str, kind: str = "") -> Markup:
    """Return matplotlib's document as an element of the page: no prologue, unique ids, the page's colours."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.S)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"#01f0[0-9a-f]{2}", lambda found: _BACK[found[0]], body)
    body = re.sub(r"\s*\n\s*", "\n", re.sub(r"<[^>]+>", _shorter, body))
    used = {f'id="{found}"' for found in re.findall(r'(?:href="|url\()#([^")]+)', body)}
    body = re.sub(r' (id="[^"]*")', lambda found: found[0] if found[1] in used else "", body)
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}" class="{}">').format(
        width, height, alt, f"chart {kind}".strip()
    )
    return opening + Markup(body) + Markup("</svg>")


def _shorter(element: re.Match[str]) -> str:
    """Return a tag without fonts and with two decimals, which halves the size of the picture."""
    return re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r"font-family: [^;]*; ?", "", element[0]))
