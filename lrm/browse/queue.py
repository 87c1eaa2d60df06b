"""Queues: which responses are to be labelled, how far an annotator has come, and how far they agree with others so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lrm import hashing
from lrm.browse import ids
from lrm.browse.labels import Pending, find_targets, pending_labels
from lrm.browse.reader import Reader, Stop
from lrm.browse.rubric import Rubric
from lrm.errors import MissingError, SpecError
from lrm.quality.measures import Estimate, cohen, wilson
from lrm.store.annotations import Target

if TYPE_CHECKING:
    import duckdb

_WHOLE = 64
_CellKey = tuple[int, int, int, int]
"""Numbers of model, attack and prompt, and the replicate."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an annotator has come."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Agreed:
    """How far an annotator agrees with somebody else on the items of a queue that both have labelled."""

    name: str
    kind: Literal["annotator", "judge"]
    rubric: str | None
    """Of an annotator; None for a judge."""
    on: Literal["label", "harm"]
    """Whether labels were compared, or only what is said of harm, because the rubrics differ or it is a judge."""
    items: int
    same: Estimate | None
    """Share of the items on which they say the same, with Wilson's interval; None where there are none."""
    kappa: Estimate | None
    """Cohen's kappa; None where it is not defined, such as where only one thing was ever said."""


@dataclass(frozen=True, slots=True)
class _Mark:
    """One label of an item."""

    annotator: str
    rubric: str
    label: str | None
    unsafe: bool | None
    at: datetime | None
    prompt_n: int


@dataclass(slots=True)
class Queue:
    """Responses to label, in order, and which of them the annotator is done with."""

    items: tuple[str, ...]
    """Ids: `g1:…`, and `c1:…` of a call without a response. Each response once."""
    repeated: int
    """Ids of the source that named a response a second time."""
    unknown: tuple[str, ...]
    """Ids of the source that the catalog does not have."""
    name: str
    """The file's name, or what else to call it."""
    _generations: Mapping[int, str]
    _cells: Mapping[_CellKey, str]
    _done: set[str] = field(default_factory=set)

    @property
    def progress(self) -> Progress:
        """How far the annotator has come."""
        return Progress(len(self._done), len(self.items))

    def is_done(self, item: str) -> bool:
        """Return whether the annotator has labelled an item, also as unsure."""
        return item in self._done

    def mark(self, item: str, *, done: bool = True) -> None:
        """Say that an item was labelled just now, or that its label was taken back."""
        if item in self.items:
            (self._done.add if done else self._done.discard)(item)

    def next_undecided(self, after: str | None = None) -> str | None:
        """Return the next item without a label, after `after` and then from the start; None where all have one.

        `after` itself comes last, so what follows the item on the screen can be fetched before it is labelled.
        """
        at = self.items.index(after) + 1 if after in self.items else 0
        order = (*self.items[at:], *self.items[:at])
        return next((one for one in order if one not in self._done), None)

    def prefetch(self, current: str) -> str | None:
        """Return the item that comes when `current` is labelled; None where none is left."""
        found = self.next_undecided(current)
        return None if found == current else found

    def beside(self, current: str, step: int) -> str | None:
        """Return the item so many places on, or back; None beyond the ends."""
        if current not in self.items:
            return None
        at = self.items.index(current) + step
        return self.items[at] if 0 <= at < len(self.items) else None

    def item_of(self, target: Target) -> str | None:
        """Return the item that a label of this target is about; None where it is none of the queue."""
        if target.generation_n is not None:
            return self._generations.get(target.generation_n)
        return self._cells.get((target.model_n, target.attack_n, target.prompt_n, target.replicate))

    def refresh(self, reader: Reader, annotator: str, rubric: Rubric, stop: Stop | None = None) -> Progress:
        """Read anew what the annotator has labelled by this rubric: in the catalog, and on its way into it."""
        marks = self._marks(reader, rubric.scope, stop)
        self._done = {
            item
            for item, given in marks.items()
            if any(one.annotator == annotator and one.rubric == rubric.name for one in given)
        }
        return self.progress

    def agreement(self, reader: Reader, annotator: str, rubric: Rubric, stop: Stop | None = None) -> tuple[Agreed, ...]:
        """Return how far the annotator agrees with each other annotator and each judge, on what both have labelled.

        The newest label of an item counts. Labels are compared with those of the same rubric; with other rubrics, and with
        judges, what is said of harm. An item of which either says nothing is left out.
        """
        marks = self._marks(reader, rubric.scope, stop)
        mine: dict[str, _Mark] = {}
        others: dict[tuple[str, str], dict[str, _Mark]] = {}
        for item, given in marks.items():
            for one in given:
                if one.annotator != annotator:
                    others.setdefault((one.annotator, one.rubric), {})[item] = one
                elif one.rubric == rubric.name:
                    mine[item] = one
        found = [
            _agreed(name, "annotator", used, "label" if used == rubric.name else "harm", mine, theirs)
            for (name, used), theirs in sorted(others.items())
        ]
        for name, theirs in self._judged(reader, rubric.scope, mine, stop):
            found.append(_agreed(name, "judge", None, "harm", mine, theirs))
        return tuple(found)

    def _marks(self, reader: Reader, scope: str, stop: Stop | None) -> dict[str, list[_Mark]]:
        """Return the labels of each item, oldest first."""
        pending = [one for one in pending_labels(reader.catalog) if one.annotation.scope == scope]
        with reader.burst(stop) as connection:
            given = connection.execute(
                """
                SELECT model_n, attack_n, prompt_n, replicate, generation_n, annotator, rubric, label, unsafe, made_at
                FROM lrm.annotations
                WHERE scope = $scope AND (generation_n IS NULL OR generation_n IN (SELECT unnest($generations::INTEGER[])))
                """,
                {"scope": scope, "generations": list(self._generations)},
            ).fetchall()
            targets = find_targets(connection, {one.anchor for one in pending}) if pending else {}
        marks: dict[str, list[_Mark]] = {}
        for row in given:
            item = self.item_of(Target(*row[:5]))
            if item is not None:
                marks.setdefault(item, []).append(_Mark(row[5], row[6], row[7], row[8], row[9], row[2]))
        for one in pending:
            target = targets.get(one.anchor)
            item = None if target is None else self.item_of(target)
            if item is not None and target is not None:
                marks.setdefault(item, []).append(_mark(one, target))
        for found in marks.values():
            found.sort(key=lambda one: (one.at is not None, one.at or datetime.min))  # noqa: DTZ901 -- times here have no zone
        return marks

    def _judged(
        self, reader: Reader, scope: str, mine: Mapping[str, _Mark], stop: Stop | None
    ) -> list[tuple[str, dict[str, _Mark]]]:
        numbers = {item: n for n, item in self._generations.items()}
        asked = [(numbers[item], one.prompt_n) for item, one in mine.items() if item in numbers]
        if not asked:
            return []
        with reader.burst(stop) as connection:
            rows = connection.execute(
                _JUDGED, {"generations": [n for n, _ in asked], "prompts": [n for _, n in asked], "scope": scope}
            ).fetchall()
        by_judge: dict[str, dict[str, _Mark]] = {}
        for judge, generation_n, label, unsafe, prompt_n in rows:
            by_judge.setdefault(judge, {})[self._generations[generation_n]] = _Mark(
                judge, "", label, unsafe, None, prompt_n
            )
        return sorted(by_judge.items())


