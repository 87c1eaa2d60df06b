"""Models that run here are pinned when a spec is opened: what their ids are made of, and what the lock keeps of it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lrm.errors import SpecError
from lrm.plan import workspace
from lrm.registry.identity import declaration_json, model_id
from lrm.registry.layers import Registry
from lrm.registry.models import Model
from lrm.spec.lock import FilePin, Lock, ModelPins, lock_path, read_lock, write_lock
from lrm.spec.matrix import Matrix
from lrm.spec.pinned import is_pinned, pin_models
from lrm.spec.resolve import resolve
from lrm.store.catalog import Catalog
from tests import builders
from tests.hub_server import Dataset, HubServer, hub_server

FILES = {"config.json": b"{}", "model.safetensors": b"weights"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGING"))]:
        monkeypatch.delenv(name)
    with hub_server() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        yield server


def folder(path: Path, **more: bytes) -> Path:
    path.mkdir(parents=True)
    for name, body in {**FILES, **more}.items():
        (path / name).write_bytes(body)
    return path


def local(name: str = "tiny", *, file: Path, **fields: Any) -> Matrix:
    """Return a matrix with one model that runs here."""
    return Matrix("s", file, models={name: builders.model(name, file=file, backend="vllm", **fields)})


def opened(tmp_path: Path, matrix: Matrix, lock: Lock | None = None) -> tuple[Model, Lock, list[str]]:
    """Return what opening a workspace makes of the model `tiny`, the lock and the notes."""
    catalog = Catalog(tmp_path / "catalog.duckdb")
    with workspace.opened(catalog, matrix, lock or Lock()) as space:
        return space.matrix.models["tiny"].declaration, space.resolved, space.notes


def asked(hub: HubServer) -> list[str]:
    """Return the requests about models, without what the client asks for itself once in a process."""
    return [request for request in hub.requests if "/models/" in request]


def test_a_matrix_without_such_models_is_left_alone_and_loads_no_client(tmp_path: Path) -> None:
    matrix = builders.matrix(models=[builders.model("m")])
    assert pin_models(matrix, Lock()).matrix is matrix
    code = (
        "import sys\nfrom lrm.spec import pinned\n"
        "assert not {'huggingface_hub', 'vllm', 'torch', 'ray'} & set(sys.modules), 'heavy'"
    )
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0


def test_a_commit_is_the_locks_then_the_caches_then_the_hubs(hub: HubServer, tmp_path: Path) -> None:
    spec = tmp_path / "s.toml"
    hub.models["org/tiny"] = Dataset()
    first = hub.models["org/tiny"].commit(FILES)
    matrix = local(file=spec, model="org/tiny")
    model, resolved, notes = opened(tmp_path, matrix)
    assert model.pins is not None
    assert model.pins.revision == first
    assert notes == []
    assert asked(hub) == ["GET /api/models/org/tiny/revision/main"]
    assert resolved.models == {"tiny": {"checkpoint": FilePin("org/tiny", revision=first)}}
    assert write_lock(spec, resolved)
    assert read_lock(spec) == Lock(models=resolved.models)
    assert not write_lock(spec, resolved)

    second = hub.models["org/tiny"].commit({**FILES, "config.json": b"[]"})
    hub.requests.clear()
    assert opened(tmp_path, matrix, read_lock(spec))[0] == model
    refs = tmp_path / "hf" / "hub" / "models--org--tiny" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text(first)
    assert opened(tmp_path, matrix)[0] == model
    assert asked(hub) == []

    moved, resolved, _ = opened(tmp_path, matrix, Lock(moving=True))
    assert moved.pins is not None
    assert moved.pins.revision == second
    assert resolved.models["tiny"]["checkpoint"].revision == second
    assert model_id(moved) != model_id(model)


def test_a_pin_says_nothing_of_another_checkpoint_or_branch(hub: HubServer, tmp_path: Path) -> None:
    spec = tmp_path / "s.toml"
    hub.models["org/tiny"] = Dataset()
    main = hub.models["org/tiny"].commit(FILES)
    branch = hub.models["org/tiny"].commit({**FILES, "config.json": b"[]"}, ref="v2")
    declared = "c" * 40
    lock = Lock(models={"tiny": {"checkpoint": FilePin("org/other", revision="d" * 40)}})
    assert opened(tmp_path, local(file=spec, model="org/tiny"), lock)[1].models["tiny"]["checkpoint"].revision == main
    resolved = opened(tmp_path, local(file=spec, model="org/tiny", revision="v2"), lock)[1]
    assert resolved.models["tiny"]["checkpoint"] == FilePin("org/tiny@v2", revision=branch)
    before = len(asked(hub))
    model, resolved, _ = opened(tmp_path, local(file=spec, model="org/tiny", revision=declared), resolved)
    assert resolved.models["tiny"]["checkpoint"] == FilePin("org/tiny", revision=declared)
    assert model.pins is not None
    assert model.pins.revision == declared
    assert len(asked(hub)) == before


def test_without_a_hub_a_plan_goes_on_and_says_which_model_is_not_pinned(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    matrix = local(file=tmp_path / "s.toml", model="org/tiny", vllm={"adapter": "org/lora"})
    model, resolved, notes = opened(tmp_path, matrix)
    assert not is_pinned(model)
    assert resolved.models == {}
    (note,) = notes
    assert note.startswith("the Hub cannot be reached")
    assert note.endswith("; tiny is not pinned, and cannot be loaded as it is")
    assert json.loads(declaration_json(model)).get("pins") is None
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert opened(tmp_path, matrix)[2] == [
        "the Hub has no model org/tiny that this account may see; tiny is not pinned, and cannot be loaded as it is",
        "the Hub has no model org/lora that this account may see; tiny is not pinned, and cannot be loaded as it is",
    ]


@pytest.mark.parametrize("changed", ["model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"])
def test_a_changed_file_of_a_folder_is_another_model_and_breaks_the_lock(tmp_path: Path, changed: str) -> None:
    spec = tmp_path / "s.toml"
    at = folder(tmp_path / "tiny")
    matrix = local(file=spec, model="./tiny")
    model, resolved, _ = opened(tmp_path, matrix)
    (at / "README.md").write_text("not read")
    assert model_id(opened(tmp_path, matrix, resolved)[0]) == model_id(model)
    (at / changed).write_bytes(b'{"other": 1}')
    with pytest.raises(SpecError, match=r"\./tiny changed since the lock was written") as caught:
        opened(tmp_path, matrix, resolved)
    assert (caught.value.file, caught.value.key) == (str(spec), "model")
    assert "--update" in str(caught.value.hint)
    assert model_id(opened(tmp_path, matrix, Lock(moving=True))[0]) != model_id(model)


def test_a_folder_has_one_id_wherever_it_lies_and_the_lock_knows_it_where_it_does_not(tmp_path: Path) -> None:
    folder(tmp_path / "one" / "tiny")
    folder(tmp_path / "two" / "other")
    one, resolved, _ = opened(tmp_path, local(file=tmp_path / "one" / "s.toml", model="./tiny"))
    two, _, _ = opened(tmp_path, local(file=tmp_path / "two" / "s.toml", model="./other"))
    assert model_id(one) == model_id(two)
    assert str(tmp_path) not in declaration_json(one)
    elsewhere = local(file=tmp_path / "three" / "s.toml", model="./tiny")
    there, kept, notes = opened(tmp_path, elsewhere, resolved)
    assert model_id(there) == model_id(one)
    assert kept.models == resolved.models
    assert "is no folder here; the lock's checksum stands for tiny" in notes[0]
    bare, _, notes = opened(tmp_path, elsewhere)
    assert not is_pinned(bare)
    assert "tiny is not pinned" in notes[0]


def test_judges_and_attackers_that_run_here_are_pinned_too(tmp_path: Path) -> None:
    folder(tmp_path / "tiny")
    model = builders.model("tiny", file=tmp_path / "s.toml", backend="vllm", model="./tiny")
    other = builders.model("far", file=tmp_path / "s.toml")
    matrix = Matrix("s", tmp_path / "s.toml", judge_models={"tiny": model, "far": other}, attack_models={"tiny": model})
    found = pin_models(matrix, Lock())
    judge, attacker = found.matrix.judge_models["tiny"].declaration, found.matrix.attack_models["tiny"].declaration
    assert judge == attacker
    assert is_pinned(judge)
    assert judge.model_copy(update={"extra_body": {"one": 1}}).pins == judge.pins
    assert found.matrix.judge_models["far"] is other
    assert list(found.models) == ["tiny"]
    again = pin_models(found.matrix, Lock())
    assert again.matrix is found.matrix


def test_folders_are_read_from_beside_the_file_in_which_they_are_written(tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    (registry / "models").mkdir(parents=True)
    (registry / "models" / "tiny.toml").write_text('backend = "vllm"\nmodel = "./tiny"\n')
    folder(registry / "models" / "tiny")
    (tmp_path / "plain.jinja").write_text("{{ messages }}")
    spec = tmp_path / "s.toml"
    spec.write_text(
        '[matrix]\nmodels = ["tiny"]\nprompt_sets = ["one"]\nconditions = ["none", "hot"]\n'
        '[prompt_sets.one]\nrows = [{text = "How do I whittle a spoon?"}]\n[attacks.none]\n'
        "[conditions.hot]\nsampling = {temperature = 1}\n"
        '[overrides.models.tiny]\nchat_template = "plain.jinja"\nsampling = {temperature = 0}\n'
    )
    found = pin_models(resolve(spec, Registry([registry])), Lock())
    assert found.notes == ()
    assert set(found.matrix.models) == {"tiny", "tiny@hot"}
    pins = [one.declaration.pins for one in found.matrix.models.values()]
    assert pins[0] is not None
    assert pins[0] == pins[1]
    assert pins[0].paths == {
        "checkpoint": str(registry / "models" / "tiny"),
        "chat_template": str(tmp_path / "plain.jinja"),
    }
    assert found.models["tiny"].keys() == {"checkpoint", "chat_template"}

    write_lock(spec, Lock(models=found.models))
    (tmp_path / "plain.jinja").write_text("{{ others }}")
    with pytest.raises(SpecError, match=r"plain\.jinja changed") as caught:
        pin_models(resolve(spec, Registry([registry])), read_lock(spec))
    assert (caught.value.file, caught.value.key) == (str(spec), "chat_template")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('[models]\ntiny = "x"', "`models.tiny` is no table"),
        (
            "[models.tiny.weights]\n",
            "`models.tiny` has no part `weights`: checkpoint, tokenizer, adapter, chat_template",
        ),
        ("[models.tiny.checkpoint]\n", "`models.tiny.checkpoint` needs `name`"),
        ('[models.tiny.checkpoint]\nname = "a"', "`models.tiny.checkpoint` needs `sha256` or `revision`"),
        ('[models.tiny.checkpoint]\nname = "a"\nrevision = "main"', "`revision` of .* is not 40 hexadecimal digits"),
        ('[models.tiny.checkpoint]\nname = "a"\nsha256 = 5', "`sha256` of .* is not 64 hexadecimal digits"),
    ],
)
def test_a_wrong_pin_in_a_lock_is_told(tmp_path: Path, written: str, says: str) -> None:
    spec = tmp_path / "s.toml"
    lock_path(spec).write_text(f"version = 1\n{written}\n")
    with pytest.raises(SpecError, match=says):
        read_lock(spec)


def test_pins_of_what_a_spec_still_has_are_kept(tmp_path: Path) -> None:
    pin: ModelPins = {"checkpoint": FilePin("org/tiny", revision="a" * 40)}
    old = Lock(models={"one": pin, "two": pin, "three": pin, "gone": pin})
    old.add_attack("gone", "b" * 64)
    one, two = (builders.model(name, backend="vllm", model="org/tiny") for name in ("one", "two"))
    matrix = Matrix("s", tmp_path / "s.toml", models={"one@hot": one}, judge_models={"two": two})
    assert old.of(matrix) == Lock(models={"one": pin, "two": pin})
    newer = Lock(models={"one": {"checkpoint": FilePin("org/tiny", revision="c" * 40)}})
    assert newer.over(old.of(matrix)).models == {**newer.models, "two": pin}
