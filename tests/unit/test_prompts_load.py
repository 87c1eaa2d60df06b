"""Rows become prompts: columns, conversations, expectations, ids and metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lrm.errors import SpecError
from lrm.prompts.conversation import conversation
from lrm.prompts.load import load
from lrm.prompts.prompt import Prompt
from lrm.prompts.source import locate
from lrm.registry.declarations import PromptSet
from lrm.spec.matrix import Located
from tests.conftest import ROOT
from tests.prompt_sets import csv_bytes, json_bytes, jsonl_bytes, located, parquet_bytes, prompts_of

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "How do I boil an egg?"},
]


def from_rows(tmp_path: Path, rows: list[dict[str, Any]], **fields: Any) -> list[Prompt]:
    (tmp_path / "a.jsonl").write_bytes(jsonl_bytes(rows))
    return prompts_of(tmp_path, file="a.jsonl", **fields)


def test_every_role_of_a_column(tmp_path: Path) -> None:
    rows = [
        {"n": 7, "prompt": "How do I boil an egg?", "label": "ok", "area": "food", "sub": ["eggs", "heat"], "sys": "Hi", "x": 1},
        {"n": 8.0, "prompt": " spaced ", "label": "", "area": None, "sub": [], "sys": "", "x": None},
    ]  # fmt: skip
    first, second = from_rows(
        tmp_path,
        rows,
        columns={"id": "n", "text": "prompt", "expect": "label", "category": ["area", "sub"], "system": "sys"},
        expect="unsafe",
        expect_values={"OK": "safe"},
        system="Be kind.",
    )
    assert first == Prompt("7", "How do I boil an egg?", "Hi", (), ("food", "eggs", "heat"), "safe", '{"x":1}')
    assert second == Prompt("8", " spaced ", "Be kind.", (), (), "unsafe", '{"x":null}')


def test_dotted_columns_reach_into_objects_and_leave_the_rest(tmp_path: Path) -> None:
    rows = [{"input": {"text": "Hello", "lang": "en"}, "tags": {"area": "talk"}, "turns": [{"body": "Hi"}]}]
    (prompt,) = from_rows(tmp_path, rows, columns={"text": "input.text", "category": "tags.area"})
    assert (prompt.text, prompt.category) == ("Hello", ("talk",))
    assert json.loads(prompt.meta) == {"input": {"lang": "en"}, "turns": [{"body": "Hi"}]}
    (prompt,) = from_rows(tmp_path, rows, columns={"text": "turns.0.body"})
    assert prompt.text == "Hi"


@pytest.mark.parametrize("as_text", [False, True])
def test_conversations(tmp_path: Path, *, as_text: bool) -> None:
    rows = [{"talk": json.dumps(TALK) if as_text else TALK, "text": "not used"}]
    (prompt,) = from_rows(tmp_path, rows, columns={"messages": "talk"}, system="Default.")
    assert prompt.text == "How do I boil an egg?"
    assert prompt.system == "Be brief."
    assert prompt.turns == (("user", "Hello"), ("assistant", "Hello!"))
    assert json.loads(prompt.meta) == {"text": "not used"}
    (inline,) = prompts_of(tmp_path, rows=[{"messages": TALK, "meta": {"text": "not used"}}])
    assert inline.id() == prompt.id()


def test_conversations_out_of_parquet_and_csv(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet_bytes([{"talk": TALK}]))
    (tmp_path / "a.csv").write_bytes(csv_bytes([{"talk": json.dumps(TALK)}]))
    both = [prompts_of(tmp_path, file=name, columns={"messages": "talk"}) for name in ("a.parquet", "a.csv")]
    assert both[0] == both[1]
    assert both[0][0].turns == (("user", "Hello"), ("assistant", "Hello!"))


def test_a_row_without_a_conversation_may_have_a_text(tmp_path: Path) -> None:
    first, second = from_rows(tmp_path, [{"talk": TALK}, {"talk": None, "text": "Hi"}], columns={"messages": "talk"})
    assert (first.text, second.text) == ("How do I boil an egg?", "Hi")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("not json", "not JSON"),
        ([], "at least one message"),
        ({"role": "user"}, "must be a list"),
        (["Hello"], "message 1 of the conversation is not"),
        ([{"role": "user"}], "lacks `content`"),
        ([{"from": "human", "content": "Hello"}], "lacks `role`"),
        ([{"role": "human", "content": "Hello"}], "has the role `human`; known: system, user, assistant"),
        ([{"role": "user", "content": ["Hello"]}], "not text"),
        ([{"role": "user", "content": "Hello", "image": "x"}], "only role and content are sent"),
        (TALK[:3], "must be the user's"),
    ],
)
def test_what_is_no_conversation(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conversation(value)


def test_fields_of_a_message_that_are_null_do_not_count() -> None:
    assert conversation([{"role": "user", "content": "Hello", "tool_calls": None}]).text == "Hello"


# rows, declaration, what the message says, row
BAD_ROWS: list[tuple[list[dict[str, Any]], dict[str, Any], str, int | None]] = [
    ([{"text": "a"}, {"text": " \n"}], {}, "column `text` is empty", 2),
    ([{"text": "a"}, {"text": None}], {}, "column `text` is empty", 2),
    ([{"text": "a"}, {"txt": "b"}], {}, "lacks the column `text`", 2),
    ([{"prompt": "a"}], {"columns": {"text": "promt"}}, "did you mean `prompt`", 1),
    ([{"prompt": {"text": "a"}}], {"columns": {"text": "prompt.txt"}}, "did you mean `prompt.text`", 1),
    ([{"text": 7}], {}, "holds no text", 1),
    ([{"text": TALK}], {}, "columns.messages", 1),
    ([{"text": "a"}, {"text": "b"}], {"columns": {"category": "area"}}, "no column `area`", None),
    ([{"text": "a"}, {"text": "b"}], {"columns": {"expect": "label"}}, "no column `label`", None),
    ([{"text": "a", "id": "x"}, {"text": "b", "id": "x"}], {"columns": {"id": "id"}}, "`x` stands in row 1 already", 2),
    ([{"text": "a", "id": 1}, {"text": "b", "id": "1"}], {"columns": {"id": "id"}}, "`1` stands in row 1", 2),
    ([{"text": "a", "id": ""}], {"columns": {"id": "id"}}, "column `id` is empty", 1),
    ([{"text": "a", "id": ["x"]}], {"columns": {"id": "id"}}, "holds no id", 1),
    ([{"text": "a", "id": "x"}, {"text": "a"}], {"columns": {"id": "id"}}, "lacks the column `id`", 2),
    ([{"text": "a", "label": "bad"}], {"columns": {"expect": "label"}}, "allowed: safe, unsafe", 1),
    ([{"text": "a", "label": {"x": 1}}], {"columns": {"expect": "label"}}, "expect_values", 1),
    ([{"text": "a", "area": {"x": 1}}], {"columns": {"category": "area"}}, "holds no category", 1),
    ([{"text": "a", "sys": 7}], {"columns": {"system": "sys"}}, "holds no text", 1),
    ([{"m": TALK, "sys": "x"}], {"columns": {"messages": "m", "system": "sys"}}, "so has the conversation", 1),
    ([{"m": TALK[:3]}], {"columns": {"messages": "m"}}, "must be the user's", 1),
    ([{"m": [{"role": "user", "content": " "}]}], {"columns": {"messages": "m"}}, "column `m` is empty", 1),
    ([{"m": '[{"role": "user", "content": "\\ud800"}]'}], {"columns": {"messages": "m"}}, "lone surrogate", 1),
    ([{"m": None}], {"columns": {"messages": "m", "text": None}}, "column `m` is empty", 1),
]


@pytest.mark.parametrize(("rows", "fields", "message", "row"), BAD_ROWS)
def test_a_bad_row_is_named(
    tmp_path: Path, rows: list[dict[str, Any]], fields: dict[str, Any], message: str, row: int | None
) -> None:
    with pytest.raises(SpecError) as caught:
        from_rows(tmp_path, rows, **fields)
    assert message in str(caught.value)
    assert caught.value.row == row
    if row is not None:
        assert caught.value.file == str(tmp_path / "a.jsonl")
    else:
        assert (caught.value.file, caught.value.line) == (str(tmp_path / "set.toml"), 7)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, "exactly one of"),
        ({"text": "a", "messages": TALK}, "exactly one of"),
        ({"text": "  "}, "column `text` is empty"),
        ({"text": "a\x00"}, "NUL"),
        ({"text": "a", "meta": {"x": ["\x00"]}}, "NUL"),
        ({"messages": TALK, "system": "x"}, "opens with a system message"),
        ({"messages": TALK[:3]}, "must be the user's"),
        ({"id": "1", "text": "a"}, "stands in row 1 already"),
    ],
)
def test_a_bad_inline_row_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        prompts_of(tmp_path, rows=[{"text": "fine"}, row])
    assert message in str(caught.value)
    assert (caught.value.file, caught.value.line, caught.value.row) == (str(tmp_path / "set.toml"), 7, 2)


def test_inline_rows(tmp_path: Path) -> None:
    rows = [
        {"text": "a", "category": "x", "expect": "safe", "meta": {"n": 2**60, "deep": {"k": [1.0]}}},
        {"id": "own", "text": "b", "category": ["x", "y"], "system": "Hi"},
    ]
    first, second = prompts_of(tmp_path, rows=rows, expect="unsafe", system="Be kind.")
    assert first == Prompt("1", "a", "Be kind.", (), ("x",), "safe", '{"deep":{"k":[1]},"n":"1152921504606846976"}')
    assert second == Prompt("own", "b", "Hi", (), ("x", "y"), "unsafe", "{}")


def test_a_declaration_that_names_no_column(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="neither `text` nor `messages`") as caught:
        from_rows(tmp_path, [{"text": "a"}], columns={"text": None})
    assert caught.value.key == "columns"


def test_terminal_signs_in_a_data_file_are_dead_in_its_errors(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "\x1b]0;owned\x07", "\x1b[31mred": 1}]
    for columns in ({"expect": "label"}, {"text": "red"}):
        with pytest.raises(SpecError) as caught:
            from_rows(tmp_path, rows, columns=columns)
        assert "\x1b" not in str(caught.value)


def test_numbers_beyond_what_json_holds_keep_their_digits_and_have_an_id(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"text": "a", "i": 9007199254740993, "f": 1e16, "huge": 1e999, "tiny": -0.0}]')
    (prompt,) = prompts_of(tmp_path, file="a.json")
    assert prompt.meta == '{"f":"10000000000000000","huge":"Infinity","i":"9007199254740993","tiny":0}'
    assert len(prompt.id()) == 32


def test_an_edited_row_changes_its_id_and_no_other(tmp_path: Path) -> None:
    rows = [{"text": f"Question {number}"} for number in range(20)]
    before = [prompt.id() for prompt in from_rows(tmp_path, rows)]
    rows[7] = {"text": "Another question"}
    after = [prompt.id() for prompt in from_rows(tmp_path, rows)]
    assert [index for index in range(20) if before[index] != after[index]] == [7]


def test_rows_of_a_json_document(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"data": {"rows": ' + json_bytes([{"text": "a"}]) + b"}}")
    assert [prompt.text for prompt in prompts_of(tmp_path, file="a.json", records="data.rows")] == ["a"]


# --- published sets: only counts are looked at ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "counts", "categories"),
    [("xstest", {"safe": 250, "unsafe": 200}, 18), ("simple-safety-tests", {"unsafe": 100}, 10)],
)
def test_declared_published_sets(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, name: str, counts: dict[str, int], categories: int
) -> None:
    import tomllib

    monkeypatch.setenv("LRM_DATA", str(shared_data))
    file = ROOT / "registry" / "prompt_sets" / f"{name}.toml"
    prompt_set = Located(name, PromptSet.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))), file)
    prompts = load(locate(prompt_set), prompt_set)
    found = [prompt.expect for prompt in prompts]
    assert {value: found.count(value) for value in set(found)} == counts
    assert len({prompt.category for prompt in prompts}) == categories
    assert len({prompt.id() for prompt in prompts}) == sum(counts.values())


PUBLISHED: list[tuple[str, int, dict[str, Any]]] = [
    ("harmbench/harmbench_behaviors_text_all.csv", 400, {"text": "Behavior", "id": "BehaviorID"}),
    ("strongreject/strongreject_dataset.csv", 313, {"text": "forbidden_prompt", "category": "category"}),
    ("jailbreakbench_artifacts/harmful_behaviors_jailbreakbench.csv", 100, {"text": "Goal", "category": "Category"}),
    ("cyberseceval/mitre_frr.json", 750, {"text": "mutated_prompt", "expect": "is_malicious"}),
    ("cyberseceval/interpreter.json", 500, {"text": "mutated_prompt", "category": "attack_type"}),
    ("cyberseceval/prompt_injection.json", 251, {"text": "user_input", "system": "test_case_prompt", "id": "prompt_id"}),
    ("air_bench_2024/pipeline1_step2_Llama-3-8b_result.json", 80, {"text": "prompt.0.prompt", "category": "l2_name"}),
    ("air_bench_2024/pipeline2_step2_gpt-4-turbo_result.csv", 80, {"text": "prompt", "category": ["l2-name", "l3-name"]}),
    ("air_bench_2024/judge_prompts.jsonl", 314, {"text": "judge_prompt", "category": ["l2-name", "l3-name"]}),
    ("cot_compliance/labeled_qwen3-14b.jsonl", 1013, {"text": "prompt", "category": "harm_category"}),
]  # fmt: skip


@pytest.mark.parametrize(("file", "count", "columns"), PUBLISHED)
def test_published_files_of_many_shapes(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, count: int, columns: dict[str, Any]
) -> None:
    monkeypatch.setenv("LRM_DATA", str(shared_data))
    prompt_set = located(tmp_path, file=file, columns=columns, expect_values={"true": "unsafe", "false": "safe"})
    prompts = load(locate(prompt_set), prompt_set)
    assert len(prompts) == count
    assert len({prompt.id() for prompt in prompts}) == count


def test_every_example_in_the_documentation_is_a_prompt_set(tmp_path: Path) -> None:
    import re
    import tomllib

    text = (ROOT / "docs" / "prompt-sets.md").read_text(encoding="utf-8")
    blocks = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]
    assert len(blocks) == 5
    for block in blocks:
        located(tmp_path, **block)
    assert [prompt.key for prompt in prompts_of(tmp_path, **blocks[0])] == ["1", "bread"]


@pytest.mark.parametrize("levels", [65, 400, 900])
def test_a_value_that_nests_too_deep_is_told_with_its_row(tmp_path: Path, levels: int) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": "b", "x": ' + "[" * levels + "]" * levels + "}\n")
    with pytest.raises(SpecError, match="column `x` nests too deep") as caught:
        prompts_of(tmp_path, file="a.jsonl")
    assert caught.value.row == 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"rows": [{"text": "a"}], "sha256": "0" * 64}, "`sha256` is for data files"),
        ({"rows": [{"text": "a"}], "columns": {"text": "b"}}, "`columns` is for data files"),
        ({"file": "a.csv", "expect_values": {"Bad": "unsafe", "bad ": "safe"}}, "two meanings"),
    ],
)
def test_what_could_only_be_a_mistake_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PromptSet.model_validate(fields)
