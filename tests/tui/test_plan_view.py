"""The view `plan`: what a fill would do, what is left out of it, and how it is begun."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lrm.browse.places import MonitorPlace, Place, PlanPlace
from lrm.browse.reader import Stop
from lrm.errors import LrmError, MissingError
from lrm.plan.plan import Block, Plan, PulledCells
from lrm.store.catalog import Catalog
from lrm_tui.app import LrmApp
from lrm_tui.dialogs import Confirm
from lrm_tui.panes import Items
from lrm_tui.screens.plan import PlanView
from lrm_tui.screens.plan_begin import begin
from lrm_tui.screens.plan_state import PlanState, planned, spec_file
from tests import builders

ROOT = Path(__file__).resolve().parents[2]
SPEC = """
[matrix]
models = ["a", "b"]
prompt_sets = ["small"]
attacks = ["none", "roleplay"]
judges = [{use = "refusal", scopes = ["answer"]}]
[models.a]
backend = "simulated"
model = "a"
simulation = { latency_ms = 200 }
[models.b]
backend = "simulated"
model = "b"
[prompt_sets.small]
rows = [{ id = "p1", text = "one" }, { id = "p2", text = "two" }, { id = "p3", text = "three" }]
"""


class Recording(LrmApp):
    """The app, which notes what the plan opens and copies."""

    def __init__(self, catalog: Catalog, place: Place, folder: Path) -> None:
        super().__init__(catalog, place, folder=folder)
        self.opened: list[Place] = []
        self.copied: list[str] = []

    def open(self, place: Place, *, items: Items | None = None, row: int | None = None) -> None:
        """Note all but the first."""
        if not any(isinstance(screen, PlanView) for screen in self.screen_stack):
            super().open(place, items=items, row=row)
        else:
            self.opened.append(place)

    def copy(self, text: str, what: str) -> None:
        """Note it."""
        self.copied.append(text)

    @property
    def plan(self) -> PlanView:
        """The view."""
        return next(screen for screen in self.screen_stack if isinstance(screen, PlanView))


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """Return a spec of two models, a set of three prompts and two attacks."""
    path = tmp_path / "s.toml"
    path.write_text(SPEC)
    return path


async def until(pilot: object, what: Callable[[], bool]) -> None:
    """Let the app go on until something is so."""
    given_up = time.monotonic() + 60
    while not what():
        assert time.monotonic() < given_up
        await pilot.pause(0.05)  # type: ignore[attr-defined]


def page(view: PlanView) -> str:
    """Return what is shown."""
    return "\n".join(line.text for line in view.lines.lines)


def plan_of(*names: tuple[str, str, str], done: int = 0) -> Plan:
    """Return a plan of blocks of ten cells."""
    blocks = tuple(Block(*one, 10, done, 0, 0, 0) for one in names)
    return Plan("s", blocks, (), (), calls=sum(one.missing for one in blocks))


EVERY = [(model, "set", attack) for model in ("a", "b") for attack in ("none", "rot13")]


def test_what_is_left_out_becomes_options() -> None:
    """Of each axis with something left out, the rest is kept; the last of its kind cannot go."""
    state = PlanState(plan_of(*EVERY), Path("s.toml"))
    assert state.command(None) == ["lrm", "matrix", "fill", "s.toml"]
    assert state.toggle(("b",)) is None
    assert state.toggle(("a", "set", "none")) is None
    assert state.only() == {"model": ["a"], "attack": ["rot13"]}
    assert state.kept is None
    assert state.command("c.duckdb")[4:] == [
        "--only", "model=a", "--only", "attack=rot13", "--catalog", "c.duckdb",
    ]  # fmt: skip
    assert state.is_out(("b", "set", "rot13"))
    assert state.is_out(("a", "set", "none"))
    assert not state.is_out(("a", "set", "rot13"))
    assert "nothing would be left" in (state.toggle(("a",)) or "")
    assert state.toggle(("b",)) is None
    assert state.only() == {"attack": ["rot13"]}


def test_the_tree_opens_and_sums() -> None:
    """Folded, a line a model with the sums below it; opened, its sets and attacks."""
    state = PlanState(plan_of(*EVERY, done=4), Path("s.toml"))
    state.kept = state.whole
    keys = [line.key for line in state.tree(100) if line.key is not None]
    assert keys == [("a",), ("b",)]
    state.open = {("a",), ("a", "set")}
    lines = [line for line in state.tree(100) if line.key is not None]
    assert [line.key for line in lines] == [("a",), ("a", "set"), ("a", "set", "none"), ("a", "set", "rot13"), ("b",)]
    assert "8 of       20" in lines[0].text
    assert "12 missing" in lines[0].text


def test_a_long_tree_is_cut_with_a_count() -> None:
    """The page has so many lines and says how many more there are."""
    state = PlanState(plan_of(*((f"m{n}", "set", "none") for n in range(2_500))), Path("s.toml"))
    lines = list(state.tree(100))
    assert len(lines) < 2_010
    assert any("and 500 more" in line.text for line in lines)


def test_nothing_to_do_is_said() -> None:
    """With the counts."""
    state = PlanState(plan_of(*EVERY, done=10), Path("s.toml"))
    state.kept = state.whole
    assert "nothing to do: 40 of 40 cells are present" in state.head()[0].text


@pytest.mark.parametrize("done", [4, 10])
def test_whose_results_it_rests_on_is_said(done: int) -> None:
    plan = plan_of(*EVERY, done=done)
    others = tuple(PulledCells(f"org{n}/\x1b[31mr1", f"org{n}", 1) for n in range(12))
    resting = replace(plan, pulled=others)
    said = [one.text for one in PlanState(resting, Path("s.toml"), resting).head()]
    whose = ", ".join(f"1 org{n}/␛[31mr1" for n in range(10))
    assert said[1] == f"12 of {4 * done} present cells were pulled: {whose}, 2 other snapshots"
    assert not any("pulled" in one.text for one in PlanState(plan, Path("s.toml"), plan).head())


def test_the_file_of_a_spec_by_name(tmp_path: Path) -> None:
    """A file as given; else the one that the catalog names; else the one in specs/."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "x.toml").touch()
    (tmp_path / "y.toml").touch()
    assert spec_file("y.toml", [], tmp_path) == Path("y.toml")
    assert spec_file("x", [], tmp_path) == Path("specs/x.toml")
    assert spec_file("x", [("x", "y.toml")], tmp_path) == Path("y.toml")
    with pytest.raises(MissingError, match=r"looked for gone\.toml, specs/z\.toml"):
        spec_file("z", [("z", "gone.toml")], tmp_path)


