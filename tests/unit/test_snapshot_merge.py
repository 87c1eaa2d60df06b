"""Merging is set union: whatever the order, nothing is lost, nothing is doubled, and a broken-off merge changes nothing."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lrm.snapshot.choice import choice_of
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from lrm.store.trust import Trust, set_trust
from lrm.store.verify import verify
from tests import builders, snapshot_forge
from tests.snapshot_forge import AT, digest, exported, fill, matrix, pulled

ROOT = Path(__file__).resolve().parents[2]
TABLES = (
    "models", "attacks", "judges", "judge_scopes", "prompts", "prompt_sets", "prompt_set_members", "messages", "renderings",
    "calls", "generations", "traces", "verdicts", "other_verdicts", "annotations", "imports", "pursuits", "slices",
    "span_judges", "spec_spans", "snapshots", "pulled", "spec_texts",
)  # fmt: skip
OTHERWISE = "Well, I would say that a teapot is a kettle which has been to school for a while."


def rows_of(catalog: Catalog) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of a catalog's tables."""
    with catalog.reading() as connection:
        return {table: connection.execute(f"FROM lrm.{table} ORDER BY ALL").fetchall() for table in TABLES}


def count(catalog: Catalog, table: str, where: str = "true") -> int:
    found: int = builders.rows(catalog, f"SELECT count(*) FROM lrm.{table} WHERE {where}")[0][0]
    return found


def take(catalog: Catalog, folder: Path, name: str = "acme/one", commit: str | None = None) -> Any:
    """Merge a snapshot; the catalog is sound afterwards."""
    found = pulled(catalog, folder, name, commit)
    assert verify(catalog).problems == ()
    return found


# What collaborators have of one spec: models, number of samples of a cell, scopes of the judge, and what the model said.
Part = tuple[tuple[str, ...], int, tuple[Any, ...], bool]
PARTS: dict[str, Part] = {
    "a, b": (("a", "b"), 1, ("thinking", "answer"), False),
    "b, c, two samples": (("b", "c"), 2, ("answer",), False),
    "a, sampled otherwise": (("a",), 1, ("thinking", "answer"), True),
    "b, c": (("b", "c"), 1, ("thinking", "answer"), False),
    "d, not judged": (("d",), 1, (), False),
}


def spec_of(part: Part) -> Matrix:
    models, replicates, scopes, _ = part
    return matrix(*models, replicates=replicates, judges=[builders.judge(scopes=scopes)] if scopes else [])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Catalog]:
    """Return the catalogs of collaborators, each filled at another time, and each exported beside it as `out`."""
    made = {}
    for number, (name, part) in enumerate(PARTS.items()):
        folder = tmp_path_factory.mktemp("part")
        says = (lambda _: builders.payload(OTHERWISE)) if part[3] else snapshot_forge.said
        made[name] = fill(folder / "catalog.duckdb", spec_of(part), raw=says, at=AT + number * 10_000_000)
        exported(made[name], folder / "out")
    return made


def out(catalog: Catalog) -> Path:
    return catalog.path.parent / "out"


def copied(catalog: Catalog, folder: Path) -> Catalog:
    folder.mkdir(parents=True)
    (folder / "catalog.duckdb").write_bytes(catalog.path.read_bytes())
    return Catalog(folder / "catalog.duckdb")


def test_exchanged_both_ways_catalogs_are_equal(parts: dict[str, Catalog], tmp_path: Path) -> None:
    for number, (one, other) in enumerate([("a, b", "b, c"), ("a, b", "a, sampled otherwise")]):
        left, right = copied(parts[one], tmp_path / f"{number}l"), copied(parts[other], tmp_path / f"{number}r")
        take(left, out(parts[other]))
        take(right, out(parts[one]))
        assert digest(exported(left, tmp_path / f"{number}lo").folder) == digest(
            exported(right, tmp_path / f"{number}ro").folder
        )


def test_order_does_not_matter_and_a_third_has_nothing_missing(parts: dict[str, Catalog], tmp_path: Path) -> None:
    found = set()
    orders = list(itertools.permutations(parts))
    for number, order in enumerate((orders[0], orders[-1])):
        third = Catalog(tmp_path / str(number) / "catalog.duckdb")
        third.path.parent.mkdir()
        for name in order:
            take(third, out(parts[name]), f"acme/{len(name)}")
        made = exported(third, tmp_path / str(number) / "out").finished
        found.add((made.sha256, count(third, "generations"), count(third, "verdicts")))
    assert len(found) == 1
    for name in ("a, b", "b, c, two samples", "d, not judged"):
        assert builders.planned(third, spec_of(PARTS[name])).calls == 0
    # Of the four calls of model `a` there are two responses each; the one that was received first counts.
    assert count(third, "calls") == 4 + 4 * 2 + 4 * 2 + 4
    assert count(third, "generations") == count(third, "calls") + 4
    first = (
        "SELECT DISTINCT t.answer FROM lrm.calls c JOIN lrm.models m ON m.n = c.model_n "
        "JOIN lrm.traces t ON t.generation_n = c.generation_n"
    )
    assert (OTHERWISE,) not in builders.rows(third, f"{first} WHERE m.name = 'a'")


