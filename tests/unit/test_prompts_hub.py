"""The real Hub client against a stand-in server on loopback."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lrm.errors import BusyError, MissingError, SpecError
from lrm.prompts.load import load
from lrm.prompts.shards import NoFilesError, choose_files
from lrm.prompts.source import Pin, locate
from lrm.registry.declarations import PromptSet
from lrm.spec.matrix import Located
from tests.hub_server import Dataset, HubServer, hub_server

ROWS = b'{"text": "How do I boil an egg?"}\n{"text": "How do I bake bread?"}\n'
OTHER = b'{"text": "How do I plant a tree?"}\n'


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("LRM_DATA", raising=False)
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield server


def declared(tmp_path: Path, **fields: object) -> Located[PromptSet]:
    known = {"sha256", "format", "columns"}
    top = {name: value for name, value in fields.items() if name in known}
    inner = {"repo": "lab/eggs", **{name: value for name, value in fields.items() if name not in known}}
    return Located("eggs", PromptSet.model_validate({"hub": inner, **top}), tmp_path / "eggs.toml", 3)


def texts(prompt_set: Located[PromptSet], pinned: Pin | None = None) -> list[str]:
    return [prompt.text for prompt in load(locate(prompt_set, pinned=pinned), prompt_set)]


def test_a_branch_is_resolved_to_its_commit_and_a_pin_outlives_the_branch(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    first = dataset.commit({"data/test.jsonl": ROWS, "README.md": b"# eggs"})
    prompt_set = declared(tmp_path, file="data/test.jsonl")
    source = locate(prompt_set)
    assert (source.kind, source.repo, source.revision, source.names) == ("hub", "lab/eggs", first, ("data/test.jsonl",))
    assert len(load(source, prompt_set)) == 2

    second = dataset.commit({"data/test.jsonl": OTHER})
    pin = Pin(source.sha256, source.revision)
    hub.requests.clear()
    assert locate(prompt_set, pinned=pin) == source
    assert hub.requests == []  # the commit is known and its file is in the cache
    moved = locate(prompt_set)
    assert moved.revision == second
    assert moved.id != source.id


def test_a_full_commit_in_the_declaration_needs_no_request_once_it_is_cached(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    commit = dataset.commit({"a.jsonl": ROWS})
    prompt_set = declared(tmp_path, file="a.jsonl", revision=commit)
    locate(prompt_set)
    assert hub.requests  # it was downloaded
    assert not any("/revision/" in request for request in hub.requests)
    hub.requests.clear()
    assert locate(prompt_set).revision == commit
    assert hub.requests == []


def test_shards_of_a_config_and_split_are_read_in_order(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    dataset.commit(
        {
            "hard/test-00001-of-00002.jsonl": OTHER,
            "hard/test-00000-of-00002.jsonl": ROWS,
            "hard/train-00000-of-00001.jsonl": OTHER,
            "easy/test-00000-of-00001.jsonl": OTHER,
        }
    )
    prompt_set = declared(tmp_path, config="hard", split="test")
    source = locate(prompt_set)
    assert source.names == ("hard/test-00000-of-00002.jsonl", "hard/test-00001-of-00002.jsonl")
    prompts = load(source, prompt_set)
    assert [prompt.key for prompt in prompts] == ["1", "2", "3"]
    assert prompts[2].text == "How do I plant a tree?"
    hub.requests.clear()
    assert locate(prompt_set, pinned=Pin(source.sha256, source.revision)) == source
    assert hub.requests == []


def test_a_listing_out_of_the_cache_is_not_taken_for_the_whole_repository(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    commit = dataset.commit({"easy/test.jsonl": OTHER, "hard/test.jsonl": ROWS})
    locate(declared(tmp_path, file="easy/test.jsonl"))  # now the cache has one of the two
    with pytest.raises(SpecError, match="2 tables fit"):
        locate(declared(tmp_path, split="test", revision=commit))


@pytest.mark.parametrize("why", ["variable", "unreachable"])
def test_without_a_network_the_cache_is_used(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    dataset.commit({"test.jsonl": ROWS})
    prompt_set = declared(tmp_path, split="test")
    online = locate(prompt_set)
    if why == "variable":
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    hub.requests.clear()
    assert locate(prompt_set) == online
    with pytest.raises(MissingError, match="cache does not hold") as caught:
        locate(declared(tmp_path, file="other.jsonl"))
    assert "LRM_DATA/lab/eggs/other.jsonl" in (caught.value.hint or "")
    assert hub.requests == []


def test_a_gated_dataset_says_how_to_get_access_and_opens_with_a_token(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset(gated=True)
    dataset.commit({"test.jsonl": ROWS})
    prompt_set = declared(tmp_path, file="test.jsonl")
    with pytest.raises(MissingError, match="gated") as caught:
        locate(prompt_set)
    assert "accept its terms" in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "not-the-one")
    with pytest.raises(MissingError, match="gated") as caught:
        locate(prompt_set)
    assert "not-the-one" not in str(caught.value)
    monkeypatch.setenv("HF_TOKEN", "let-me-in")
    assert len(texts(prompt_set)) == 2


@pytest.mark.parametrize(
    ("fields", "error", "message", "hint"),
    [
        ({"repo": "lab/ducks", "file": "test.jsonl"}, MissingError, "no dataset lab/ducks", "compare the name"),
        ({"revision": "v9", "file": "test.jsonl"}, SpecError, "no revision `v9`", "main"),
        ({"revision": "0" * 40, "file": "test.jsonl"}, SpecError, "no revision", "main"),
        ({"file": "tset.jsonl"}, SpecError, "no file `tset.jsonl`", "did you mean `test.jsonl`"),
        ({"file": "../test.jsonl"}, SpecError, "no path inside", None),
        ({"config": "hrad", "split": "test"}, SpecError, "config `hrad`", "did you mean `hard`"),
        ({"split": "dev"}, SpecError, "split `dev`", "hard/train.jsonl"),
        ({}, SpecError, "2 tables fit", "name one with hub.file"),
    ],
)
def test_what_the_hub_does_not_have(
    hub: HubServer, tmp_path: Path, fields: dict[str, str], error: type[Exception], message: str, hint: str | None
) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    dataset.commit({"test.jsonl": ROWS, "hard/train.jsonl": OTHER})
    with pytest.raises(error, match=message) as caught:
        locate(declared(tmp_path, **fields))
    if isinstance(caught.value, SpecError):
        assert (caught.value.file, caught.value.line) == (str(tmp_path / "eggs.toml"), 3)
        assert (caught.value.key or "").startswith("hub")
    if hint is not None:
        assert hint in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_overloaded_hub_is_a_matter_of_waiting(
    hub: HubServer, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client waits half a minute between its own attempts; the waiting is no part of what is tested.
    monkeypatch.setattr("time.sleep", lambda _: None)
    hub.datasets["lab/eggs"] = Dataset()
    hub.datasets["lab/eggs"].commit({"test.jsonl": ROWS})
    hub.failing = status
    with pytest.raises(BusyError, match=str(status)):
        locate(declared(tmp_path, file="test.jsonl"))
    with pytest.raises(BusyError, match=str(status)):
        locate(declared(tmp_path, file="test.jsonl", revision="0" * 40))


def test_a_declared_commit_that_is_not_the_locked_one(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="the lock has 1111") as caught:
        locate(declared(tmp_path, file="a.jsonl", revision="2" * 40), pinned=Pin(None, "1" * 40))
    assert "--update" in (caught.value.hint or "")
    assert hub.requests == []


def test_a_mirror_goes_before_the_network_when_its_checksum_fits(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    commit = dataset.commit({"test.jsonl": ROWS})
    mirror = tmp_path / "mirror" / "lab" / "eggs"
    mirror.mkdir(parents=True)
    monkeypatch.setenv("LRM_DATA", str(tmp_path / "mirror"))
    (mirror / "test.jsonl").write_bytes(ROWS)
    prompt_set = declared(tmp_path, file="test.jsonl")
    source = locate(prompt_set)
    assert (source.path, source.revision) == (mirror / "test.jsonl", None)
    assert locate(prompt_set, pinned=Pin(source.sha256, commit)).revision == commit
    assert locate(declared(tmp_path, split="test")).id == source.id  # the folder as a copy of the repository
    assert hub.requests == []
    with pytest.raises(SpecError, match="split `train`"):
        locate(declared(tmp_path, split="train"))  # what the copy does not have is asked of the Hub
    assert hub.requests
    hub.requests.clear()

    (mirror / "test.jsonl").write_bytes(OTHER)
    assert locate(declared(tmp_path, file="test.jsonl", sha256=source.sha256)).revision == commit
    assert hub.requests


def test_a_checksum_is_of_one_file(hub: HubServer, tmp_path: Path) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    dataset.commit({"test-00000-of-00002.jsonl": ROWS, "test-00001-of-00002.jsonl": OTHER})
    with pytest.raises(SpecError, match="a sha256 is of one file"):
        locate(declared(tmp_path, split="test", sha256="0" * 64))


def test_the_client_prints_nothing(hub: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hub.datasets["lab/eggs"] = dataset = Dataset()
    dataset.commit({"test.jsonl": ROWS * 1000})
    locate(declared(tmp_path, file="test.jsonl"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("names", "config", "split", "chosen"),
    [
        (["data/test-00000-of-00001.parquet", "README.md"], None, None, ["data/test-00000-of-00001.parquet"]),
        (["en/test.csv", "de/test.csv"], "de", "test", ["de/test.csv"]),
        (["data/harmful-behaviors.csv", "data/benign-behaviors.csv"], "behaviors", "harmful", ["data/harmful-behaviors.csv"]),
        (["default/test/0000.parquet", "default/test/0001.parquet", "default/train/0000.parquet"], "default", "test",
         ["default/test/0000.parquet", "default/test/0001.parquet"]),
        (["test.csv", "test.parquet", "test.jsonl"], None, "test", ["test.parquet"]),
        (["test.csv", "test.jsonl.gz"], None, "test", ["test.jsonl.gz"]),
        (["data/test2.csv", "data/test10.csv", "data/test1.csv"], None, "test",
         ["data/test1.csv", "data/test2.csv", "data/test10.csv"]),
        (["prompts.csv", "dataset_infos.json", ".hidden/x.csv"], None, "train", ["prompts.csv"]),
        (["eval/eval.tsv", "train/train.tsv"], "eval", None, ["eval/eval.tsv"]),
        (["test-00000-of-00001-0123456789abcdef.parquet"], "default", "test", ["test-00000-of-00001-0123456789abcdef.parquet"]),
        (["test/test-0.csv", "train/train-0.csv"], None, "test", ["test/test-0.csv"]),
    ],
)  # fmt: skip
def test_files_chosen_by_name(names: list[str], config: str | None, split: str | None, chosen: list[str]) -> None:
    assert choose_files(names, config=config, split=split) == tuple(chosen)
    assert choose_files(reversed(names), config=config, split=split) == tuple(chosen)


@pytest.mark.parametrize(
    ("names", "config", "split", "message"),
    [
        (["README.md", "image.png"], None, None, "holds no"),
        (["data-v1.csv", "data-v2.csv"], None, None, "2 tables"),
        (["test-00000-of-00003.csv", "test-00002-of-00003.csv"], None, "test", "2 of 3 shards"),
        (["train.csv", "test.csv"], None, "latest", "split `latest`"),
        (["contest.csv", "train.csv"], None, "test", "split `test`"),
    ],
)
def test_files_that_cannot_be_chosen(names: list[str], config: str | None, split: str | None, message: str) -> None:
    with pytest.raises(NoFilesError, match=message):
        choose_files(names, config=config, split=split)
