"""What every view looks like: pictures that are compared with the ones that were looked at before.

`pytest tests/tui/test_snapshots.py --snapshot-update` draws them anew; look at each one that changed before it is committed.
Nothing of the machine is in a picture: no path, moment, duration, process or run of this one.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from lrm.browse.axes import Slice
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
from lrm.browse.runs import Desks, Failure, Sight
from lrm.registry.layers import Registry, packaged
from lrm.run.desk import RunState
from lrm.run.fill import fill
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from lrm.store.holdings import HeldRun
from lrm_tui.app import LrmApp
from lrm_tui.base import View
from lrm_tui.screens.monitor import MonitorView, Seen
from lrm_tui.settings import Settings
from tests import builders, trace_catalog
from tests.desks import LANE, SECOND

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Path("/nowhere/catalog.duckdb")
"""A catalog that is on no machine, so that its path may be said."""
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SMALL = """
[matrix]
models = ["a", "b"]
prompt_sets = ["small"]
attacks = ["none", "roleplay"]
judges = [{use = "refusal", scopes = ["answer"]}]
[models.a]
backend = "simulated"
model = "a"
[models.b]
backend = "simulated"
model = "b"
[prompt_sets.small]
rows = [{ id = "p1", text = "one" }, { id = "p2", text = "two" }, { id = "p3", text = "three" }]
"""
LEAKS = re.compile(r"pytest|/tmp|/home|/work|/root|\.duckdb(?<!/nowhere/catalog\.duckdb)")
"""What a picture that is the same everywhere does not have in it."""

Compare = Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture: what is opened in which catalog, and the keys that are pressed then."""

    name: str
    place: Place | Callable[[dict[tuple[str, str], str]], Place]
    """A place, or how to make it of the ids of the catalog `traces`."""
    held: str = "quickstart"
    """The catalog: `quickstart`, `traces`, `empty` or `none`."""
    keys: tuple[str, ...] = ()
    size: tuple[int, int] = (100, 30)
    theme: str | None = None
    colour: bool = True


@pytest.fixture(scope="session", autouse=True)
def _pictures_are_svg() -> None:
    """Have the plugin name its files `.svg`: it says so in an attribute that syrupy 5 calls by another name."""
    import pytest_textual_snapshot  # type: ignore[import-untyped]

    pytest_textual_snapshot.SVGImageExtension.file_extension = "svg"


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return the quickstart's cells, as if each response had come at the same moment and of the same run."""
    catalog = Catalog(tmp_path_factory.mktemp("quickstart") / "catalog.duckdb")
    fill(resolve(ROOT / "specs" / "quickstart.toml", Registry([packaged()])), catalog)
    _same_everywhere(catalog)
    return catalog


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a response of each kind, some of which one of two models alone is unsafe on."""
    catalog = trace_catalog.filled(tmp_path_factory.mktemp("traces"))
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.prompts SET expect = 'unsafe'")
        connection.execute(
            """
            UPDATE lrm.verdicts SET score = 0.5, unsafe = generation_n IN (
                SELECT generation_n FROM cells WHERE (model, prompt) IN (('alpha', 'plain'), ('beta', 'empty')))
            """
        )
    _same_everywhere(catalog)
    return catalog


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog that holds no cell."""
    catalog = Catalog(tmp_path_factory.mktemp("empty") / "catalog.duckdb")
    with catalog.writing():
        pass
    return catalog


@pytest.fixture
def catalogs(quickstart: Catalog, traces: Catalog, empty: Catalog) -> dict[str, Catalog]:
    """Return the catalogs by name."""
    return {"quickstart": quickstart, "traces": traces, "empty": empty, "none": Catalog(NOWHERE)}