def test_merging_again_changes_no_row(parts: dict[str, Catalog], tmp_path: Path) -> None:
    mine = copied(parts["a, b"], tmp_path / "mine")
    folder = out(parts["a, sampled otherwise"])
    first = take(mine, folder)
    assert (first.loaded.generations, first.loaded.calls, first.loaded.rivals) == (4, 0, 4)
    before = rows_of(mine)
    again = take(mine, folder)
    assert (again.loaded.generations, again.loaded.verdicts, again.specs) == (0, 0, ())
    assert rows_of(mine) == before
    # One's own snapshot brings nothing either, and makes nothing of one's own a pulled response.
    take(mine, out(parts["a, b"]), "acme/own")
    after = rows_of(mine)
    assert {name for name in TABLES if after[name] != before[name]} == {"snapshots"}
    assert len(after["pulled"]) == 4


def test_another_response_is_kept_beside_the_first_with_its_provenance(
    parts: dict[str, Catalog], tmp_path: Path
) -> None:
    mine = copied(parts["a, b"], tmp_path / "mine")
    take(mine, out(parts["a, sampled otherwise"]), "acme/two", "b" * 40)
    told = builders.rows(
        mine,
        "SELECT t.is_first, g.run, t.publisher FROM traces t JOIN lrm.generations g ON g.n = t.generation_n "
        "WHERE t.answer = ? GROUP BY ALL", OTHERWISE,
    )  # fmt: skip
    assert told == [(False, "snapshot:acme/two@bbbbbbbbbbbb", "acme/two@bbbbbbbbbbbb")]


def test_verdicts_that_differ_are_kept_and_the_earlier_counts(parts: dict[str, Catalog], tmp_path: Path) -> None:
    later = copied(parts["a, b"], tmp_path / "later")
    with later.writing() as connection:
        connection.execute(
            "UPDATE lrm.verdicts SET label = 'partial_refusal', score = 0.125, unsafe = true, status = 'ok', "
            "judged_at = judged_at + INTERVAL 1 DAY "
            "WHERE generation_n = 1"
        )
        connection.execute("UPDATE lrm.verdicts SET status = 'judge_failed', label = NULL WHERE generation_n = 2")
    mine = copied(parts["a, b"], tmp_path / "mine")
    before = rows_of(mine)["verdicts"]
    folder = exported(later, tmp_path / "later-out").folder
    found = take(mine, folder)
    assert found.loaded.other_verdicts == 2
    assert rows_of(mine)["verdicts"] == before
    assert {row[0] for row in builders.rows(mine, "SELECT label FROM lrm.other_verdicts")} == {"partial_refusal"}
    take(later, out(parts["a, b"]))
    assert digest(exported(later, tmp_path / "o1").folder) == digest(exported(mine, tmp_path / "o2").folder)
    ranks = exported(mine, tmp_path / "o3").folder
    assert snapshot_forge.Forge(ranks, tmp_path / "forge").rows("verdicts")[-1]["rank"] == 1


def test_a_text_that_was_withheld_comes_with_a_later_snapshot_in_any_order(tmp_path: Path) -> None:
    full = snapshot_forge.full(tmp_path / "full")
    whole = exported(full, tmp_path / "whole").folder
    less = exported(full, tmp_path / "less", choice=choice_of(texts=["judgements=hashed"])).folder
    made = []
    for number, order in enumerate(((whole, less), (less, whole))):
        third = Catalog(tmp_path / f"{number}.duckdb")
        for folder in order:
            take(third, folder, f"acme/{folder.name}")
        made.append(digest(exported(third, tmp_path / f"out{number}").folder))
    assert made[0] == made[1] == digest(whole)


def test_withheld_prompts_wait_until_they_are_known_here(parts: dict[str, Catalog], tmp_path: Path) -> None:
    less = exported(parts["a, b"], tmp_path / "less", choice=choice_of(texts=["prompts=none"])).folder
    mine = Catalog(tmp_path / "catalog.duckdb")
    found = take(mine, less)
    assert (found.loaded.generations, found.loaded.waiting) == (0, 8)
    assert count(mine, "prompts") == count(mine, "generations") == 0
    spec = spec_of(PARTS["a, b"])
    # A plan whose limit is one call registers the whole spec, prompts and messages.
    builders.answer(mine, spec, raw=snapshot_forge.said, limit=1)
    found = take(mine, less)
    assert (found.loaded.generations, found.loaded.waiting) == (7, 0)
    assert builders.planned(mine, spec).calls == 0


def test_responses_that_are_withheld_cannot_be_taken(parts: dict[str, Catalog], tmp_path: Path) -> None:
    less = exported(parts["a, b"], tmp_path / "less", choice=choice_of(texts=["responses=hashed"])).folder
    mine = Catalog(tmp_path / "catalog.duckdb")
    found = take(mine, less)
    assert (found.loaded.generations, found.loaded.withheld, found.loaded.verdicts) == (0, 8, 0)
    assert count(mine, "prompts") == 2
    assert builders.planned(mine, spec_of(PARTS["a, b"])).calls == 8


