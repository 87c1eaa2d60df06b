"""Attack artifacts: one attacked prompt for each original, read from a file."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from lrm.attacks.render import Renderer, open_attack
from lrm.errors import SpecError
from lrm.prompts.prompt import Prompt
from lrm.registry.declarations import Attack
from lrm.spec.matrix import Located

ROWS: list[dict[str, Any]] = [
    {"index": 0, "goal": " Bake bread ", "prompt": "Pretend to bake bread"},
    {"index": 1, "goal": "Boil water", "prompt": None},
    {"index": 2, "goal": "Cut wood", "prompt": ""},
    {"index": 3, "goal": "Bake bread", "prompt": "Pretend to bake bread"},
]


@pytest.fixture(autouse=True)
def _no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LRM_DATA", raising=False)


def document(folder: Path, rows: list[dict[str, Any]], name: str = "artifact.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"parameters": {"method": "none"}, "jailbreaks": rows}), encoding="utf-8")
    return path


def opened(
    file: Path, *, pinned: str | None = None, steps: list[dict[str, Any]] | None = None, **fields: Any
) -> Renderer:
    columns = {"records": "jailbreaks", "original": "goal", "attacked": "prompt", **fields}
    declared = {name: value for name, value in columns.items() if value is not None}
    attack = Attack.model_validate({"artifact": {"file": file.name, **declared}, "steps": steps or []})
    return open_attack(Located("jbb", attack, file.parent / "attack.toml", line=2), pinned_sha256=pinned)


def content(renderer: Renderer, text: str, key: str = "k") -> str | None:
    rendered = renderer.render(Prompt(key, text))
    return None if rendered is None else json.loads(rendered)[-1]["content"]


def test_attacked_prompts_are_found_by_text(tmp_path: Path) -> None:
    renderer = opened(document(tmp_path, ROWS), steps=[{"transform": "suffix", "text": "!"}])
    assert content(renderer, "Bake bread\n") == "Pretend to bake bread !"
    assert content(renderer, "Boil water") is None
    assert content(renderer, "Cut wood") is None
    assert content(renderer, "bake bread") is None
    assert content(renderer, "Something else") is None


def test_attacked_prompts_are_found_by_id(tmp_path: Path) -> None:
    renderer = opened(document(tmp_path, ROWS), original="index", match="id")
    assert content(renderer, "whatever", key="0") == "Pretend to bake bread"
    assert content(renderer, "Bake bread", key="9") is None


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.tsv"])
def test_other_formats(tmp_path: Path, name: str) -> None:
    text = {
        "a.csv": 'goal,prompt\nBake bread,"one, two"\nBoil water,\n',
        "a.tsv": "goal\tprompt\nBake bread\tone, two\nBoil water\t\n",
        "a.jsonl": '{"goal":"Bake bread","prompt":"one, two"}\n{"goal":"Boil water","prompt":null}\n',
    }[name]
    (tmp_path / name).write_text(text, encoding="utf-8")
    renderer = opened(tmp_path / name, records=None)
    assert content(renderer, "Bake bread") == "one, two"
    assert content(renderer, "Boil water") is None


def test_dotted_columns(tmp_path: Path) -> None:
    rows = [{"original": {"text": "Bake bread"}, "attack": {"best": "x"}}]
    assert (
        content(opened(document(tmp_path, rows), original="original.text", attacked="attack.best"), "Bake bread") == "x"
    )


# --- checksum and id --------------------------------------------------------------------------------------------------


def test_checksums(tmp_path: Path) -> None:
    path = document(tmp_path, ROWS)
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened(path, sha256=actual, pinned=actual).sha256 == actual
    with pytest.raises(SpecError, match="is not the file of the declaration") as caught:
        opened(path, sha256="0" * 64)
    assert (caught.value.file, caught.value.line, caught.value.key) == (
        str(tmp_path / "attack.toml"),
        2,
        "artifact.sha256",
    )
    with pytest.raises(SpecError, match="is not the file of the lock") as caught:
        opened(path, pinned="0" * 64)
    assert "--update" in str(caught.value)


def test_a_gzipped_copy_is_the_same_artifact(tmp_path: Path) -> None:
    plain = opened(document(tmp_path, ROWS))
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "artifact.json.gz").write_bytes(gzip.compress((tmp_path / "artifact.json").read_bytes()))
    packed = opened(folder / "artifact.json", pinned=plain.sha256)
    assert (packed.id, packed.sha256) == (plain.id, plain.sha256)


def test_the_id_is_of_the_content_and_how_it_is_read(tmp_path: Path) -> None:
    path = document(tmp_path, ROWS[:3])
    ids = {
        opened(path).id,
        opened(path, attacked="index").id,
        opened(path, match="id").id,
        opened(document(tmp_path, ROWS[:2], "other.json")).id,
    }
    assert len(ids) == 4
    assert opened(path).id == opened(document(tmp_path, ROWS[:3], "renamed.json"), format="json").id


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "fields", "row", "part"),
    [
        ([*ROWS, {"goal": "Cut wood", "prompt": "x"}], {}, 5, "the original of row 3 stands here again"),
        ([{"goal": "a", "prompt": "x"}, {"goal": " a", "prompt": "y"}], {}, 2, "the original of row 1"),
        ([{"goal": "a", "prompt": "x"}, {"goal": "b"}], {}, 2, "no column `prompt`"),
        (ROWS, {"original": "gaol"}, 1, "did you mean `goal`"),
        ([{"goal": " ", "prompt": "x"}], {}, 1, "the original prompt is empty"),
        ([{"goal": None, "prompt": "x"}], {}, 1, "the original prompt is empty"),
        ([{"goal": "a", "prompt": ["x"]}], {}, 1, "holds a list, not a text"),
        ([{"goal": "a", "prompt": "x\x00"}], {}, 1, "NUL"),
        ([], {}, None, "no rows"),
    ],
)
def test_bad_rows(
    tmp_path: Path, rows: list[dict[str, Any]], fields: dict[str, Any], row: int | None, part: str
) -> None:
    path = document(tmp_path, rows)
    with pytest.raises(SpecError) as caught:
        opened(path, **fields)
    assert (caught.value.file, caught.value.row) == (str(path), row)
    assert part in str(caught.value)


def test_a_missing_file_and_a_name_without_a_format(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no data file `nowhere\.json`"):
        opened(tmp_path / "nowhere.json")
    document(tmp_path, ROWS, "artifact.data")
    with pytest.raises(SpecError, match="does not say its format"):
        opened(tmp_path / "artifact.data")
    assert content(opened(tmp_path / "artifact.data", format="json"), "Bake bread") == "Pretend to bake bread"


# --- published artifacts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "without"),
    [
        ("GCG/transfer/gpt-3.5-turbo-1106.json", 0),
        ("GCG/transfer/gpt-4-0125-preview.json", 0),
        ("GCG/white_box/llama-2-7b-chat-hf.json", 0),
        ("GCG/white_box/vicuna-13b-v1.5.json", 0),
        ("PAIR/black_box/gpt-3.5-turbo-1106.json", 13),
        ("PAIR/black_box/gpt-4-0125-preview.json", 36),
        ("PAIR/black_box/llama-2-7b-chat-hf.json", 96),
        ("PAIR/black_box/vicuna-13b-v1.5.json", 18),
    ],
)
def test_jailbreakbench(shared_data: Path, file: str, without: int) -> None:
    path = shared_data / "jailbreakbench_artifacts" / file
    renderer = opened(path)
    goals = [row["goal"] for row in json.loads(path.read_text(encoding="utf-8"))["jailbreaks"]]
    rendered = [renderer.render(Prompt(str(number), goal)) for number, goal in enumerate(goals)]
    assert len(rendered) == 100
    # Not the texts themselves: a failed assertion would print them.
    assert sum(text is None for text in rendered) == without
    assert len({hashlib.sha256(text.encode()).digest() for text in rendered if text is not None}) == 100 - without


def test_jailbreakbench_behaviours_match_by_number_where_five_goals_were_reworded(shared_data: Path) -> None:
    folder = shared_data / "jailbreakbench_artifacts"
    with (folder / "harmful_behaviors_jailbreakbench.csv").open(encoding="utf-8", newline="") as stream:
        prompts = [Prompt(row["Index"], row["Goal"]) for row in csv.DictReader(stream)]
    artifact = folder / "GCG" / "white_box" / "vicuna-13b-v1.5.json"
    by_text, by_number = opened(artifact), opened(artifact, original="index", match="id")
    assert sum(by_text.render(prompt) is not None for prompt in prompts) == 95
    assert sum(by_number.render(prompt) is not None for prompt in prompts) == 100
