"""The files that an engine reads: through the real Hub client from a server that stands in for the Hub, and from folders."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.engines import checkpoint, folders, hub_files
from lrm.engines.checkpoint import files_of, placed
from lrm.engines.settings import arguments_of, settings_of
from lrm.errors import ModelError
from lrm.registry.models import Model
from lrm.spec.matrix import Located
from lrm.spec.pinned import pin_model
from tests.hub_server import Dataset, HubServer, hub_server
from tests.weights import safetensors

BYTES = bytes(range(256)) * 40
WEIGHTS = safetensors(BYTES)
FILES = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b'{"version": "1.0"}',
    "pytorch_model.bin": b"pickled",
    "original/consolidated.safetensors": b"the same again",
    "modeling_own.py": b"raise SystemExit",
    "README.md": b"hello",
}
WANTED = {"config.json", "model.safetensors", "tokenizer.json"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        yield server


def declared(model: str = "org/tiny", **fields: Any) -> Model:
    return Model.model_validate({"backend": "vllm", "model": model, **fields})


def pinned(model: Model, beside: Path) -> Model:
    return pin_model(Located("tiny", model, beside / "tiny.toml")).declaration


def repository(hub: HubServer, files: dict[str, bytes] | None = None, *, name: str = "org/tiny") -> str:
    hub.models[name] = Dataset(lfs=True)
    return hub.models[name].commit(files or FILES)


def folder(path: Path, files: dict[str, bytes] | None = None) -> Path:
    for name, body in (files or FILES).items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(body)
    return path


def test_a_pinned_commit_is_fetched_once_without_pickles_code_and_copies(hub: HubServer, tmp_path: Path) -> None:
    commit = repository(hub)
    said: list[str] = []
    model = declared(revision=commit)
    found = files_of(pinned(model, tmp_path), say=said.append)
    assert {path.name for path in found.model.iterdir()} == WANTED
    assert (found.model / "model.safetensors").read_bytes() == WEIGHTS
    size = sum(len(FILES[name]) for name in WANTED)
    assert said == [f"fetching org/tiny at {commit[:12]}: 3 files, {size:,} bytes"]
    assert set(hub.sent) == WANTED

    asked = len(hub.requests)
    again = files_of(pinned(model, tmp_path), say=said.append)
    assert again == found
    assert len(said) == 1
    assert [one for one in hub.requests[asked:] if "/models/" in one] == [f"GET /api/models/org/tiny/revision/{commit}"]


def test_a_download_that_breaks_off_is_taken_up_where_it_stopped(
    hub: HubServer, capfd: pytest.CaptureFixture[str]
) -> None:
    big = safetensors(BYTES * 2000)
    commit = repository(hub, {**FILES, "model.safetensors": big})
    hub.models["org/tiny"].breaks_after = 12_000_000
    found = files_of(declared(revision=commit))
    assert (found.model / "model.safetensors").read_bytes() == big
    (first, _), (second, rest) = hub.sent["model.safetensors"]
    assert first == 0
    # The client writes in blocks of 10 MiB, and what it wrote is not asked for again.
    assert second == 10 << 20
    assert second + rest == len(big)
    assert capfd.readouterr().err == ""


def test_without_a_network_the_cache_is_good_only_when_no_shard_is_missing(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()
    sharded = {"config.json": b"{}", "model.safetensors.index.json": index}
    commit = repository(
        hub, {**sharded, "model-1.safetensors": safetensors(b"1"), "model-2.safetensors": safetensors(b"2")}
    )
    found = files_of(declared(revision=commit))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert files_of(declared(revision=commit)) == found
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert files_of(declared(revision=commit)) == found
    (found.model / "model-2.safetensors").unlink()
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set") as caught:
        files_of(declared(revision=commit))
    assert "copy its files into a folder" in str(caught.value.hint)


def test_what_the_hub_does_not_give_is_one_clear_message(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**fields: Any) -> ModelError:
        with pytest.raises(ModelError) as caught:
            files_of(declared(**fields))
        return caught.value

    commit = repository(hub)
    other = "f" * 40
    error = refused(revision=other)
    assert error.message == f"org/tiny has no revision `{other[:12]}`"
    assert (
        refused(model="org/none", revision=other).message == "the Hub has no model org/none that this account may see"
    )
    assert "40 digits of a commit" in str(refused().hint)

    hub.models["org/tiny"].gated = True
    for token in (None, "not-the-one"):
        if token is not None:
            monkeypatch.setenv("HF_TOKEN", token)
        error = refused(revision=commit)
        assert error.message == "org/tiny is gated, and this account has no access to it"
        assert "HF_TOKEN" in str(error.hint)
    hub.models["org/tiny"].closed = True
    assert "is gated" in refused(revision=commit).message
    monkeypatch.setenv("HF_TOKEN", "let-me-in")
    assert files_of(declared(revision=commit)).model.is_dir()

    hub.failing = 503
    assert refused(model="org/late", revision=commit).message == "the Hub answered 503 for org/late"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    error = refused(model="org/late", revision=commit)
    assert error.message.startswith("the Hub cannot be reached")
    assert "what was fetched is kept" in str(error.hint)


def test_a_cache_that_cannot_be_written_is_told(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository(hub)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="cache cannot be written: Not a directory") as caught:
        files_of(declared(revision=commit))
    assert "HF_HOME" in str(caught.value.hint)


def test_pickled_weights_are_not_loaded(hub: HubServer, tmp_path: Path) -> None:
    commit = repository(hub, {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    with pytest.raises(ModelError, match="only pickled ones or none") as caught:
        files_of(declared(revision=commit))
    assert "save_pretrained" in str(caught.value.hint)
    folder(tmp_path / "old", {"config.json": b"{}", "pytorch_model.bin": b"pickled"})
    with pytest.raises(ModelError, match=r"\./old has no weights as safetensors, only pickled ones or none"):
        files_of(declared("./old"), tmp_path)
    folder(tmp_path / "bare", {"model.safetensors": safetensors(b"1")})
    with pytest.raises(ModelError, match=r"\./bare has no config\.json"):
        files_of(declared("./bare"), tmp_path)


def test_parts_of_a_model_are_found_where_they_were_declared(hub: HubServer, tmp_path: Path) -> None:
    commit = repository(hub, {"tokenizer.json": b"{}", "model.safetensors": WEIGHTS}, name="org/words")
    folder(tmp_path / "tiny")
    folder(tmp_path / "lora", {"adapter_config.json": b"{}", "adapter_model.safetensors": safetensors(b"1")})
    folder(tmp_path / "draft", {"config.json": b"{}", "model.safetensors": safetensors(b"1")})
    (tmp_path / "plain.jinja").write_text("{{ messages }}")
    model = declared(
        "./tiny",
        chat_template="plain.jinja",
        vllm={
            "tokenizer": "org/words",
            "adapter": "./lora",
            "speculative": {"model": "./draft", "num_speculative_tokens": 3},
        },
    )
    at = pinned(model, tmp_path)
    found = files_of(at)
    assert found.tokenizer is not None
    assert found.tokenizer.name == commit
    assert [path.name for path in found.tokenizer.iterdir()] == ["tokenizer.json"]
    given = placed(arguments_of(at), found)
    assert given == {
        "model": str(tmp_path / "tiny"),
        "tokenizer": str(found.tokenizer),
        "adapter": str(tmp_path / "lora"),
        "chat_template": str(tmp_path / "plain.jinja"),
        "enable_prefix_caching": True,
        "speculative_config": {"model": str(tmp_path / "draft"), "num_speculative_tokens": 3},
    }
    # Without pins, as a declaration that was only read.
    assert files_of(declared("./tiny"), tmp_path).model == tmp_path / "tiny"


def test_two_folders_of_one_declared_name_are_two_engines(tmp_path: Path) -> None:
    one, two = (pinned(declared("./tiny"), folder(tmp_path / name / "tiny").parent) for name in ("one", "two"))
    assert settings_of(one) != settings_of(two)
    assert settings_of(one).checkpoint == "./tiny"
    assert one.pins == Model.model_validate(dict(one)).pins
    assert one.model_dump_json() == two.model_dump_json()
    assert str(tmp_path) not in one.model_dump_json()


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "./none"}, "checkpoint .*none is no folder here"),
        ({"vllm": {"adapter": "./none"}}, "adapter .*none is no folder here"),
        ({"vllm": {"tokenizer": "./none"}}, "tokenizer .*none is no folder here"),
        ({"vllm": {"speculative": {"model": "./none"}}}, "draft .*none is no folder here"),
        ({"chat_template": "none.jinja"}, r"no chat template .*none\.jinja"),
        ({"vllm": {"adapter": "./tiny"}}, r"\./tiny has no adapter_config\.json"),
    ],
)
def test_a_folder_or_file_that_is_missing_is_named(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    folder(tmp_path / "tiny")
    for model in (declared(**{"model": "./tiny", **fields}),):
        with pytest.raises(ModelError, match=says):
            files_of(model, tmp_path)
        with pytest.raises(ModelError, match=says):
            files_of(pinned(model, tmp_path))


def test_what_changed_after_it_was_pinned_is_not_loaded(tmp_path: Path) -> None:
    folder(tmp_path / "tiny")
    (tmp_path / "plain.jinja").write_text("one")
    model = pinned(declared("./tiny", chat_template="plain.jinja"), tmp_path)
    (tmp_path / "plain.jinja").write_text("two")
    with pytest.raises(ModelError, match=r"the chat template .*plain\.jinja changed"):
        files_of(model)
    (tmp_path / "tiny" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"the checkpoint \./tiny changed"):
        files_of(model)


def test_code_is_read_only_where_it_is_allowed_and_never_out_of_another_repository(tmp_path: Path) -> None:
    asks = json.dumps({"auto_map": {"AutoModelForCausalLM": "other/repo--modeling.Own"}}).encode()
    folder(tmp_path / "tiny", {**FILES, "config.json": asks})
    trusting = declared("./tiny", vllm={"trust_remote_code": True})
    assert files_of(declared("./tiny"), tmp_path).model == tmp_path / "tiny"
    with pytest.raises(ModelError, match="code out of another repository"):
        files_of(trusting, tmp_path)
    before = [pinned(model, tmp_path).pins for model in (declared("./tiny"), trusting)]
    (tmp_path / "tiny" / "modeling_own.py").write_text("pass")
    after = [pinned(model, tmp_path).pins for model in (declared("./tiny"), trusting)]
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, False]


def test_weights_are_hashed_once_for_as_long_as_they_stay_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    big = folder(tmp_path / "big", {"config.json": b"{}", "model.safetensors": WEIGHTS * 200})
    os.utime(big / "model.safetensors", (1, 1))
    read: list[str] = []
    whole = folders.file_digest

    def counted(path: Path) -> str:
        read.append(path.name)
        return whole(path)

    monkeypatch.setattr(folders, "file_digest", counted)
    monkeypatch.setattr(folders, "_SETTLED_NS", -(1 << 62))

    def digest() -> str:
        folders._digest.cache_clear()  # as in another process
        return folders.folder_digest(big, code=False)

    first = digest()
    assert sorted(read) == ["config.json", "model.safetensors"]
    read.clear()
    assert digest() == first
    assert read == ["config.json"]

    changed = bytearray(WEIGHTS * 200)
    changed[5] ^= 1
    (big / "model.safetensors").write_bytes(changed)
    read.clear()
    assert digest() != first
    assert "model.safetensors" in read
    (folders.cache_folder() / "digests.json").write_bytes(b"garbage")
    assert digest() != first


@pytest.mark.parametrize(
    ("name", "code", "read"),
    [
        ("model.safetensors", False, True),
        ("original/model.safetensors", False, False),
        ("modeling.py", False, False),
        ("deep/modeling.py", True, True),
        ("__pycache__/modeling.py", True, False),
        ("README.md", True, False),
    ],
)
def test_which_files_are_read(name: str, *, code: bool, read: bool) -> None:
    assert folders.is_read(name, folders.READ, code=code) is read


def test_a_revision_is_no_path_out_of_the_cache(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "hf" / "hub" / "models--org--tiny" / "refs").mkdir(parents=True)
    (tmp_path / "hf" / "hub" / "models--org--tiny" / "stray").write_text("a" * 40)
    assert hub_files.known_commit("org/tiny", "../stray") is None
    (tmp_path / "hf" / "hub" / "models--org--tiny" / "refs" / "main").write_text("a" * 40)
    assert hub_files.known_commit("org/tiny", None) == "a" * 40


def test_what_takes_long_to_read_is_said_until_it_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checkpoint, "LONG_BYTES", 2**20)
    big = folder(tmp_path / "big", {"config.json": b"{}", "model.safetensors": safetensors(BYTES * 200)})
    os.utime(big / "model.safetensors", (1, 1))
    monkeypatch.setattr(folders, "_SETTLED_NS", -(1 << 62))
    said: list[str] = []
    for _ in range(2):
        checkpoint.digest_of(big, code=False, say=said.append)
    assert said == [f"reading 0 GB in {big} to know its checksum, which is remembered"]
