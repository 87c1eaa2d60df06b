"""Colours of cells: legible, in order, also for the colour-blind, also with few colours or none."""

from __future__ import annotations

import itertools

import pytest
from rich.color import Color, ColorSystem
from textual.theme import Theme

from lrm_tui.themes import DARK as DARK_THEME
from lrm_tui.themes import LIGHT as LIGHT_THEME
from lrm_tui.widgets.ramp import BLOCKS, DARK, LIGHT, STEPS, Paint, Ramp, block, contrast, luminance, ramp, step

# Machado, Oliveira and Fernandes 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE TVCG 15(6),
# severity 1.0 (inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html); applied to linear RGB.
BLINDNESS = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
RAMPS = {
    "light": LIGHT.more, "dark": DARK.more, "light, less": LIGHT.less, "dark, less": DARK.less,
}  # fmt: skip


def linear(colour: str) -> list[float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def seen(colour: str, blindness: str) -> tuple[float, float, float]:
    """Return linear red, green and blue as someone sees a colour."""
    given = linear(colour)
    red, green, blue = (
        min(max(sum(weight * part for weight, part in zip(row, given, strict=True)), 0.0), 1.0)
        for row in BLINDNESS[blindness]
    )
    return red, green, blue


def lightness(linear_luminance: float) -> float:
    """Return CIE L*, 0 to 100."""
    return 116 * linear_luminance ** (1 / 3) - 16 if linear_luminance > 0.008856 else 903.3 * linear_luminance


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the well-known grey that just fails


@pytest.mark.parametrize("paints", [(*LIGHT.more, *LIGHT.less, LIGHT.none), (*DARK.more, *DARK.less, DARK.none)])
def test_ink_is_legible_on_every_step(paints: tuple[Paint, ...]) -> None:
    assert min(contrast(paint.ground, paint.ink) for paint in paints) >= 4.5


@pytest.mark.parametrize("paints", [(*LIGHT.more, *LIGHT.less, LIGHT.none), (*DARK.more, *DARK.less, DARK.none)])
def test_ink_is_legible_where_there_are_256_colours(paints: tuple[Paint, ...]) -> None:
    for paint in paints:
        ground, ink = (
            Color.parse(part).downgrade(ColorSystem.EIGHT_BIT).get_truecolor().hex for part in (paint.ground, paint.ink)
        )
        assert contrast(ground, ink) >= 4.5, paint


@pytest.mark.parametrize("theme", [DARK_THEME, LIGHT_THEME])
def test_a_number_that_rests_on_little_and_a_mark_are_legible(theme: Theme) -> None:
    for name in ("foreground", "secondary", "primary", "error", "warning", "accent"):
        assert contrast(getattr(theme, name), theme.background or "") >= 4.5, name


@pytest.mark.parametrize("name", RAMPS)
def test_worse_is_darker(name: str) -> None:
    values = [lightness(luminance(paint.ground)) for paint in RAMPS[name]]
    assert len(values) == STEPS
    assert all(before - after >= 3 for before, after in itertools.pairwise(values)), values


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("name", RAMPS)
def test_worse_is_darker_for_the_colour_blind(name: str, blindness: str) -> None:
    values = []
    for paint in RAMPS[name]:
        red, green, blue = seen(paint.ground, blindness)
        values.append(lightness(0.2126 * red + 0.7152 * green + 0.0722 * blue))
    assert all(before - after >= 2.5 for before, after in itertools.pairwise(values)), values


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("shades", [LIGHT, DARK])
def test_more_and_less_differ_for_the_colour_blind(shades: Ramp, blindness: str) -> None:
    for more, less in list(zip(shades.more, shades.less, strict=True))[2:]:
        one, other = seen(more.ground, blindness), seen(less.ground, blindness)
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) >= 0.04, (more, less)


@pytest.mark.parametrize(
    ("shade", "expected"), [(0, 0), (0.099, 0), (0.1, 1), (0.95, 9), (1, 9), (7, 9), (-1, 0), (float("nan"), 0)]
)
def test_steps(shade: float, expected: int) -> None:
    assert step(shade) == expected


def test_differences_have_two_hues_and_nothing_has_none() -> None:
    assert LIGHT.paint(0.5, diverging=True) == LIGHT.more[5]
    assert LIGHT.paint(-0.5, diverging=True) == LIGHT.less[5]
    assert LIGHT.paint(0.01, diverging=True) == LIGHT.none
    assert LIGHT.paint(-0.5) == LIGHT.more[0]


def test_blocks_cover_all_shades() -> None:
    assert "".join(block(shade) for shade in (0, 0.3, 0.5, 0.7, 1)) == BLOCKS
    assert block(-1) == "█"


@pytest.mark.parametrize(
    ("no_color", "ansi", "system"),
    [(True, False, "truecolor"), (False, True, "truecolor"), (False, False, "standard"), (False, False, None), (False, False, "windows")],
)  # fmt: skip
def test_signs_where_colours_cannot_be_relied_on(no_color: bool, ansi: bool, system: str | None) -> None:
    assert ramp(dark=True, no_color=no_color, ansi=ansi, system=system) is None


def test_colours_of_the_theme() -> None:
    assert ramp(dark=True) is DARK
    assert ramp(dark=False, system="256") is LIGHT
