"""Every action: a key, an explanation, a method that does it, a line in the help, and a place in the key page."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from textual.screen import Screen

from lrm.browse.places import (
    AnnotatePlace,
    ComparePlace,
    MatrixPlace,
    MonitorPlace,
    Place,
    PlanPlace,
    SamplesPlace,
    SearchPlace,
    SqlPlace,
    TracePlace,
)
from lrm.errors import SpecError
from lrm_tui.actions import ACTIONS, GRAMMAR, REDEFINED, VIEWS, Action, of, sign
from lrm_tui.app import view_of
from lrm_tui.base import View
from lrm_tui.help import help_lines
from lrm_tui.lines import KeysLine, footer
from lrm_tui.settings import DIGITS, read_settings

PLACES: tuple[Place, ...] = (
    MatrixPlace(), SamplesPlace(), TracePlace("c1:0000"), ComparePlace(), MonitorPlace(), AnnotatePlace(), SearchPlace(),
    SqlPlace(), PlanPlace("spec"),
)  # fmt: skip
CLASSES = {cls.view: cls for cls in map(view_of, PLACES)}


def test_every_view_has_a_class() -> None:
    assert set(CLASSES) == set(VIEWS)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.name)
def test_an_action_is_whole(action: Action) -> None:
    assert action.keys
    assert action.label
    assert len(action.label) <= 16
    assert action.help.endswith(".")
    assert action.view in (*VIEWS, "any")
    for view in VIEWS if action.view == "any" else (action.view,):
        assert callable(getattr(CLASSES[view], f"action_{action.verb}", None)), f"{view} does not do {action.verb}"
        if REDEFINED.get(action.name) is None and action.name not in _said_otherwise(view):
            assert action.help in [said for _, _, said in help_lines(view, {})]


def _said_otherwise(view: str) -> set[str]:
    return {name for own, name in REDEFINED.items() if own.startswith(f"{view}.")}


@pytest.mark.parametrize(
    "action", [action for action in ACTIONS if action.view != "any"], ids=lambda action: action.name
)
def test_an_action_of_a_view_is_its_own(action: Action) -> None:
    """A method that only View has would do nothing here."""
    assert f"action_{action.verb}" in vars(CLASSES[action.view]) or any(
        f"action_{action.verb}" in vars(base) for base in CLASSES[action.view].__mro__[1:] if base not in View.__mro__
    )


@pytest.mark.parametrize("view", VIEWS)
def test_no_view_gives_a_key_two_meanings(view: str) -> None:
    keys = Counter(key for action in of(view) for key in action.keys)
    assert [key for key, times in keys.items() if times > 1] == []


@pytest.mark.parametrize("action", GRAMMAR, ids=lambda action: action.name)
def test_no_view_redefines_the_grammar(action: Action) -> None:
    for other in ACTIONS:
        if other.view != "any" and REDEFINED.get(other.name) != action.name:
            assert not set(other.keys) & set(action.keys), f"{other.name} takes a key of {action.name}"


@pytest.mark.parametrize("view", VIEWS)
def test_a_footer_has_eight_keys_and_always_help(view: str) -> None:
    shown = footer(of(view), {})
    assert len(shown) <= KeysLine.MOST
    assert "any.help" in [action.name for action, _ in shown]


def test_names_are_unique() -> None:
    assert len({action.name for action in ACTIONS}) == len(ACTIONS)


def test_a_view_binds_the_keys_of_the_table() -> None:
    for view, cls in CLASSES.items():
        bound = {key for binding in cls.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
        assert bound == {key for action in of(view) for key in action.keys}
        assert issubclass(cls, Screen)


def test_the_key_page_lists_every_action() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tui.md").read_text(encoding="utf-8")
    for action in ACTIONS:
        assert f"`{action.name}`" in page
        assert action.help in page


# --- a user's own keys ------------------------------------------------------------------------------------------------


class TestSettings:
    """The file of settings."""

    GOOD: ClassVar = (
        'theme = "lrm-light"\nannotator = "ann"\n[keys]\n"matrix.measure" = "ctrl+y"\n"any.find" = ["/", "f3"]\n'
    )

    def test_no_file_is_the_defaults(self, tmp_path: Path) -> None:
        found = read_settings(tmp_path / "none.toml")
        assert (found.theme, found.annotator, found.keys) == (None, None, {})

    def test_a_good_file(self, tmp_path: Path) -> None:
        path = tmp_path / "tui.toml"
        path.write_text(self.GOOD)
        found = read_settings(path)
        assert (found.theme, found.annotator) == ("lrm-light", "ann")
        assert found.keys == {"matrix.measure": ("ctrl+y",), "any.find": ("slash", "f3")}

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('them = "x"', "did you mean `theme`"),
            ('theme = "lrm-drak"', "did you mean `lrm-dark`"),
            ("annotator = 3", "an annotator's name is text"),
            ("keys = 3", "keys are a table"),
            ('[keys]\n"matrix.mesure" = "m"', "did you mean `matrix.measure`"),
            ('[keys]\n"matrix.measure" = 3', "keys are text"),
            ('[keys]\n"matrix.measure" = "j"', "would mean both"),
            (f'[keys]\n"{DIGITS[0]}" = "j"', "digits"),
            ("theme = ", "tui.toml:1"),
        ],
    )
    def test_a_bad_file_is_told_of(self, tmp_path: Path, text: str, said: str) -> None:
        path = tmp_path / "tui.toml"
        path.write_text(text)
        with pytest.raises(SpecError) as caught:
            read_settings(path)
        assert said in str(caught.value)
        assert "tui.toml" in str(caught.value)

    def test_two_changed_keys_may_change_places(self, tmp_path: Path) -> None:
        path = tmp_path / "tui.toml"
        path.write_text('[keys]\n"matrix.measure" = "v"\n"matrix.judge" = "m"\n')
        assert read_settings(path).keys == {"matrix.measure": ("v",), "matrix.judge": ("m",)}


def test_keys_are_written_as_people_write_them() -> None:
    assert [sign(key) for key in ("slash", "ctrl+d", "escape", "f5", "g", "G")] == ["/", "^D", "Esc", "F5", "g", "G"]