def test_an_attack_that_ended_otherwise_has_the_earlier_end_everywhere(tmp_path: Path) -> None:
    early, late = (fill(tmp_path / f"{name}.duckdb", matrix("a")) for name in ("early", "late"))
    snapshot_forge.pursue(early, ended="2026-01-02", outcome="exhausted")
    snapshot_forge.pursue(late, ended="2026-01-03", outcome="succeeded")
    outs = [exported(one, tmp_path / f"{n}").folder for n, one in enumerate((early, late))]
    take(early, outs[1])
    take(late, outs[0])
    for one in (early, late):
        assert builders.rows(one, "SELECT DISTINCT outcome FROM lrm.pursuits") == [("exhausted",)]
        assert count(one, "pursuits") == 2
    assert digest(exported(early, tmp_path / "e").folder) == digest(exported(late, tmp_path / "l").folder)


def test_labels_of_ones_own_that_come_back_are_not_doubled(tmp_path: Path) -> None:
    mine, other = snapshot_forge.full(tmp_path / "mine"), Catalog(tmp_path / "other.duckdb")
    take(other, exported(mine, tmp_path / "out").folder)
    snapshot_forge.label(other, "Bob Jones", "good")
    before = count(mine, "annotations")
    back = exported(other, tmp_path / "back").folder
    found = take(mine, back)
    assert found.loaded.annotations == 4
    assert count(mine, "annotations") == before + 4
    assert count(mine, "annotations", "annotator = 'Ann Smith'") == 4
    assert count(mine, "annotations", "annotator LIKE '%Bob%'") == 0


def test_a_spec_that_came_can_be_looked_at_and_one_of_ones_own_keeps_what_it_is(
    parts: dict[str, Catalog], tmp_path: Path
) -> None:
    mine = Catalog(tmp_path / "catalog.duckdb")
    assert take(mine, out(parts["a, b"])).specs == ("spec",)
    assert builders.rows(mine, "SELECT DISTINCT spec, model FROM cells ORDER BY ALL") == [("spec", "a"), ("spec", "b")]
    assert count(mine, "spec_spans", "file LIKE 'snapshot:acme/one@%'") == 1
    local = copied(parts["b, c, two samples"], tmp_path / "local")
    before = builders.rows(local, "SELECT file FROM lrm.spec_spans")
    take(local, out(parts["a, b"]))
    assert builders.rows(local, "SELECT DISTINCT model, replicate FROM cells ORDER BY ALL") == [
        ("a", 0), ("b", 0), ("b", 1), ("c", 0), ("c", 1),
    ]  # fmt: skip
    assert set(builders.rows(local, "SELECT file FROM lrm.spec_spans")) == set(before)
    # The judge that both have looks at what this catalog's spec says.
    assert builders.rows(local, "SELECT DISTINCT scope FROM verdicts") == [("answer",)]


def test_a_publisher_who_is_not_trusted_fills_no_cell(parts: dict[str, Catalog], tmp_path: Path) -> None:
    mine = Catalog(tmp_path / "catalog.duckdb")
    take(mine, out(parts["a, b"]), "evil/one")
    set_trust(mine, Trust.of(["none"]))
    spec = spec_of(PARTS["a, b"])
    assert builders.planned(mine, spec).calls == 8
    # What comes later from the same publisher is not trusted either; another publisher with the same responses is.
    assert not take(mine, out(parts["d, not judged"]), "evil/two").trusted
    assert builders.planned(mine, spec_of(PARTS["d, not judged"])).calls == 4
    assert take(mine, out(parts["a, b"]), "acme/one").trusted
    assert builders.planned(mine, spec).calls == 0


KILLED = """
import os, signal, sys
from pathlib import Path
from lrm.snapshot import merge as module
from lrm.snapshot.folder import open_folder
from lrm.store.catalog import Catalog
point = sys.argv[3]
found = getattr(module, point)
def last(*args, **kwargs):
    found(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
setattr(module, point, last)
module.merge(Catalog(Path(sys.argv[1])), open_folder(Path(sys.argv[2])), module.Origin("acme/one", "acme", "a" * 40))
"""


@pytest.mark.parametrize("point", ["_enter", "load", "take_spans"])
def test_a_merge_that_is_killed_leaves_the_catalog_as_it_was(
    parts: dict[str, Catalog], tmp_path: Path, point: str
) -> None:
    mine = copied(parts["d, not judged"], tmp_path / "mine")
    before = rows_of(mine)
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{KILLED}"
    command = [sys.executable, "-P", "-c", program, str(mine.path), str(out(parts["a, b"])), point]
    assert subprocess.run(command, check=False, env=dict(os.environ)).returncode == -signal.SIGKILL
    assert rows_of(mine) == before
    assert take(mine, out(parts["a, b"])).loaded.generations == 8