def _same_everywhere(catalog: Catalog) -> None:
    """Take out of a catalog when, where and how fast it was filled."""
    with catalog.writing() as connection:
        connection.execute(
            "UPDATE lrm.generations SET latency_ms = 1000 + 10 * coalesce(output_tokens, 0), received_at = $at, run = 'r1'",
            {"at": MOMENT.replace(tzinfo=None)},
        )
        connection.execute("UPDATE lrm.verdicts SET judged_at = $at", {"at": MOMENT.replace(tzinfo=None)})
        connection.execute("DELETE FROM lrm.runs")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have the same terminal, user, folder and moment everywhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "LRM_THEME", "LRM_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LRM_CATALOG", "catalog.duckdb")  # so that no command has to name the catalog
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("textual.constants.COLOR_SYSTEM", "truecolor")
    monkeypatch.setattr("lrm_tui.base._SPINNER", "⠋")
    monkeypatch.setattr("lrm.clock.monotonic", lambda: 1000.0)
    monkeypatch.setattr("lrm.clock.now", lambda: MOMENT)
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "wrong.toml").write_text(SMALL.replace("attacks =", "atacks ="))


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until nothing is being done, and let no cursor blink."""
    for _ in range(4):
        await pilot.app.workers.wait_for_complete()
        await pilot.pause()
    for widget in (*pilot.app.screen.query(Input), *pilot.app.screen.query(TextArea)):
        widget.cursor_blink = False
    await pilot.pause()


def pressing(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    """Return what is done before the picture: keys, each pressed when the one before is done."""

    async def run_before(pilot: Pilot[Any]) -> None:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return run_before


def application(catalog: Catalog, place: Place, **settings: Any) -> LrmApp:
    """Return the app of a catalog."""
    return LrmApp(catalog, place, settings=Settings(annotator="ann", **settings))


QUICK = Slice("quickstart")
GRID = MatrixPlace(QUICK, columns="attack")
LIST = SamplesPlace(QUICK)
RUBRIC = "answer-harm"


def trace(model: str, prompt: str) -> Callable[[dict[tuple[str, str], str]], Place]:
    """Return how the trace of a response is opened."""
    return lambda ids: TracePlace(ids[model, prompt])


def labelling(model: str, prompt: str) -> Callable[[dict[tuple[str, str], str]], Place]:
    """Return how one response is labelled."""
    return lambda ids: AnnotatePlace(ids[model, prompt], rubric=RUBRIC)


SHOTS = (
    Shot("matrix", GRID),
    Shot("matrix, marks and gaps", MatrixPlace(Slice("spec"), columns="state"), "traces"),
    Shot("matrix, differences with intervals", GRID, keys=("d", "i")),
    Shot("matrix, 80 × 24", GRID, size=(80, 24)),
    Shot("matrix, light", GRID, theme="lrm-light"),
    Shot("matrix, no colour", GRID, colour=False),
    Shot("matrix, no catalog", MatrixPlace(), "none"),
    Shot("matrix, no cell matches", MatrixPlace(Slice("quickstart", (("model", ("nobody",)),)))),
    Shot("matrix, error", MatrixPlace(Slice("quickstar"))),
    Shot("samples", LIST),
    Shot("samples, of each kind", SamplesPlace(Slice("spec")), "traces"),
    Shot("samples, filtered and marked", SamplesPlace(QUICK, "unsafe and attack = none"), keys=("space", "j", "w")),
    Shot("samples, 80 × 24", LIST, size=(80, 24)),
    Shot("samples, no colour", LIST, colour=False),
    Shot("samples, empty", SamplesPlace(QUICK, "attack = nothing")),
    Shot("samples, error", SamplesPlace(QUICK, "unsaf and")),
    Shot("trace", trace("alpha", "plain"), "traces"),
    Shot("trace, hostile text", trace("alpha", "nasty"), "traces"),
    Shot("trace, long thinking folded", trace("alpha", "long"), "traces", keys=("t",)),
    Shot("trace, metadata", trace("alpha", "plain"), "traces", keys=("M",)),
    Shot("trace, 80 × 24", trace("alpha", "plain"), "traces", size=(80, 24)),
    Shot("trace, light", trace("alpha", "plain"), "traces", theme="lrm-light"),
    Shot("trace, no colour", trace("alpha", "plain"), "traces", colour=False),
    Shot("trace, not asked", trace("gamma", "plain"), "traces"),
    Shot("trace, failed", trace("alpha", "failed"), "traces"),
    Shot("trace, error", TracePlace("g1:00000000"), "traces"),
    Shot("compare", ComparePlace(Slice("spec"), ("alpha", "beta"), judge="refusal", scope="answer"), "traces"),
    Shot("compare, words that differ", ComparePlace(QUICK, ("sim-reasoning", "sim-hidden")), keys=("D",)),
    Shot(
        "compare, empty", ComparePlace(Slice("spec"), ("alpha", "beta"), "both_unsafe", "refusal", "answer"), "traces"
    ),
    Shot("compare, error", ComparePlace(Slice("spec"), ("alpha", "beto")), "traces"),
    Shot("annotate, blind", labelling("alpha", "plain"), "traces"),
    Shot("annotate, labelled", labelling("alpha", "plain"), "traces", keys=("2", "H")),
    Shot("annotate, empty", AnnotatePlace(samples=SamplesPlace(QUICK, "attack = nothing"), rubric=RUBRIC)),
    Shot("annotate, which rubric", AnnotatePlace(samples=LIST)),
    Shot("annotate, error", AnnotatePlace("missing.txt", rubric=RUBRIC)),
    Shot("search", SearchPlace("refuse", QUICK)),
    Shot("search, nothing found", SearchPlace("no such words", QUICK)),
    Shot("search, nothing asked", SearchPlace("", QUICK)),
    Shot("search, error", SearchPlace("refuse"), "none"),
    Shot("sql", SqlPlace("SELECT model, attack, count(*) AS cells FROM cells GROUP BY ALL ORDER BY ALL")),
    Shot("sql, examples", SqlPlace()),
    Shot("sql, error", SqlPlace("SELECT model,\n  atack\nFROM cells")),
    Shot("plan", PlanPlace("small.toml"), "none", keys=("enter",)),
    Shot("plan, error", PlanPlace("wrong.toml"), "none"),
    Shot("monitor, empty", MonitorPlace(), "empty"),
    Shot("monitor, error", MonitorPlace("nobody"), "empty"),
    Shot("help", GRID, keys=("question_mark",)),
    Shot("palette", GRID, keys=("colon",)),
    Shot("dialog", GRID, keys=("m",)),
    Shot("letters", trace("alpha", "plain"), "traces", keys=("y",)),
)


@pytest.mark.parametrize("shot", SHOTS, ids=[re.sub(r"\W+", "_", shot.name) for shot in SHOTS])
def test_view(shot: Shot, catalogs: dict[str, Catalog], snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each view looks as it did; where there is no colour, signs and brightness say everything."""
    if not shot.colour:
        monkeypatch.setenv("NO_COLOR", "1")
    catalog = catalogs[shot.held]
    place = shot.place(trace_catalog.ids(catalog)) if callable(shot.place) else shot.place
    app = application(catalog, place, theme=shot.theme)
    assert snap_compare(app, terminal_size=shot.size, run_before=pressing(*shot.keys))


