"""What a fill of a spec would do, as a tree by model, set and attack, and what of it is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lrm.engines.words import engines_line
from lrm.errors import MissingError
from lrm.text import visible
from lrm_tui.screens.matrix_text import short
from lrm_tui.screens.monitor_lines import Piece, TextLine, line
from lrm_tui.screens.monitor_state import bar, money

if TYPE_CHECKING:
    from lrm.plan.plan import Block, Plan
    from lrm.store.catalog import Catalog

Axis = Literal["model", "prompt_set", "attack"]
TREE: tuple[Axis, ...] = ("model", "prompt_set", "attack")
"""What the tree goes down by."""
MOST_LINES = 2_000
"""Lines of the tree that are made; the rest is counted."""
Path3 = tuple[str, ...]
"""Where a line is in the tree: a model; a model and a set; a model, a set and an attack."""


def spec_file(name: str, held: Sequence[tuple[str, str | None]], folder: Path) -> Path:
    """Return the file of a spec that is named by its file or by its name; `held` are the catalog's names with their files.

    Raises MissingError where there is no such file.
    """
    given = folder / name
    if given.suffix == ".toml" or given.is_file():
        return _short(given, folder)
    places = [folder / file for one, file in held if one == name and file] + [folder / "specs" / f"{name}.toml"]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        where = ", ".join(str(_short(path, folder)) for path in dict.fromkeys(places))
        raise MissingError(
            f"the file of the spec `{name}` is not here: looked for {where}",
            hint="start lrm in the folder that it was filled from, or name the file: `lrm tui plan FILE`",
        )
    return _short(found, folder)


def _short(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def planned(catalog: Catalog, spec: Path, only: dict[str, list[str]]) -> Plan:
    """Return what a fill of a spec would do now. Slow: for a worker. Changes nothing.

    Raises SpecError with file, line and key; MissingError, BusyError, CatalogError.
    """
    from dataclasses import replace

    from lrm.plan import planner, workspace
    from lrm.plan.estimate import check_prices
    from lrm.registry.layers import Registry
    from lrm.spec.lock import read_lock
    from lrm.spec.resolve import resolve
    from lrm.store.live import live_runs

    registry = Registry.open((), Path.cwd())
    matrix = resolve(spec, registry, only=only or None)
    if only:
        matrix = replace(matrix, budget=resolve(spec, registry).budget)
    with workspace.opened(catalog, matrix, read_lock(spec)) as space:
        plan = planner.plan(space, live=live_runs(catalog))
        check_prices(space, plan, plan.budget)
    return plan


@dataclass(frozen=True, slots=True)
class Sums:
    """Cells of a part of the tree."""

    cells: int
    done: int
    blocked: int
    failed: int
    missing: int


def sums(blocks: Sequence[Block]) -> Sums:
    """Return the sums of blocks."""
    return Sums(
        sum(one.cells for one in blocks), sum(one.done for one in blocks), sum(one.blocked for one in blocks),
        sum(one.failed for one in blocks), sum(one.missing for one in blocks),
    )  # fmt: skip


@dataclass(slots=True)
class PlanState:
    """A plan of a whole spec, the plan of what is kept of it, and how they are looked at."""

    whole: Plan
    file: Path
    kept: Plan | None = None
    """The plan without what is left out; None while it is being made."""
    left_out: dict[Axis, set[str]] = field(default_factory=lambda: {axis: set() for axis in TREE})
    open: set[Path3] = field(default_factory=set)
    all_shown: bool = False
    """Whether parts without anything missing are listed too."""

    def values(self, axis: Axis) -> list[str]:
        """Return the values of an axis, in the plan's order."""
        return list(dict.fromkeys(getattr(one, axis) for one in self.whole.blocks))

    def only(self) -> dict[str, list[str]]:
        """Return what `--only` has to keep: of each axis with something left out, the rest."""
        return {
            axis: [value for value in self.values(axis) if value not in out]
            for axis, out in self.left_out.items()
            if out
        }

    def toggle(self, path: Path3) -> str | None:
        """Leave out the value that a line of the tree is of, under every other, or take it in again.

        Returns what is wrong where nothing would be left.
        """
        axis, value = TREE[len(path) - 1], path[-1]
        out = self.left_out[axis]
        if value in out:
            out.remove(value)
        elif len(out) + 1 == len(self.values(axis)):
            return f"nothing would be left: {value} is the last of its kind"
        else:
            out.add(value)
        self.kept = None if any(self.left_out.values()) else self.whole
        return None

    def is_out(self, path: Path3) -> bool:
        """Return whether a line of the tree is left out, by itself or by what is above it."""
        return any(value in self.left_out[axis] for axis, value in zip(TREE, path, strict=False))

    def command(self, catalog: str | None) -> list[str]:
        """Return the words that fill what is kept."""
        words = ["lrm", "matrix", "fill", str(self.file)]
        for axis, values in self.only().items():
            for value in values:
                words += ["--only", f"{axis}={value}"]
        return [*words, *(["--catalog", catalog] if catalog else [])]

    # Lines

    def lines(self, width: int) -> list[TextLine]:
        """Return the page."""
        return [*self.head(), line(), *self.tree(width), *self.costs(), *self.judges()]

    def head(self) -> list[TextLine]:
        """Return what there is to do, in a few lines."""
        plan = self.kept
        if plan is None:
            return [line(Piece("plans what is kept …", "dim")), line(), line()]
        if plan.nothing_to_do:
            what = f"nothing to do: {plan.done:,} of {plan.cells:,} cells are present"
            if plan.missing:
                what = (
                    f"nothing to do here: {plan.missing:,} of {plan.cells:,} cells are missing, and asked for already"
                )
            return [line(Piece(what, "good")), line(*_pulled(plan)), line()]
        first = [
            Piece(f"{plan.cells:,} cells  "), Piece(f"{plan.done:,} present  ", "good"),
            Piece(f"{plan.missing:,} missing", "warn" if plan.missing else "dim"),
        ]  # fmt: skip
        for count, words, style in (
            (plan.failed, "failed, and asked again", "bad"),
            (plan.blocked, "blocked by the provider: present, not asked again", "plain"),
        ):
            if count:
                first.append(Piece(f"  {count:,} {words}", "bad" if style == "bad" else "plain"))
        calls = [f"{plan.calls:,} calls to make"]
        if plan.shared:
            calls.append(f"{plan.shared:,} are made by another running fill")
        if plan.at_provider:
            calls.append(f"{plan.at_provider:,} answered by batches at the provider")
        if plan.ungraded:
            calls.append(f"{plan.ungraded:,} verdicts missing on what is present")
        if plan.pursuits:
            calls.append(f"at most {plan.pursuit_calls:,} calls of attacks with other models in them")
        if plan.judge_calls:
            calls.append(f"at most {plan.judge_calls:,} questions to judge models")
        tokens = "unknown" if plan.total_tokens is None else short(plan.total_tokens)
        cost = f"cost about {money(plan.cost)}"
        if plan.judge_calls or plan.pursuits:
            also = " and ".join([*(["attacks"] if plan.pursuits else []), *(["judges"] if plan.judge_calls else [])])
            cost += f", with {also} at most {money(plan.total_cost)}"
        cost += f"   tokens {tokens}"
        if plan.budget:
            cost += f"   budget: {plan.budget.said()}"
        engines = [line(engines_line(plan))] if plan.engines else []
        pulled = [line(*_pulled(plan))] if plan.pulled else []
        return [line(*first), *pulled, line("  ".join(calls)), line(cost), *engines]

    def tree(self, width: int) -> Iterator[TextLine]:
        """Give the lines of the tree."""
        nodes = self._nodes()
        name = min(max((2 * len(path) + len(path[-1]) + 3 for path, _ in nodes[:MOST_LINES]), default=10), 48)
        yield line(Piece(f"{'model › prompt set › attack':<{name + 2}} {'present of cells':>22}", "head"))
        for path, blocks in nodes[:MOST_LINES]:
            yield self._node(path, sums(blocks), name, width)
        if len(nodes) > MOST_LINES:
            yield line(Piece(f"and {len(nodes) - MOST_LINES:,} more", "dim"))
        if self.whole.not_applicable:
            yield line(
                Piece(
                    f"{self.whole.not_applicable:,} combinations are no cells: the attack has nothing for the prompt",
                    "dim",
                )
            )
        yield line()

    def _nodes(self) -> list[tuple[Path3, list[Block]]]:
        found: list[tuple[Path3, list[Block]]] = []

        def down(path: Path3, blocks: list[Block]) -> None:
            axis = TREE[len(path)]
            groups: dict[str, list[Block]] = {}
            for one in blocks:
                groups.setdefault(getattr(one, axis), []).append(one)
            for value, inside in groups.items():
                here = (*path, value)
                found.append((here, inside))
                if here in self.open and len(here) < len(TREE):
                    down(here, inside)

        down((), list(self.whole.blocks))
        return found

    def _node(self, path: Path3, found: Sums, name: int, width: int) -> TextLine:
        out = self.is_out(path)
        leaf = len(path) == len(TREE)
        sign = " " if leaf else "▾" if path in self.open else "▸"
        box = "[ ]" if out else "[x]"
        label = f"{'  ' * (len(path) - 1)}{sign} {path[-1]}"
        room = max(min(width - name - 60, 24), 6)
        pieces = [
            Piece(f"{box} {label:<{name - 2}}", "dim" if out else "plain"),
            Piece(f" {found.done:>9,} of {found.cells:>8,} ", "dim" if out else "plain"),
            *bar(found.done, 0, found.cells, room),
            Piece(
                f" {found.missing:,} missing" if found.missing else " complete",
                "dim" if out or not found.missing else "warn",
            ),
        ]
        if found.failed:
            pieces.append(Piece(f"  {found.failed:,} failed", "bad"))
        if found.blocked:
            pieces.append(Piece(f"  {found.blocked:,} blocked", "dim"))
        return TextLine(tuple(pieces), path)

    def costs(self) -> Iterator[TextLine]:
        """Give what each model's calls will take, and where that is known from."""
        plan = self.kept
        found = () if plan is None else (*plan.estimates, *plan.pursuit_estimates, *plan.judge_estimates)
        if not found:
            return
        width = max(len(one.model) for one in found)
        yield line(
            Piece(f"{'model':<{width}} {'calls':>9} {'tokens in':>10} {'out':>10} {'cost':>12}  estimated from", "head")
        )
        for one in found:
            counts = ["unknown" if n is None else short(n) for n in (one.input_tokens, one.output_tokens)]
            yield line(
                f"{one.model:<{width}} {one.calls:>9,} {counts[0]:>10} {counts[1]:>10} {money(one.cost):>12}  ",
                Piece(one.basis, "dim"),
            )
        yield line()

    def judges(self) -> Iterator[TextLine]:
        """Give the judges with verdicts missing on what is present."""
        plan = self.kept
        found = [] if plan is None else [one for one in plan.judges if one.ungraded or one.calls or one.later]
        if not found:
            return
        width = max(len(f"{one.judge} on {one.scope}") for one in found)
        yield line(Piece(f"{'judge':<{width}} {'graded':>10} {'missing':>10} {'questions at most':>18}", "head"))
        for one in found:
            label = f"{one.judge} on {one.scope}"
            yield line(f"{label:<{width}} {one.graded:>10,} {one.ungraded:>10,} {one.calls + one.later:>18,}")

    def question(self) -> str:
        """Return what is asked before a fill is begun: the numbers."""
        plan = self.kept
        assert plan is not None
        text = "\n".join(one.text for one in self.head() if one.text)
        return (
            f"Fill {plan.spec}?\n{text}\nIt runs as a process of its own: leaving this does not stop it, and it can be "
            "paused and stopped from the monitor."
        )


def _pulled(plan: Plan) -> tuple[Piece, ...]:
    return (Piece(visible(plan.pulled_said, one_line=True), "dim"),) if plan.pulled else ()
