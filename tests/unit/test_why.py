from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lrm import hashing
from lrm.errors import MissingError
from lrm.plan.why import Difference, why
from lrm.spec.matrix import Matrix
from lrm.store.catalog import Catalog
from tests import builders

ROWS = {"a": "alpha", "b": "beta", "path/to/it": "gamma", "c/none": "delta", "7": "seven"}


def spec_of(
    rows: dict[str, str] | None = None, say: str = "Say: {prompt}", replicates: int = 2, **model: Any
) -> Matrix:
    return builders.matrix(
        [builders.model("m", **{"sampling": {"temperature": 0.5}, **model})],
        [builders.prompt_set("set", rows or ROWS)],
        [builders.attack("none"), builders.template("say", say)],
        replicates=replicates,
    )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Return a catalog that no test changes."""
    catalog = Catalog(tmp_path_factory.mktemp("why") / "catalog.duckdb")
    builders.answer(catalog, spec_of())
    return catalog


def call_of(catalog: Catalog, prompt: str, attack: str = "none", replicate: int = 0) -> str:
    """Return the id of a cell's call."""
    query = "SELECT call FROM cells WHERE prompt = ? AND attack = ? AND replicate = ?"
    call: str = builders.rows(catalog, query, prompt, attack, replicate)[0][0]
    return call


@pytest.mark.parametrize("matrix", [None, spec_of()])
def test_a_hit_says_what_its_key_is_made_of(filled: Catalog, matrix: Matrix | None) -> None:
    found = why(filled, "m/set/a/say/1", matrix)
    assert found.state == "done"
    assert "answered 2025-10-09" in found.explanation
    assert found.call == call_of(filled, "a", "say", 1)
    assert found.cells == ("m/set/a/say/1",)
    assert found.nearest is None
    parts = dict(found.parts)
    assert parts["model.sampling.temperature"] == "0.5"
    assert parts["messages.0.content"] == "Say: alpha"
    assert parts["replicate"] == "1"
    model, messages = parts["model"].partition("i1:")[2].rstrip(")"), parts["messages"].removeprefix("m1:")
    derived = hashing.call_id(bytes.fromhex(model), bytes.fromhex(messages), 1)
    assert hashing.show("c1", derived) == found.call


@pytest.mark.parametrize(
    ("cell", "prompt", "attack", "replicate"),
    [
        ("m/set/a/none", "a", "none", 0),
        ("m/set/path/to/it/none", "path/to/it", "none", 0),
        ("m/set/path/to/it/say/1", "path/to/it", "say", 1),
        ("m/set/c/none/say", "c/none", "say", 0),
        ("m/set/7/none/1", "7", "none", 1),
    ],
)
def test_names_may_hold_slashes_and_numbers(
    filled: Catalog, cell: str, prompt: str, attack: str, replicate: int
) -> None:
    assert why(filled, cell).call == call_of(filled, prompt, attack, replicate)