class Waiting(LrmApp):
    """The app, which gets nothing out of the catalog until the picture is taken."""

    def __init__(self, catalog: Catalog, place: Place) -> None:
        super().__init__(catalog, place, settings=Settings(annotator="ann"))
        self._holding = ExitStack()
        self._holding.enter_context(self.reader.alone())

    def exit(self, *args: Any, **kwargs: Any) -> None:
        """Let the workers go on, only to hear that nobody waits for them, and leave."""
        for screen in self.screen_stack:
            if isinstance(screen, View):
                screen.stop()
        self._holding.close()
        super().exit(*args, **kwargs)


@pytest.mark.parametrize(
    "place",
    [GRID, LIST, TracePlace("g1:00000000"), SearchPlace("refuse", QUICK)],
    ids=["matrix", "samples", "trace", "search"],
)
def test_loading(place: Place, quickstart: Catalog, snap_compare: Compare) -> None:
    """What is not there yet is said to be on its way."""

    async def run_before(pilot: Pilot[Any]) -> None:
        for _ in range(4):
            await pilot.pause()

    assert snap_compare(Waiting(quickstart, place), terminal_size=(100, 30), run_before=run_before)


RUN = RunState("r1", "small", "lrm matrix fill small.toml", "here", 1, None, "running", (LANE, SECOND), speed=10.0)
SIGHT = Sight("r1", alive=True, state=RUN, age_s=1.0, journal_bytes=0, journal_age_s=None, end=None, died=False)
FAILURE = Failure("2026-01-02T03:04:00+00:00", "m", "c1:" + "ab" * 32, "server", 500, 2, 4.0)
BEFORE = (
    HeldRun("r0", "small", datetime(2026, 1, 1, 9, 0), datetime(2026, 1, 1, 9, 5), "ended", None, 550, 0, 551, 1.25),  # noqa: DTZ001
    HeldRun("q9", "small", datetime(2026, 1, 1, 8, 0), datetime(2026, 1, 1, 8, 1), "budget", "cost", 20, 3, 26, 0.1),  # noqa: DTZ001
)
LOOKS = {
    "running": Seen(Desks((RUN,), ()), SIGHT, (FAILURE,), 1, recent=BEFORE),
    "list": Seen(Desks((), ()), None, recent=BEFORE),
}


@pytest.mark.parametrize("name", LOOKS)
def test_monitor(name: str, empty: Catalog, snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running fill, and the list of those that ended; what a look finds is given, for it is never twice the same."""
    monkeypatch.setattr(MonitorView, "_see", lambda _: LOOKS[name])
    assert snap_compare(application(empty, MonitorPlace()), terminal_size=(100, 30), run_before=pressing())


def test_plan_with_nothing_to_do(snap_compare: Compare, tmp_path: Path) -> None:
    """A plan of what is all there."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    builders.answer(catalog, resolve(tmp_path / "small.toml", Registry([packaged()])))
    app = application(catalog, PlanPlace("small.toml"))
    assert snap_compare(app, terminal_size=(100, 30), run_before=pressing())


def test_nothing_of_this_machine_is_in_a_picture() -> None:
    """No picture names a folder of the machine that it was made on."""
    pictures = sorted((Path(__file__).parent / "__snapshots__").rglob("*.svg"))
    if not pictures:
        pytest.skip("none is drawn yet: they are written when the session ends")
    for picture in pictures:
        found = LEAKS.search(re.sub(r"<style>.*?</style>", "", picture.read_text(encoding="utf-8"), flags=re.DOTALL))
        assert found is None, (picture.name, found)