def test_planning_changes_nothing_and_leaves_the_catalog_free(spec: Path, tmp_path: Path) -> None:
    """A plan beside an open reader; nothing is written, and a writer gets its turn."""
    catalog = Catalog(tmp_path / "c.duckdb")
    builders.answer(catalog, builders.matrix(name="other"))
    before = catalog.path.read_bytes()
    app = LrmApp(catalog)
    with app.reader.burst():
        plan = planned(catalog, spec, {})
    app.reader.close()
    assert (plan.cells, plan.missing) == (12, 12)
    assert planned(catalog, spec, {"model": ["a"]}).cells == 6
    assert catalog.path.read_bytes() == before
    with catalog.writing(patience_s=0):
        pass


async def test_excluding_plans_again_and_the_command_says_it(spec: Path, tmp_path: Path) -> None:
    """Space leaves a model out; the numbers are of the rest; Y copies the command; Esc takes it in again."""
    catalog = Catalog(tmp_path / "c.duckdb")
    app = Recording(catalog, PlanPlace(str(spec)), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        view = app.plan
        await until(pilot, lambda: "12 calls to make" in page(view))
        await pilot.press("space")
        await until(pilot, lambda: "6 calls to make" in page(view))
        await pilot.press("Y")
        assert app.copied == [f"lrm matrix fill {spec} --only model=b --catalog {catalog.path}"]
        assert "left out: model a" in view.status()
        await pilot.press("escape")
        assert "12 calls to make" in page(view)
        assert not catalog.path.exists()


async def test_a_wrong_spec_is_said_with_file_line_and_key(tmp_path: Path) -> None:
    """Where it is, what is wrong, what is near; mended, r plans."""
    spec = tmp_path / "s.toml"
    spec.write_text(SPEC.replace('models = ["a", "b"]', 'models = ["a", "bb"]'))
    app = Recording(Catalog(tmp_path / "c.duckdb"), PlanPlace(str(spec)), tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        view = app.plan
        await until(pilot, lambda: view.error is not None)
        shown = page(view)
        for words in ("cannot be planned", f"file  {spec}", "line", "matrix.models", "bb"):
            assert words in shown
        spec.write_text(SPEC)
        await pilot.press("r")
        await until(pilot, lambda: "12 calls to make" in page(view))
        assert view.error is None


async def test_a_fill_is_begun_after_the_numbers_and_watched(spec: Path, tmp_path: Path) -> None:
    """a asks with the numbers; y begins a process; its run is opened, or it has ended and nothing is left to do."""
    catalog = Catalog(tmp_path / "c.duckdb")
    app = Recording(catalog, PlanPlace(str(spec)), tmp_path)
    async with app.run_test(size=(120, 36)) as pilot:
        view = app.plan
        await until(pilot, lambda: "12 calls to make" in page(view))
        await pilot.press("a")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await until(pilot, lambda: bool(app.opened) or "nothing to do" in page(view))
        assert view.error is None
        if app.opened:
            assert isinstance(app.opened[0], MonitorPlace)
        await until(pilot, lambda: not _running(catalog))
        await pilot.press("r")
        await until(pilot, lambda: "nothing to do: 12 of 12" in page(view))
        await pilot.press("a")
        assert not isinstance(app.screen, Confirm)


def _running(catalog: Catalog) -> bool:
    from lrm.store.live import live_runs

    return bool(live_runs(catalog))


def test_a_fill_that_fails_says_what_it_said(tmp_path: Path) -> None:
    """Its exit code and its last words, and where all of them are."""
    catalog = Catalog(tmp_path / "c.duckdb")
    with pytest.raises(LrmError, match="exit code 2") as caught:
        begin(catalog, ["lrm", "matrix", "fill", str(tmp_path / "none.toml"), "--catalog", str(catalog.path)], Stop())
    assert "no such file" in caught.value.message
    assert caught.value.hint is not None
    assert str(catalog.runs_folder) in caught.value.hint