def test_an_attack_may_be_called_by_a_number(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = builders.matrix(
        [builders.model("m")], [builders.prompt_set("set", {"a": "alpha", "a/b": "beta"})], [builders.attack("1")]
    )
    builders.answer(catalog, spec)
    assert why(catalog, "m/set/a/b/1").cells == ("m/set/a/b/1/0",)
    assert why(catalog, "m/set/a/1/0").cells == ("m/set/a/1/0",)


@pytest.mark.parametrize(
    ("spec", "cell", "differs"),
    [
        (
            spec_of(sampling={"temperature": 1}),
            "m/set/a/none",
            [Difference("model.sampling.temperature", "1", "0.5")],
        ),
        (spec_of(sampling={}), "m/set/a/none", [Difference("model.sampling.temperature", "not set", "0.5")]),
        (spec_of(model="other"), "m/set/a/say", [Difference("model.checkpoint", "other", "checkpoint")]),
        (spec_of({"a": "changed"}), "m/set/a/none", [Difference("messages.0.content", "changed", "alpha")]),
        (spec_of(say="Tell: {prompt}"), "m/set/a/say", [Difference("messages.0.content", "Tell: alpha", "Say: alpha")]),
        (spec_of(replicates=3), "m/set/a/none/2", [Difference("replicate", "2", "0")]),
    ],
)
def test_a_miss_names_what_the_nearest_response_differs_in(
    filled: Catalog, spec: Matrix, cell: str, differs: list[Difference]
) -> None:
    found = why(filled, cell, spec)
    assert found.state == "missing"
    assert found.nearest is not None
    fields = [one.field for one in found.nearest.differs]
    if fields != ["replicate"]:
        assert list(found.nearest.differs) == differs
    assert fields == [one.field for one in differs]
    assert differs[0].field in found.explanation
    assert why(filled, found.nearest.call).state == "done"


def test_a_miss_in_both_the_model_and_the_prompt_has_a_nearest_response(filled: Catalog) -> None:
    rows = {"a": "alpha, edited", "b": "beta"}
    found = why(filled, "m/set/a/none/2", spec_of(rows, replicates=3, model="other"))
    assert found.nearest is not None
    assert {one.field for one in found.nearest.differs} == {"model.checkpoint", "messages.0.content", "replicate"}


def test_a_miss_with_nothing_near_says_so(filled: Catalog) -> None:
    found = why(filled, "m/set/new/none", spec_of({"new": "entirely"}))
    assert (found.state, found.nearest) == ("missing", None)
    assert "no response in the catalog" in found.explanation


def test_a_catalog_that_is_not_there_explains_a_spec(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    assert why(catalog, "m/set/a/none", spec_of()).state == "missing"
    with pytest.raises(MissingError, match="no catalog"):
        why(catalog, "m/set/a/none")
    assert not catalog.exists()


def test_a_failure_is_said_with_its_class_and_attempts(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = spec_of({"a": "alpha"}, replicates=1)
    builders.answer(catalog, spec, limit=0)
    by, call = builders.calls_of(catalog, spec)[0]
    for n, kind in enumerate(("timeout", "server")):
        failed = builders.record(call, by, "", at=builders.AT + n)
        del failed["raw"], failed["blocked"]
        failed |= {"kind": kind, "message": "It broke.", "attempts": 5}
        builders.merge(catalog, builders.write_journal(catalog, spec, [failed], run=f"r{n}"))
    found = why(catalog, "m/set/a/none")
    assert found.state == "failed"
    assert found.explanation.startswith("server after 5 attempts")
    assert "It broke." in found.explanation
    assert "asks again" in found.explanation


def test_a_blocked_call_is_not_a_failed_one(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = spec_of({"a": "alpha"}, replicates=1)
    builders.answer(catalog, spec, limit=0)
    by, call = builders.calls_of(catalog, spec)[0]
    blocked = builders.record(call, by, builders.payload())
    blocked["blocked"] = True
    builders.merge(catalog, builders.write_journal(catalog, spec, [blocked]))
    assert why(catalog, "m/set/a/none").state == "blocked"


def test_cells_that_share_a_call_are_all_named(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    spec = spec_of({"a": "alpha", "again": "alpha", "said": "Say: alpha"}, replicates=1)
    builders.answer(catalog, spec)
    assert why(catalog, "m/set/a/none").cells == ("m/set/a/none/0", "m/set/again/none/0")
    assert why(catalog, "m/set/said/none").cells == ("m/set/a/say/0", "m/set/again/say/0", "m/set/said/none/0")


# --- ids --------------------------------------------------------------------------------------------------------------


def test_a_call_is_found_by_the_first_digits_of_its_id(filled: Catalog) -> None:
    call = call_of(filled, "a")
    for given in (call, call.removeprefix("c1:"), call[:19], call[3:15]):
        assert why(filled, given).call == call


def test_first_digits_of_several_calls_are_refused_with_their_names(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "catalog.duckdb")
    builders.answer(catalog, spec_of(replicates=1))
    first, second = (bytes.fromhex(digits + "00" * 30) for digits in ("abcd", "abcd"))
    second = second[:-1] + b"\x01"
    with catalog.writing() as connection:
        connection.execute("UPDATE lrm.calls SET id = ? WHERE n = 1", [first])
        connection.execute("UPDATE lrm.calls SET id = ? WHERE n = 2", [second])
    with pytest.raises(MissingError, match="several calls begin with c1:abcd") as caught:
        why(catalog, "c1:abcd")
    assert "more digits" in str(caught.value.hint)


@pytest.mark.parametrize("given", ["c1:0000000000", "ffffffffffff", "0" * 64])
def test_an_unknown_id_is_said_to_be_unknown(filled: Catalog, given: str) -> None:
    with pytest.raises(MissingError, match="no call"):
        why(filled, given)


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["", "m", "m/set", "m/set/a", "c1:", "c1:xyz", "abc", "////"[:2]])
def test_what_names_no_cell_is_refused_with_the_form(filled: Catalog, given: str) -> None:
    with pytest.raises(MissingError, match="does not name a cell") as caught:
        why(filled, given)
    assert "MODEL/PROMPT_SET" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("cell", "says", "hint"),
    [
        ("n/set/a/none", "no model `n`", "m"),
        ("m/sett/a/none", "no prompt set `sett`", "did you mean `set`"),
        ("m/set/a/nones", "no attack `nones`", "did you mean `none`"),
        ("m/set/path/to/its/none", "no prompt `path/to/its`", "did you mean `path/to/it`"),
        ("m/set/a/none/2", "2 replicates", ""),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(filled: Catalog, cell: str, says: str, hint: str) -> None:
    with pytest.raises(MissingError, match=says) as caught:
        why(filled, cell)
    assert hint in str(caught.value.hint)