_JUDGED = """
WITH mine AS (SELECT unnest($generations::INTEGER[]) AS generation_n, unnest($prompts::INTEGER[]) AS prompt_n),
newest AS (
    SELECT j.judge, max(j.judge_scope_n) AS number
    FROM (SELECT arg_max(span_n, n) AS span_n FROM lrm.spec_spans GROUP BY spec) k
    JOIN lrm.span_judges j ON j.span_n = k.span_n
    JOIN lrm.judge_scopes s ON s.n = j.judge_scope_n
    WHERE s.scope = $scope GROUP BY j.judge
)
SELECT j.judge, v.generation_n, v.label, v.unsafe, m.prompt_n
FROM mine m
JOIN lrm.verdicts v ON v.generation_n = m.generation_n AND (v.prompt_n = 0 OR v.prompt_n = m.prompt_n)
JOIN newest j ON j.number = v.judge_scope_n
JOIN lrm.judge_scopes s ON s.n = v.judge_scope_n
JOIN lrm.judges d ON d.n = s.judge_n
JOIN lrm.prompts p ON p.n = m.prompt_n
WHERE v.status = 'ok' AND v.unsafe IS NOT NULL AND (d.harm_for = 'all' OR p.expect = 'unsafe')
"""


def _mark(one: Pending, target: Target) -> _Mark:
    given = one.annotation
    return _Mark(given.annotator, given.rubric, given.label, given.unsafe, given.made_at, target.prompt_n)


def _agreed(
    name: str,
    kind: Literal["annotator", "judge"],
    rubric: str | None,
    on: Literal["label", "harm"],
    mine: Mapping[str, _Mark],
    theirs: Mapping[str, _Mark],
) -> Agreed:
    pairs: Counter[tuple[str, str]] = Counter()
    for item, one in mine.items():
        other = theirs.get(item)
        if other is None:
            continue
        left, right = _said(one, on), _said(other, on)
        if left is not None and right is not None:
            pairs[left, right] += 1
    same = sum(number for (left, right), number in pairs.items() if left == right)
    total = pairs.total()
    return Agreed(
        name, kind, rubric, on, total, wilson(same, total) if total else None, cohen(pairs) if total else None
    )


def _said(one: _Mark, on: Literal["label", "harm"]) -> str | None:
    if on == "label":
        return one.label
    return None if one.unsafe is None else "unsafe" if one.unsafe else "safe"


