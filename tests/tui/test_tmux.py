"""Each view in tmux, driven by its keys, read off the screen: the way most people run it over SSH."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm.registry.layers import Registry
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog

TMUX = shutil.which("tmux")
pytestmark = pytest.mark.skipif(TMUX is None, reason="tmux is not installed")
QUICKSTART = Path(__file__).parents[2] / "specs" / "quickstart.toml"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the quickstart's catalog."""
    found = Catalog(tmp_path_factory.mktemp("tmux") / "catalog.duckdb")
    fill(resolve(QUICKSTART, Registry.open()), found)
    return found.path


class Tmux:
    """One tmux server with one window."""

    def __init__(self, name: str, folder: Path) -> None:
        self.socket = folder / name
        self.folder = folder

    def __call__(self, *words: str) -> str:
        """Run a tmux command."""
        assert TMUX is not None
        return subprocess.run(
            [TMUX, "-f", "/dev/null", "-S", str(self.socket), *words],
            check=True,
            capture_output=True,
            text=True,
            cwd=self.folder,
        ).stdout

    def open(self, catalog: Path, *words: str, width: int = 120, height: int = 34, env: str = "") -> None:
        """Open a view, as the user's shell would."""
        command = shlex.join([sys.executable, "-P", "-m", "lrm_tui", "--catalog", str(catalog), *words])
        self(
            "new-session",
            "-d",
            "-x",
            str(width),
            "-y",
            str(height),
            f"{env} {command}; echo ended $?; sleep 60",
        )

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names for them."""
        self("send-keys", *keys)

    def until(self, *words: str, within_s: float = 30) -> str:
        """Return the screen once all the words are on it."""
        end = time.monotonic() + within_s
        while True:
            screen = self("capture-pane", "-p")
            if all(word in screen for word in words):
                return screen
            assert time.monotonic() < end, f"not on the screen: {words}\n{screen}"
            time.sleep(0.05)


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    """Return a tmux server that is killed at the end."""
    found = Tmux("s", tmp_path)
    yield found
    subprocess.run([str(TMUX), "-S", str(found.socket), "kill-server"], check=False, capture_output=True)


def test_from_the_matrix_to_a_trace_and_back(tmux: Tmux, catalog: Path) -> None:
    tmux.open(catalog)
    tmux.until("sim-reasoning", "sim-hidden", "starter", "n = ", "? Help")
    tmux.press("Enter")
    tmux.until("samples", "1 of 180")
    tmux.press("Enter")
    tmux.until("SIMULATED", "lrm tui cell", "1 of 180")
    tmux.press("J")
    tmux.until("lrm tui cell", "2 of 180")
    tmux.press("Escape")
    tmux.until("state   thinking", "2 of 180")
    tmux.press("Escape")
    tmux.until("n = ")
    tmux.press("q")
    tmux.until("ended 0")


def test_keys_pressed_at_once_all_count(tmux: Tmux, catalog: Path) -> None:
    tmux.open(catalog)
    tmux.until("sim-reasoning", "sim-hidden", "starter", "n = ", "? Help")
    tmux.press("Enter")
    tmux.until("samples", "1 of 180")
    tmux.press("Enter")
    tmux.until("SIMULATED", "lrm tui cell", "1 of 180")
    # The response that J asks for is still being read when Escape comes.
    tmux.press("J", "Escape", "Escape")
    tmux.until("n = ")
    tmux.press("q")
    tmux.until("ended 0")


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["samples"], "sim-"),
        (["compare", "sim-reasoning", "sim-distilled"], "sim-distilled"),
        (["monitor"], "quickstart"),
        (["annotate", "--annotator", "ann"], "1"),
        (["search", "the"], "the"),
        (["sql", "SELECT 40 + 2 AS answer"], "answer"),
        (["plan", str(QUICKSTART)], "quickstart"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_view_opens_in_80_by_24_and_leaves(tmux: Tmux, catalog: Path, words: list[str], seen: str) -> None:
    tmux.open(catalog, *words, width=80, height=24)
    screen = tmux.until(seen, "Help")
    assert len(screen.splitlines()) <= 24
    tmux.press("C-q")
    tmux.until("ended 0")


def test_without_colour_the_shades_are_signs(tmux: Tmux, catalog: Path) -> None:
    tmux.open(catalog, env="NO_COLOR=1")
    screen = tmux.until("n = ")
    assert set(screen) & set("░▒▓█")
    plain = tmux("capture-pane", "-p", "-e")
    assert "\x1b[38;2" not in plain
    assert "\x1b[48;2" not in plain


def test_a_wrong_place_is_told_before_anything_is_drawn(tmux: Tmux, catalog: Path) -> None:
    tmux.open(catalog, "matrix", "--rows", "modle")
    tmux.until("ended 2", "did you mean `model`")


def test_no_catalog_says_what_makes_one(tmux: Tmux, tmp_path: Path) -> None:
    tmux.open(tmp_path / "none.duckdb")
    tmux.until("lrm matrix fill", "Help")
    tmux.press("q")
    tmux.until("ended 0")
