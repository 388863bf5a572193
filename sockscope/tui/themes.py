"""Colours by meaning, in four themes.

The "safe" themes use the palette of Okabe and Ito (2008), which is distinguishable with all common
kinds of colour blindness. Ramps are monotonic in lightness, so that they stay readable in grey
(``NO_COLOR``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

from rich.color import Color
from rich.style import Style
from textual.theme import Theme

_STEPS = 24


@dataclass(frozen=True)
class Palette:
    """The colours of one theme; roles and severities have one each."""

    name: str
    dark: bool
    background: str
    surface: str
    raised: str
    text: str
    muted: str
    faint: str
    accent: str
    good: str
    notice: str
    warning: str
    critical: str
    acceptor: str
    reader: str
    writer: str
    worker: str
    ramp_ends: tuple[str, ...]
    _styles: dict[str, Style] = field(default_factory=dict, compare=False, repr=False)

    def style(self, words: str) -> Style:
        """Return a style by words, for example ``"muted"``, ``"bold accent"``, ``"text on raised"``."""
        found = self._styles.get(words)
        if found is None:
            found = self._styles[words] = self._made(words)
        return found

    def _made(self, words: str) -> Style:
        front, _, back = words.partition(" on ")
        names = front.split()
        colour = next((getattr(self, name) for name in names if hasattr(self, name)), None)
        return Style(
            color=colour, bgcolor=getattr(self, back) if back else None, bold="bold" in names or None,
            reverse="reverse" in names or None, underline="underline" in names or None,
        )  # fmt: skip

    @cached_property
    def ramp(self) -> tuple[Style, ...]:
        """Return the background ramp."""
        return tuple(Style(bgcolor=colour, color=self.text) for colour in self.ramp_colours)

    @cached_property
    def ramp_front(self) -> tuple[Style, ...]:
        """Return the foreground ramp, for half blocks and bars."""
        return tuple(Style(color=colour) for colour in self.ramp_colours)

    @cached_property
    def ramp_colours(self) -> tuple[str, ...]:
        ends = [Color.parse(colour).get_truecolor() for colour in self.ramp_ends]
        colours = []
        for step in range(_STEPS):
            place = step / (_STEPS - 1) * (len(ends) - 1)
            index = min(int(place), len(ends) - 2)
            part = place - index
            mixed = (round(a + (b - a) * part) for a, b in zip(ends[index], ends[index + 1], strict=True))
            colours.append("#{:02x}{:02x}{:02x}".format(*mixed))
        return tuple(colours)

    def theme(self) -> Theme:
        return Theme(
            name=self.name, dark=self.dark, primary=self.accent, secondary=self.reader, accent=self.accent,
            warning=self.warning, error=self.critical, success=self.good, foreground=self.text,
            background=self.background, surface=self.surface, panel=self.raised,
            variables={"border": self.faint, "border-blurred": self.faint},
        )  # fmt: skip


PALETTES: tuple[Palette, ...] = (
    Palette(
        "sockscope-dark", True, background="#11151c", surface="#161b24", raised="#232b38", text="#d9e0ea",
        muted="#93a1b5", faint="#4a5668", accent="#6cb6ff", good="#6bd08a", notice="#7fc8e8", warning="#f0b64e",
        critical="#ff6b6b", acceptor="#e7a8ff", reader="#63d2ff", writer="#8fe388", worker="#ffcc66",
        ramp_ends=("#1a212c", "#243a6b", "#1f6f8b", "#35b779", "#b5de2b", "#fde725"),
    ),
    Palette(
        "sockscope-light", False, background="#fbfbf8", surface="#f2f3ef", raised="#dfe4ea", text="#1d2530",
        muted="#566274", faint="#a9b3c0", accent="#0b62c4", good="#147a3c", notice="#0d7490", warning="#9a5b00",
        critical="#c4202b", acceptor="#8a2fb5", reader="#0a6fb0", writer="#24781f", worker="#8c5e00",
        ramp_ends=("#eef0ec", "#bfdcc4", "#6bbfa3", "#2f8fa0", "#2c5f9a", "#2a2f7a"),
    ),
    Palette(
        "sockscope-dark-safe", True, background="#101214", surface="#16191c", raised="#262b30", text="#e6e6e6",
        muted="#a0a6ad", faint="#50575f", accent="#56b4e9", good="#56b4e9", notice="#56b4e9", warning="#f0e442",
        critical="#e69f00", acceptor="#cc79a7", reader="#56b4e9", writer="#009e73", worker="#f0e442",
        ramp_ends=("#1c2024", "#2c3f6b", "#5a6373", "#8f8c76", "#c7b84f", "#fde945"),
    ),
    Palette(
        "sockscope-light-safe", False, background="#ffffff", surface="#f4f4f4", raised="#e2e5e9", text="#111111",
        muted="#50575f", faint="#aab0b7", accent="#0072b2", good="#0072b2", notice="#0072b2", warning="#a65f00",
        critical="#d55e00", acceptor="#a8407c", reader="#0072b2", writer="#007a59", worker="#7d6f00",
        ramp_ends=("#f0f0ee", "#cfd3c0", "#9aa58f", "#5f7a8c", "#2f558f", "#0b2a66"),
    ),
)  # fmt: skip

BY_NAME = {palette.name: palette for palette in PALETTES}


#: Without colour what is wrong must not be the dimmest of the greys.
_COLOURLESS = {
    palette.name: replace(palette, critical=palette.text, warning=palette.text, _styles={})
    for palette in PALETTES
}


def get_palette(theme: str, dark: bool = True, *, colourless: bool = False) -> Palette:
    """Return the palette of a theme; for a foreign theme, ours of the same lightness."""
    palette = BY_NAME.get(theme) or PALETTES[0 if dark else 1]
    return _COLOURLESS[palette.name] if colourless else palette


def get_theme_title(theme: str) -> str:
    """Return the display name of a theme."""
    return theme.removeprefix("sockscope-").replace("-safe", ", colour-blind safe")