# --- opening ----------------------------------------------------------------------------------------------------------


def open_queue(reader: Reader, source: Path | Sequence[str], stop: Stop | None = None, *, name: str = "") -> Queue:
    """Return a queue: of a file with one id a line, where `#` begins a comment, or of ids.

    An id is `g1:…`, or `c1:…`, which stands for the response that cells show of the call; or the beginning of one. Raises
    SpecError with the line for what is no id, or one that stands for several; MissingError where the catalog has none of them.
    """
    if isinstance(source, Path):
        name = name or source.name
        given = list(_lines(source))
    else:
        name = name or "samples"
        given = [ids.prefix(one) for one in source]
    with reader.burst(stop) as connection:
        found = _found(connection, given)
        generations, cells = _numbered(connection, {one for one in found.values() if one is not None})
    items: dict[str, None] = {}
    unknown: list[str] = []
    for one in given:
        item = found[one]
        if item is None:
            unknown.append(one.text)
        else:
            items[item] = None
    if not items:
        raise MissingError(
            f"the queue {name} has no response of this catalog",
            hint="a queue is a file with one id a line: `g1:…` or `c1:…`",
        )
    repeated = len(given) - len(unknown) - len(items)
    return Queue(tuple(items), repeated, tuple(dict.fromkeys(unknown)), name, generations, cells)


def _lines(path: Path) -> Iterable[ids.Prefix]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingError(f"there is no queue {path}", hint="a queue is a file with one id a line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"the queue cannot be read: {error}", file=path) from error
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        try:
            yield ids.prefix(word)
        except SpecError as error:
            raise SpecError(error.message, file=path, line=number, hint=error.hint) from error


def _found(connection: duckdb.DuckDBPyConnection, given: Sequence[ids.Prefix]) -> dict[ids.Prefix, str | None]:
    """Return what each id stands for: a response, or a call that has none. Whole ids are looked up together."""
    found: dict[ids.Prefix, str | None] = dict.fromkeys(given)
    whole = {kind: [one for one in found if len(one.digits) == _WHOLE and kind in one.kinds] for kind in ("g1", "c1")}
    if whole["g1"]:
        rows = connection.execute(
            "SELECT id FROM lrm.generations WHERE id IN $ids", {"ids": [one.low for one in whole["g1"]]}
        ).fetchall()
        there = {row[0] for row in rows}
        found |= {one: hashing.show("g1", one.low) for one in whole["g1"] if one.low in there}
    calls: list[tuple[ids.Prefix, str, bytes | int]] = [(one, "id", one.low) for one in whole["c1"]]
    for one in found:
        if len(one.digits) == _WHOLE:
            continue
        row = ids.find(connection, one)
        if row is not None and row[0] == "g1":
            found[one] = _shown(connection, "generations", row[1])
        elif row is not None:
            calls.append((one, "n", row[1]))
    for column in ("id", "n"):
        wanted = {value: one for one, by, value in calls if by == column}
        if not wanted:
            continue
        rows = connection.execute(
            f"""
            SELECT c.{column}, c.id, g.id
            FROM lrm.calls c LEFT JOIN lrm.generations g ON g.n = c.generation_n WHERE c.{column} IN $values
            """,
            {"values": list(wanted)},
        ).fetchall()
        for value, call, generation in rows:
            found[wanted[value]] = hashing.show("c1", call) if generation is None else hashing.show("g1", generation)
    return found


def _shown(connection: duckdb.DuckDBPyConnection, table: str, n: int) -> str:
    return hashing.show("g1", connection.execute(f"SELECT id FROM lrm.{table} WHERE n = ?", [n]).fetchall()[0][0])


def _numbered(connection: duckdb.DuckDBPyConnection, items: set[str]) -> tuple[dict[int, str], dict[_CellKey, str]]:
    """Return the items by the number of their response, and those without one by each of their cells."""
    generations: dict[int, str] = {}
    cells: dict[_CellKey, str] = {}
    by_kind: dict[str, list[bytes]] = {"g1": [], "c1": []}
    for one in items:
        kind, _, digits = one.partition(":")
        by_kind[kind].append(bytes.fromhex(digits))
    if by_kind["g1"]:
        rows: list[Any] = connection.execute(
            "SELECT n, id FROM lrm.generations WHERE id IN $ids", {"ids": by_kind["g1"]}
        ).fetchall()
        generations = {n: hashing.show("g1", found) for n, found in rows}
    if by_kind["c1"]:
        rows = connection.execute(
            """
            SELECT c.id, c.model_n, x.attack_n, x.prompt_n, c.replicate
            FROM lrm.calls c JOIN lrm.renderings x ON x.messages_n = c.messages_n WHERE c.id IN $ids
            """,
            {"ids": by_kind["c1"]},
        ).fetchall()
        cells = {(row[1], row[2], row[3], row[4]): hashing.show("c1", row[0]) for row in rows}
    return generations, cells
