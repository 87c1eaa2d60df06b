"""The view `samples`: one line a sample, and beside it the beginning of the one under the cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.timer import Timer

from lrm.browse.places import AnnotatePlace, ComparePlace, Place, SamplesPlace, SearchPlace, TracePlace
from lrm.browse.reader import Reader, Stop
from lrm.errors import LrmError
from lrm_tui.base import Pane, View
from lrm_tui.dialogs import Ask, Choose
from lrm_tui.screens import frequencies, samples_files
from lrm_tui.screens.samples_detail import Detail, head, texts
from lrm_tui.screens.samples_glance import glance
from lrm_tui.screens.samples_state import (
    DISAGREE,
    NARROW,
    PANES,
    UNSAFE,
    UNSAFE_THINKING,
    Held,
    Layout,
    added,
    equals,
    key_of,
    layout,
    sort_name,
    toggled,
)
from lrm_tui.widgets.rows_view import PAGE, RowsView

if TYPE_CHECKING:
    from lrm.browse.samples import Frequency, Sample, Samples
    from lrm_tui.screens.samples_glance import Glance

REST_S = 0.08
"""How long the cursor rests on a row before the pane beside the list asks for it, in seconds."""


class SampleItems:
    """The list as what views opened from it step through."""

    def __init__(self, reader: Reader, samples: Samples) -> None:
        self._reader = reader
        self._samples = samples

    @property
    def count(self) -> int:
        """How many there are."""
        return self._samples.count

    def place_at(self, row: int) -> Place | None:
        """Return the place of a sample."""
        sample = self._samples.sample(row)
        return None if sample is None else place_of(self._reader, sample)


def place_of(reader: Reader, sample: Sample, stop: Stop | None = None) -> TracePlace:
    """Return the place of a sample; the call of one that nobody has asked for has no row, so its id is computed."""
    if sample.id is not None:
        return TracePlace(sample.id, sample.prompt)
    from lrm.browse.trace import read_trace_of

    return TracePlace(read_trace_of(reader, sample, stop, spec=sample.spec).call, sample.prompt)


class SamplesView(View):
    """The view `samples`."""

    view: ClassVar[str] = "samples"
    DEFAULT_CSS = """
    SamplesView #body > Horizontal { height: 1fr; }
    SamplesView Detail { width: 34%; }
    SamplesView.-half Detail { width: 50%; }
    SamplesView.-none Detail { display: none; }
    """

    def __init__(self, place: Place, **given: object) -> None:
        super().__init__(place, **given)  # type: ignore[arg-type]
        self.samples: Samples | None = None
        self.held = Held()
        self._came_with = self.listed.where
        self._layout: Layout | None = None
        self._width = PANES[0]
        self._rest: Timer | None = None
        self._matches: Samples | None = None
        self._child: View | None = None

    @property
    def listed(self) -> SamplesPlace:
        """What is listed."""
        return cast("SamplesPlace", self.place)

    @property
    def rows(self) -> RowsView:
        """The list."""
        return self.query_one("#list", RowsView)

    @property
    def detail(self) -> Detail:
        """The pane beside it."""
        return self.query_one(Detail)

    def body(self) -> ComposeResult:
        """Make list and pane."""
        with Horizontal():
            yield RowsView(id="list", classes="-active")
            yield Detail()

    def on_mount(self) -> None:
        """Let the keys of movement act on the list, and begin to load."""
        self.pane = self.rows
        super().on_mount()

    def panes(self) -> tuple[Pane, ...]:
        """Return list and pane."""
        return (self.rows, self.detail) if self._shows_detail else (self.rows,)

    # Reading

    def load(self) -> None:
        """Order the samples and show the first of them."""
        now = self._now()
        where = None if now is None else now.id
        place = self.listed
        self.ask("open", partial(self._open, place, where, self.rows.row), self._opened)

    def _open(
        self, place: SamplesPlace, where: str | None, row: int, stop: Stop
    ) -> tuple[Samples, int, tuple[Sample, ...]]:
        from lrm.browse.samples import open_samples

        samples = open_samples(self.lrm.reader, place, stop)
        if where is not None:
            found = samples.row_of(where)
            row = 0 if found is None else found
        row = min(row, max(samples.count - 1, 0))
        return samples, row, samples.page(row // PAGE * PAGE, PAGE, stop)

    def _opened(self, found: tuple[Samples, int, tuple[Sample, ...]]) -> None:
        samples, row, page = found
        if self.samples is not None:
            self.samples.close()
        self._forget_matches()
        self.samples = samples
        self.held.pages.clear()
        self.held.keep(row // PAGE * PAGE, page)
        made = layout(self.listed, samples.judges, page, len(self.lrm.names.attacks))
        if self._layout is None or made.columns != self._layout.columns:
            self.rows.set_columns(made.columns)
        self._layout = made
        self.rows.set_empty(self._empty_words())
        self.rows.set_sorted(self._sorted_key(made), down=self.listed.sort.startswith("-"))
        self.rows.set_count(samples.count, row=row)
        self._look_soon()

    def _empty_words(self) -> str:
        if self.listed.where:
            return f"no sample matches: {self.listed.where}   (Esc clears the filter, f changes it)"
        spec = self.listed.slice.spec
        if self.listed.slice.only:
            return "no sample is in this part of the matrix (Esc goes back)"
        return f"there are no samples yet: lrm matrix fill {spec or 'specs/quickstart.toml'} makes them"

    def _sorted_key(self, made: Layout) -> str | None:
        name = self.listed.sort.removeprefix("-")
        return next((one.key for one in made.columns if name and sort_name(one.key) == name), None)

    def on_rows_view_wanted(self, message: RowsView.Wanted) -> None:
        """Read a page, unless it is there."""
        message.stop()
        samples, offset, turn = self.samples, message.offset, message.turn
        if samples is None or turn != self.rows.turn:
            return
        page = self.held.pages.get(offset // PAGE)
        if page is not None:
            self._give(offset, turn, page)
            return
        self.ask(
            f"page {offset // PAGE}",
            lambda stop: samples.page(offset, PAGE, stop),
            partial(self._came, samples, offset, turn),
        )

    def _came(self, samples: Samples, offset: int, turn: int, page: tuple[Sample, ...]) -> None:
        if samples is self.samples:
            self.held.keep(offset, page)
            self._give(offset, turn, page)

    def _give(self, offset: int, turn: int, page: tuple[Sample, ...]) -> None:
        if self._layout is not None:
            rows = [self._layout.row(sample) for sample in page]
            self.rows.give(offset, rows, keys=[key_of(sample) for sample in page], turn=turn)
            if offset <= self.rows.row < offset + len(page):
                self._look_soon()

    def failed(self, job: str, error: LrmError) -> None:
        """Note that rows which were asked for will not come."""
        if job.startswith("page"):
            self.rows.set_empty(error.message)

    def action_refresh(self) -> None:
        """Read the catalog again."""
        super().action_refresh()
        self.rows.ask_again()

    # The pane beside the list

    def _now(self) -> Sample | None:
        """Return the sample under the cursor; None where there is none, or it is not there yet."""
        return self.held.at(self.rows.row)

    @property
    def _shows_detail(self) -> bool:
        return self._width != "none" and self.size.width >= NARROW

    def on_rows_view_moved(self, message: RowsView.Moved) -> None:
        """Say where the cursor is, and soon what it is on."""
        message.stop()
        self._say_status()
        self._look_soon()

    def _look_soon(self) -> None:
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(REST_S, self._look)

    def _look(self) -> None:
        self._rest = None
        sample = self._now()
        if not self._shows_detail:
            return
        if sample is None:
            self.detail.show([])
            return
        self.detail.show([*head(sample), ("", "plain")])
        self.ask("look", partial(glance, self.lrm.reader, sample), partial(self._looked, sample))

    def _looked(self, sample: Sample, found: Glance) -> None:
        self.detail.show([*head(sample), ("", "plain"), *texts(found)])

    def action_pane(self) -> None:
        """Give the pane another width."""
        if self.size.width < NARROW:
            self.lrm.tell(f"the pane needs a terminal of {NARROW} columns")
            return
        self._width = PANES[(PANES.index(self._width) + 1) % len(PANES)]
        self._arrange()

    def on_resize(self) -> None:
        """Hide the pane where there is no room for it."""
        self._arrange()

    def _arrange(self) -> None:
        shown = self._shows_detail
        self.set_class(not shown, "-none")
        self.set_class(self._width == "half", "-half")
        if self.pane is self.detail and not shown:
            self.activate(self.rows)
        if shown:
            self._look_soon()

    # The lines

    def crumbs(self) -> str:
        """Return which part of the matrix is listed."""
        part = self.listed.slice
        words = [
            part.spec or "",
            *(", ".join(values[:2]) + (" …" if len(values) > 2 else "") for _, values in part.only),
        ]
        return " ".join(["samples", *(f"· {word}" for word in words if word)])

    def status(self) -> str:
        """Return row, count, filter, order, marks."""
        if self.samples is None:
            return ""
        count = self.samples.count
        # What is listed stays until the new order is there, so its count would be that of another filter.
        parts = ["…" if "open" in self._stops else f"{min(self.rows.row + 1, count):,} of {count:,}"]
        if self.listed.where:
            parts.append(f"filter: {self.listed.where}")
        if self.listed.sort:
            name = self.listed.sort.removeprefix("-")
            parts.append(f"by {name}{', largest first' if self.listed.sort.startswith('-') else ''}")
        if self.held.marked:
            parts.append(f"{len(self.held.marked):,} marked")
        if self._matches is not None:
            parts.append(f"/{self.held.find}: {self._matches.count:,} match")
        return "  ·  ".join(parts)

    # Going on

    def _go(self, place: SamplesPlace) -> None:
        self.place = place
        self.load()
        self.say()

    def action_enter(self) -> None:
        """Open the sample under the cursor."""
        samples, sample = self.samples, self._now()
        if samples is None or sample is None:
            return
        row = self.rows.row
        if sample.id is not None:
            self._enter(samples, row, TracePlace(sample.id, sample.prompt))
        else:
            self.ask("enter", partial(place_of, self.lrm.reader, sample), partial(self._enter, samples, row))

    def _enter(self, samples: Samples, row: int, place: TracePlace) -> None:
        self.lrm.open(place, items=SampleItems(self.lrm.reader, samples), row=row)
        self._child = cast("View", self.app.screen_stack[-1])

    def on_rows_view_chosen(self, message: RowsView.Chosen) -> None:
        """Open what was clicked twice."""
        message.stop()
        self.action_enter()

    def on_screen_resume(self) -> None:
        """Stand on the sample that was reached in the view that was closed."""
        super().on_screen_resume()
        child, self._child = self._child, None
        if child is not None and child.row is not None:
            self.rows.jump(child.row)

    def action_out(self) -> None:
        """Go back. Pages and the pane beside the list are no reason to stay; a filter that is given up leaves the list as it is."""
        if all(job == "look" or job.startswith("page") for job in self._stops) and self.error is None:
            if not self.cleared():
                self.lrm.back()
            return
        super().action_out()
        if self.samples is not None and "open" not in self._stops and self.place != self.samples.place:
            self.place = self.samples.place
            self.say()

    def cleared(self) -> bool:
        """Clear the search, the marks, then what was added to the filter that the view began with."""
        if self._matches is not None:
            self._forget_matches()
        elif self.held.marked:
            self.held.marked.clear()
            self.rows.set_marks(())
        elif self.samples is not None and not self.samples.count and self.listed.where:
            self._came_with = ""
            self._go(replace(self.listed, where=""))
        elif self.listed.where != self._came_with:
            self._go(replace(self.listed, where=self._came_with))
        else:
            return False
        self.say()
        return True

    # Order and filter

    def action_sort(self) -> None:
        """Sort by the column under the cursor, smallest first."""
        self._sort("")

    def action_sort_down(self) -> None:
        """Sort by the column under the cursor, largest first."""
        self._sort("-")

    def _sort(self, sign: str) -> None:
        column = self.rows.column_key
        if column is not None:
            wanted = sign + sort_name(column)
            self._go(replace(self.listed, sort="" if self.listed.sort == wanted else wanted))

    def on_rows_view_head_clicked(self, message: RowsView.HeadClicked) -> None:
        """Sort by a column: smallest first, then largest first, then as before."""
        message.stop()
        name = sort_name(message.column.key)
        after = {name: f"-{name}", f"-{name}": ""}
        self._go(replace(self.listed, sort=after.get(self.listed.sort, name)))

    def action_unsafe(self) -> None:
        """Only what a judge calls unsafe; again for all."""
        self._toggle(UNSAFE)

    def action_disagree(self) -> None:
        """Only what judges disagree on; again for all."""
        self._toggle(DISAGREE)

    def action_thinking_only(self) -> None:
        """Only what thinks unsafely and answers safely; again for all."""
        self._toggle(UNSAFE_THINKING)

    def _toggle(self, wanted: str) -> None:
        try:
            where = toggled(self.listed.where, wanted)
        except LrmError as error:
            self.lrm.tell(str(error), bad=True)
            return
        self._go(replace(self.listed, where=where))

    def action_filter(self) -> None:
        """Ask which samples."""
        from lrm.browse.filters import FIELDS

        hint = (
            'e.g. unsafe and seconds > 3 · model ~ r1 · thinking_tokens > 2k · "words of the prompt" · not (a or b)\n'
            f"{' '.join(FIELDS)}\nEmpty lists all. Enter takes it, Esc leaves it as it is."
        )

        def chosen(answer: object) -> None:
            if isinstance(answer, str):
                self._go(replace(self.listed, where=answer.strip()))

        self.app.push_screen(Ask("which samples", self.listed.where, hint=hint, check=wrong), chosen)

    def action_frequencies(self) -> None:
        """Count the values of the column under the cursor."""
        column = self.rows.column_key
        if column is None:
            return
        name = sort_name(column)
        place = self.listed

        def count(stop: Stop) -> tuple[Frequency, ...]:
            from lrm.browse.samples import frequencies as counted

            return tuple(counted(self.lrm.reader, place, name, stop))

        self.ask("frequencies", count, lambda found: frequencies.ask(self, name, found, partial(self._keep, name)))

    def _keep(self, column: str, value: str | None) -> None:
        self._go(replace(self.listed, where=added(self.listed.where, equals(column, value))))

    # Finding within the list

    def action_find(self) -> None:
        """Ask for words, and go to the next sample whose prompt has them."""

        def chosen(answer: object) -> None:
            if isinstance(answer, str) and answer.strip():
                self.held.find = answer.strip()
                self._find()

        hint = "in keys and prompts of what is listed; n and N go on. Ctrl-F searches thinking and answers."
        self.app.push_screen(Ask("find", self.held.find, hint=hint), chosen)

    def _find(self) -> None:
        from lrm.browse.nodes import quoted

        place = replace(self.listed, where=added(self.listed.where, quoted(self.held.find)))

        def matches(stop: Stop) -> Samples:
            from lrm.browse.samples import open_samples

            return open_samples(self.lrm.reader, place, stop)

        self.ask("find", matches, self._found)

    def _found(self, matches: Samples) -> None:
        self._forget_matches()
        self._matches = matches
        if matches.count:
            self._to_match(1, here=True)
        else:
            self.lrm.tell(f"nothing that is listed has “{self.held.find}” in its prompt")

    def _forget_matches(self) -> None:
        if self._matches is not None:
            self._matches.close()
            self._matches = None

    def action_next_match(self) -> None:
        """Go to the next sample that has the words."""
        self._to_match(1)

    def action_previous_match(self) -> None:
        """Go to the one before."""
        self._to_match(-1)

    def _to_match(self, step: int, *, here: bool = False) -> None:
        samples, matches, row = self.samples, self._matches, self.rows.row
        if samples is None or matches is None:
            if self.held.find:
                self._find()
            else:
                self.lrm.tell("/ finds words")
            return

        def nearest(_: Stop) -> int | None:
            return match_row(samples, matches, row, step, here=here)

        self.ask("match", nearest, self._at_match)

    def _at_match(self, row: int | None) -> None:
        if row is None:
            self.lrm.tell("there is no further match")
        else:
            self.rows.jump(row)

    def action_search_texts(self) -> None:
        """Search the texts of this part of the matrix."""
        if self.listed.where:
            self.lrm.tell("searches this part of the matrix; the filter does not narrow it")
        self.lrm.open(SearchPlace(self.held.find, self.listed.slice))

    # Marks and what they are for

    def action_mark(self) -> None:
        """Mark the sample, or take its mark off, and go to the next."""
        sample = self._now()
        marked = self.rows.mark()
        if sample is None or marked is None:
            return
        if marked:
            self.held.marked[key_of(sample)] = sample
        else:
            self.held.marked.pop(key_of(sample), None)
        self.rows.move(1, 0)
        self.say()

    def action_compare(self) -> None:
        """Compare the marked samples, or ask with which model."""
        marked = list(self.held.marked.values())
        if len(marked) >= 2:
            if len({(one.prompt_set, one.prompt) for one in marked}) > 1:
                self.lrm.tell("the marked samples answer different prompts: mark answers to the same one", bad=True)
            elif len({one.model for one in marked}) < len(marked):
                self.lrm.tell("two of the marked samples are of the same model: mark one of each", bad=True)
            else:
                self._compare(marked[0], tuple(one.model for one in marked))
            return
        sample = marked[0] if marked else self._now()
        if sample is None:
            return
        others = [(name, "") for name in self.lrm.names.models if name != sample.model]
        if not others:
            self.lrm.tell("the catalog has no other model")
            return

        def chosen(answer: object) -> None:
            if isinstance(answer, tuple):
                self._compare(sample, (sample.model, answer[0]))

        self.app.push_screen(Choose(f"compare {sample.model} with", others), chosen)

    def _compare(self, sample: Sample, models: tuple[str, ...]) -> None:
        part = self.listed.slice.narrowed("model", None).narrowed("prompt_set", (sample.prompt_set,))
        part = part.narrowed("attack", (sample.attack,))
        self.lrm.open(ComparePlace(part, models, judge=self.listed.judge, scope=self.listed.scope, at=sample.prompt))

    def action_annotate(self) -> None:
        """Label the marked samples, or all that are listed."""
        if self.samples is None or not self.samples.count:
            self.lrm.tell("there is nothing to label")
            return
        if not self.held.marked:
            self.lrm.open(AnnotatePlace(samples=self.listed))
            return
        ids = [one.id for one in self.held.marked.values() if one.id is not None]
        if not ids:
            self.lrm.tell("nobody has asked for what is marked yet: there is nothing to label", bad=True)
            return

        def write(_: Stop) -> str:
            from lrm_tui.outward import write_new

            return str(write_new(self.lrm.folder, "marked", "ids.txt", "".join(f"{one}\n" for one in ids)))

        self.ask("queue", write, self._queued)

    def _queued(self, path: str) -> None:
        self.lrm.tell(f"the marked samples are a queue now: {path}")
        self.lrm.open(AnnotatePlace(queue=path))

    # What leaves

    def copies(self) -> dict[str, tuple[str, Callable[[], str | None]]]:
        """Return id, prompt key, filter and row."""
        sample = self._now()
        return {
            "i": ("the id", lambda: None if sample is None else sample.id),
            "p": ("the prompt's key", lambda: None if sample is None else sample.prompt),
            "w": ("the filter", lambda: self.listed.where or None),
            "t": ("the row", lambda: self._row_words(self.rows.row)),
            **super().copies(),
        }

    def _row_words(self, row: int) -> str | None:
        cells = self.rows.cells(row)
        return None if cells is None else "\t".join(one if isinstance(one, str) else one.text for one in cells)

    def exports(self) -> dict[str, Callable[[], str]]:
        """Return the kinds of file."""
        samples = self.samples
        if samples is None:
            return {}
        return {
            "csv": partial(samples_files.as_csv, samples),
            "jsonl": partial(samples_files.as_jsonl, samples),
            "texts.jsonl": partial(samples_files.as_jsonl_with_texts, self.lrm.reader, samples),
            "ids.txt": partial(samples_files.as_ids, samples),
        }

    def text(self) -> str | None:
        """Return the head and the rows that are there."""
        if self._layout is None:
            return None
        lines = ["\t".join(column.title for column in self._layout.columns)]
        for page in sorted(self.held.pages):
            rows = range(page * PAGE, page * PAGE + len(self.held.pages[page]))
            lines += [words for words in map(self._row_words, rows) if words is not None]
        return "\n".join(lines) + "\n"

    def sql(self) -> str | None:
        """Return the same list as SQL over the views."""
        try:
            return samples_files.as_sql(self.listed)
        except LrmError:
            return None

    def on_unmount(self) -> None:
        """Forget the order of the samples."""
        super().on_unmount()
        self._forget_matches()
        if self.samples is not None:
            self.samples.close()


def wrong(text: str) -> str | None:
    """Return what is wrong with a filter; None where nothing is."""
    from lrm.browse.filters import compiled

    try:
        compiled(text)
    except LrmError as error:
        return str(error)
    return None


def match_row(samples: Samples, matches: Samples, row: int, step: int, *, here: bool = False) -> int | None:
    """Return the row of the nearest match after (1) or before (-1) a row; `here` takes the row itself too.

    Matches stand in the order of the list, so it is found by halving: a question for each halving, never one for each match.
    """
    low, high = 0, matches.count
    while low < high:
        middle = (low + high) // 2
        at = _row_of(samples, matches, middle)
        before = at is not None and (at < row or (at == row and step > 0 and not here))
        low, high = (middle + 1, high) if before else (low, middle)
    wanted = low if step > 0 else low - 1
    return _row_of(samples, matches, wanted) if 0 <= wanted < matches.count else None


def _row_of(samples: Samples, matches: Samples, number: int) -> int | None:
    """Return the row of a match, or of the next one that has an id to find it by."""
    for sample in matches.page(number, PAGE):
        if sample.id is not None:
            return samples.row_of(sample.id)
    return None
