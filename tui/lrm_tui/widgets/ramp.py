"""Colours of cells: ten steps of one hue, darker for worse, with ink that can be read on each; and shades without colour."""

from __future__ import annotations

from typing import NamedTuple

# Equal steps of lightness in Oklab (Ottosson 2020, bottosson.github.io/posts/oklab) at hue 35 and hue 250; chroma grows with
# the step as far as sRGB allows. Tests check contrast, order, and that order for three kinds of colour blindness.
_ON_LIGHT = (
    "#fdece7", "#f5d0c6", "#ecb3a5", "#e29784", "#d67b64", "#ca5d43", "#b84123", "#a02a06", "#821d00", "#641400",
)  # fmt: skip
_ON_DARK = (
    "#d3b6af", "#cf9f93", "#c98978", "#c2715d", "#ba5941", "#b13e22", "#a02802", "#871f00", "#6e1801", "#561101",
)  # fmt: skip
_LESS_ON_LIGHT = (
    "#e6f2fe", "#c5dcf4", "#a5c7eb", "#84b1e0", "#639cd6", "#3f86cb", "#1a71bb", "#015ca1", "#024981", "#013762",
)  # fmt: skip
_LESS_ON_DARK = (
    "#b0c0d1", "#95afcb", "#7a9fc5", "#5f8ebe", "#437db7", "#226cb0", "#005ca0", "#014c86", "#013d6e", "#012f56",
)  # fmt: skip
_NONE_ON_LIGHT = "#eeeeee"
_NONE_ON_DARK = "#bcbcbc"
STEPS = 10
"""Steps of a ramp."""
BLOCKS = " ░▒▓█"
"""Shades for a terminal without colours, or with too few of them."""


class Paint(NamedTuple):
    """Colours of a cell, as `#rrggbb`."""

    ground: str
    ink: str


class Ramp(NamedTuple):
    """Colours for shades: `more[0]` is best, `more[9]` worst; for differences `less` is used below 0 and `none` at 0."""

    more: tuple[Paint, ...]
    less: tuple[Paint, ...]
    none: Paint

    def paint(self, shade: float, *, diverging: bool = False) -> Paint:
        """Return the colours of a shade, 0 to 1; of a difference, -1 to 1."""
        if diverging and abs(shade) < 0.5 / STEPS:
            return self.none
        return (self.less if diverging and shade < 0 else self.more)[step(abs(shade) if diverging else shade)]


def step(shade: float, steps: int = STEPS) -> int:
    """Return the step of a shade: 0 for the first tenth, and so on; what is out of range is taken as its end."""
    return min(max(int(shade * steps), 0), steps - 1) if shade == shade else 0  # noqa: PLR0124 -- NaN is not itself


def block(shade: float) -> str:
    """Return the sign of a shade, or of a difference without its direction."""
    return BLOCKS[step(abs(shade), len(BLOCKS))]


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb`, 0 to 1, by WCAG 2.2 (www.w3.org/TR/WCAG22/#dfn-relative-luminance)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, 1 to 21, by WCAG 2.2 (www.w3.org/TR/WCAG22/#dfn-contrast-ratio)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _paint(ground: str) -> Paint:
    return Paint(ground, max(("#000000", "#ffffff"), key=lambda ink: contrast(ground, ink)))


def _ramp(more: tuple[str, ...], less: tuple[str, ...], none: str) -> Ramp:
    return Ramp(tuple(map(_paint, more)), tuple(map(_paint, less)), _paint(none))


LIGHT = _ramp(_ON_LIGHT, _LESS_ON_LIGHT, _NONE_ON_LIGHT)
DARK = _ramp(_ON_DARK, _LESS_ON_DARK, _NONE_ON_DARK)


def ramp(*, dark: bool, no_color: bool = False, ansi: bool = False, system: str | None = "truecolor") -> Ramp | None:
    """Return the colours for a theme; None where shades must be signs.

    That is so where no colour is wanted, where the terminal's own colours are used (`ansi`: the user chose them, so they are
    not known), and where the terminal has fewer than 256 colours, in which ground and ink could become the same.

    Args:
        dark: Whether the theme is dark.
        no_color: Whether the user wants no colour (no-color.org).
        ansi: Whether the theme leaves the terminal's own colours alone.
        system: The terminal's colours as Rich names them: `standard`, `256`, `truecolor`, `windows` or None.
    """
    if no_color or ansi or system not in ("256", "truecolor"):
        return None
    return DARK if dark else LIGHT
