"""What the command line says of models that run here, without vLLM: doctor, registry show, plan, and the overrides for them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lrm.registry.identity import model_identity
from lrm.registry.layers import Registry, packaged
from lrm.spec.resolve import resolve
from lrm_cli import checks, exits
from tests.cli.common import ROOT, Json, Run

SPEC = """
[matrix]
models = ["tiny"]
prompt_sets = ["one"]
[models.tiny]
backend = "vllm"
model = "./tiny"
[prompt_sets.one]
rows = [{text = "How do I whittle a spoon?"}]
"""


def folder(path: Path) -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    """Put a program called nvidia-smi first on the PATH."""
    path = tmp_path / "bin" / "nvidia-smi"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")


def gpus(lrm_json: Json) -> tuple[str, str]:
    found = {one["name"]: (one["state"], one["found"]) for one in lrm_json("doctor")["checks"]}
    assert {"vllm", "ray"} <= set(found)
    return found["GPUs"]


def test_doctor_tells_of_gpus(lrm_json: Json, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = "NVIDIA H200, 143771 MiB, 570.86.15"
    tool(monkeypatch, tmp_path, f"echo '{line}'; echo '{line}'; echo 'A, B, 5 MiB, 1'")
    assert gpus(lrm_json) == ("ok", "2 × NVIDIA H200, 143771 MiB, driver 570.86.15; 1 × A, B, 5 MiB, driver 1")


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("exit 0", ("ok", "none seen")),
        ("echo 'cannot talk to the driver'; exit 9", ("warning", "nvidia-smi fails: cannot talk to the driver")),
        ("exec sleep 60", ("warning", "nvidia-smi does not answer (TimeoutExpired)")),
    ],
)
def test_doctor_bears_a_driver_that_is_ill(
    lrm_json: Json, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, found: tuple[str, str]
) -> None:
    monkeypatch.setattr(checks, "GPU_TOOL_S", 0.2 if "sleep" in script else 10)
    tool(monkeypatch, tmp_path, script)
    assert gpus(lrm_json) == found


def test_doctor_without_the_driver_s_tool(lrm_json: Json, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    state, said = gpus(lrm_json)
    assert state == "ok"
    assert said.startswith("none seen")


def test_show_gives_the_id_of_a_folder_and_none_of_what_is_not_known(lrm: Run, lrm_json: Json, tmp_path: Path) -> None:
    models = tmp_path / "registry" / "models"
    models.mkdir(parents=True)
    (models / "near.toml").write_text('backend = "vllm"\nmodel = "./tiny"\n')
    (models / "far.toml").write_text('backend = "vllm"\nmodel = "org/tiny"\n')
    (models / "fixed.toml").write_text(f'backend = "vllm"\nmodel = "org/tiny"\nrevision = "{"a" * 40}"\n')
    folder(models / "tiny")
    near = lrm_json("registry", "show", "near")
    assert near["id"].startswith("i1:")
    (models / "tiny" / "chat_template.jinja").write_text("{{ messages }}")
    assert lrm_json("registry", "show", "near")["id"] not in (None, near["id"])
    assert near["declaration"]["pins"] is None
    assert lrm_json("registry", "show", "fixed")["id"].startswith("i1:")
    shown = lrm("registry", "show", "far")
    assert "no id yet" in shown.stderr
    assert lrm_json("registry", "show", "far")["id"] is None


def test_a_plan_is_made_without_vllm_and_stops_at_a_folder_that_is_not_the_locked_one(
    lrm: Run, lrm_json: Json, tmp_path: Path
) -> None:
    spec = tmp_path / "s.toml"
    spec.write_text(SPEC)
    assert "tiny is no folder here; tiny is not pinned" in lrm("matrix", "plan", spec).stderr
    folder(tmp_path / "tiny")
    planned = lrm("matrix", "plan", spec)
    assert "not pinned" not in planned.stderr
    (tmp_path / "s.lock").write_text(f'version = 1\n[models.tiny.checkpoint]\nname = "./tiny"\nsha256 = "{"0" * 64}"\n')
    stopped = lrm("matrix", "plan", spec, code=exits.USAGE)
    assert "./tiny changed since the lock was written" in stopped.stderr
    assert f"{spec}:5: key `model`" in stopped.stderr
    assert "hint: run with --update" in stopped.stderr
    lrm("matrix", "plan", spec, "--update")


def test_pins_in_a_file_are_an_error(lrm: Run, tmp_path: Path) -> None:
    spec = tmp_path / "s.toml"
    spec.write_text(SPEC.replace('model = "./tiny"', 'model = "./tiny"\npins = {revision = "x"}'))
    told = lrm("matrix", "plan", spec, code=exits.USAGE).stderr
    assert f"{spec}:8" in told
    assert "`pins` is not declared" in told


def test_every_open_model_tells_how_it_is_run_here_and_keeps_its_identity(tmp_path: Path) -> None:
    registry = Registry([packaged()])
    told = 0
    for file in sorted((ROOT / "registry" / "models").glob("*.toml")):
        text = file.read_text(encoding="utf-8")
        if "vllm serve" not in text:
            continue
        told += 1
        lines = re.findall(r"^#     ((?:\[overrides|backend|endpoint|vllm =).*)$", text, re.MULTILINE)
        assert lines[:1], file.name
        spec = tmp_path / f"{file.stem}.toml"
        spec.write_text(
            f'[matrix]\nmodels = ["{file.stem}"]\nprompt_sets = ["one"]\n'
            '[prompt_sets.one]\nrows = [{text = "How do I whittle a spoon?"}]\n' + "\n".join(lines)
        )
        here = resolve(spec, registry).models[file.stem].declaration
        served = registry.get("models", file.stem).declaration
        assert here.runs_here, file.name
        more = {} if not here.options.arguments else {"arguments": here.options.arguments}
        # Guards and the attacker name no engine, which is `http` then.
        assert model_identity(here) == {**model_identity(served), "engine": "vllm", **more}
    assert told > 20
