"""Declarations of reward judges: what is refused before anything is loaded, and what makes one judge another."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lrm import hashing
from lrm.engines.engine import Settings
from lrm.engines.settings import settings_of
from lrm.errors import MissingError
from lrm.judges.reward import harm_of, reward_identity
from lrm.judges.reward_vllm import weights_of
from lrm.registry.judges import Number, RewardJudge, is_folder
from lrm.spec.matrix import Located

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ATTRIBUTES = ["helpful", "safe"]


def judge(**more: Any) -> RewardJudge:
    told = {"checkpoint": "someone/reward", "revision": COMMIT, "attributes": ATTRIBUTES}
    return RewardJudge(kind="reward", **{**told, **more})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"revision": None}, "needs `revision`, the 40 digits of a commit"),
        ({"revision": None, "checkpoint": "reward"}, "is a Hub id"),
        ({"revision": None, "checkpoint": "models/reward/v1"}, "is a Hub id"),
        ({"revision": "main"}, "revision"),
        ({"revision": COMMIT[:12]}, "revision"),
        ({"revision": COMMIT.upper()}, "revision"),
        ({"revision": COMMIT + "0"}, "revision"),
        ({"revision": COMMIT + "\n"}, "revision"),
        ({"checkpoint": "./reward"}, "a folder has no `revision`"),
        ({"attributes": ["helpful", "safe", "helpful"]}, "`helpful` twice"),
        ({"attributes": [""]}, "attributes"),
        ({"score": "safe"}, "`score` and `scale` belong together"),
        ({"scale": {"low": 0, "high": 1}}, "`score` and `scale` belong together"),
        ({"score": "mild", "scale": {"low": 0, "high": 1}}, "not among `attributes`"),
        ({"score": "safe", "scale": {"low": 1, "high": 1}}, "`low` must be below `high`"),
        ({"activation": "softmax", "attributes": ["only"]}, "always 1"),
        ({"activation": "tanh"}, "activation"),
        ({"dtype": "int8"}, "dtype"),
        ({"batch": 0}, "batch"),
        ({"max_length": 0}, "max_length"),
        ({"trust_remote_code": "perhaps"}, "trust_remote_code"),
        ({"trust_code": True}, "trust_code"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        judge(**more)


@pytest.mark.parametrize("checkpoint", ["./reward", "../reward", "~/reward", "/data/reward", "C:\\reward", "D:/reward"])
def test_a_folder_is_known_by_how_it_is_written(checkpoint: str) -> None:
    assert is_folder(checkpoint)
    assert judge(checkpoint=checkpoint, revision=None).revision is None


def test_code_is_not_trusted_by_default() -> None:
    assert judge().trust_remote_code is False


@pytest.mark.parametrize(
    "more",
    [
        {"checkpoint": "someone/other"},
        {"revision": "f" * 40},
        {"attributes": ["safe", "helpful"]},
        {"output": "rewards"},
        {"activation": "sigmoid"},
        {"score": "safe", "scale": {"low": 0, "high": 1}},
        {"score": "safe", "scale": {"low": 0, "high": 2}},
        {"unsafe_from": 0.5},
        {"trust_remote_code": True},
        {"show_prompt": False},
        {"dtype": "float32"},
        {"max_length": 512},
    ],
)
def test_what_changes_a_verdict_makes_another_judge(more: dict[str, Any]) -> None:
    ids = {hashing.digest("j1", reward_identity(one)) for one in (judge(), judge(**more))}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"device": "cuda:1"},
        {"batch": 64},
        {"scopes": ["thinking"]},
        {"description": "words", "licence": "MIT", "citation": "words", "homepage": "words"},
    ],
)
def test_how_and_where_it_runs_does_not(more: dict[str, Any]) -> None:
    assert reward_identity(judge(**more)) == reward_identity(judge())


def test_whole_says_how_a_reply_is_read_and_a_reward_has_none() -> None:
    scales = [{"low": 0, "high": 1, "whole": whole} for whole in (True, False)]
    first, second = (reward_identity(judge(score="safe", scale=scale)) for scale in scales)
    assert first == second


def test_a_folder_is_known_by_content(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}", encoding="utf-8")
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")
    one, two = (judge(checkpoint=f"./{name}", revision=None) for name in ("one", "two"))
    same = reward_identity(one, beside=tmp_path)
    assert same == reward_identity(two, beside=tmp_path)
    assert str(tmp_path) not in hashing.canonical(same).decode()
    (tmp_path / "two" / "model.safetensors").write_bytes(b"other")
    assert reward_identity(two, beside=tmp_path) != same
    # The same bytes split over other names are not the same checkpoint.
    (tmp_path / "two" / "model.safetensors").rename(tmp_path / "two" / "other.safetensors")
    (tmp_path / "two" / "other.safetensors").write_bytes(b"weights")
    assert reward_identity(two, beside=tmp_path) != same


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"\./nowhere is no folder here"):
        reward_identity(judge(checkpoint="./nowhere", revision=None), beside=tmp_path)


@pytest.mark.parametrize(
    ("value", "harm"),
    [(-2.0, 1.0), (-1.0, 1.0), (0.0, 0.75), (1.0, 0.5), (3.0, 0.0), (1e308, 0.0)],
)
def test_harm_is_linear_between_the_ends_of_the_scale_and_cut_beyond(value: float, harm: float) -> None:
    scale = Number(low=-1, high=3, harm_at_low=1, harm_at_high=0)
    assert harm_of(value, scale) == pytest.approx(harm)


def test_the_ends_are_exact() -> None:
    scale = Number(low=0.1, high=0.7, harm_at_low=0.1, harm_at_high=0.9)
    assert (harm_of(0.1, scale), harm_of(0.7, scale)) == (0.1, 0.9)


def test_the_module_loads_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, lrm.judges.reward; print(*sorted({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_without_the_extra_the_error_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    code = f"""
import sys
sys.modules["torch"] = None
from pathlib import Path
from lrm.errors import ModelError
from lrm.judges.reward import open_reward
from lrm.registry.judges import RewardJudge
from lrm.spec.matrix import Located
folder = Path({str(tmp_path)!r})
try:
    open_reward(Located("r", RewardJudge(kind="reward", checkpoint=str(folder)), folder / "r.toml"))
except ModelError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "pip install 'lrm[reward]'" in done.stdout


# --- by vLLM ----------------------------------------------------------------------------------------------------------

ANCHORS = {"refuses": ["I cannot help with that."]}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"engine": "llama.cpp"}, "engine"),
        ({"vllm": {"memory": 0.5}}, "`vllm` is only for engine = 'vllm'"),
        ({"head": "reward"}, "`head = 'reward'` needs engine = 'vllm'"),
        ({"engine": "vllm", "output": "rewards"}, "`output` is for engine = 'transformers'"),
        ({"engine": "vllm", "device": "cuda:1"}, "`device` is for engine = 'transformers'"),
        ({"engine": "vllm", "head": "other"}, "head"),
        ({"engine": "vllm", "anchors": ANCHORS}, "`anchors` and `head = 'embedding'` belong together"),
        ({"engine": "vllm", "head": "embedding"}, "`anchors` and `head = 'embedding'` belong together"),
        ({"engine": "vllm", "head": "embedding", "anchors": ANCHORS}, "their names are the attributes"),
        ({"engine": "vllm", "vllm": {"memory": 2}}, "memory"),
        ({"engine": "vllm", "vllm": {"arguments": {"runner": "generate"}}}, "`arguments` sets `runner`"),
        ({"engine": "vllm", "vllm": {"arguments": {"api_key": "secret"}}}, "looks like a key"),
    ],
)
def test_an_engine_that_cannot_do_what_is_declared_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        judge(**more)


def embedding(**more: Any) -> RewardJudge:
    return judge(**{"engine": "vllm", "head": "embedding", "attributes": [], "anchors": ANCHORS, **more})


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"anchors": {"refuses": []}}, "`anchors` has no text for `refuses`"),
        ({"activation": "softmax"}, "similarities have none"),
        ({"show_prompt": True}, "an embedding is of the response alone"),
        ({"score": "mild", "scale": {"low": 0, "high": 1}}, "`mild`, which is not among `anchors`"),
    ],
)
def test_anchors_that_cannot_be_meant_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        embedding(**more)


def test_an_embedding_is_of_the_response_alone() -> None:
    assert embedding().show_prompt is False
    assert embedding(score="refuses", scale={"low": 0, "high": 1}).score == "refuses"


def test_an_engine_that_is_not_declared_changes_no_id() -> None:
    told = judge(score="safe", scale={"low": 0, "high": 2})
    found = hashing.digest("j1", reward_identity(told)).hex()
    assert found == "de9ae15924737db18dd03ed72da6018320f2d0753a0e89c8e4938e8ca146be8e"
    assert reward_identity(judge(engine="transformers")) == reward_identity(judge())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (judge(), judge(engine="vllm")),
        (judge(engine="vllm"), judge(engine="vllm", head="reward")),
        (judge(engine="vllm"), judge(engine="vllm", vllm={"arguments": {"quantization": "fp8"}})),
        (embedding(), embedding(anchors={"refuses": ["I will not."]})),
        (embedding(), embedding(anchors={"declines": ANCHORS["refuses"]})),
    ],
)
def test_what_an_engine_reads_makes_another_judge(one: RewardJudge, other: RewardJudge) -> None:
    assert reward_identity(one) != reward_identity(other)


def test_where_an_engine_finds_room_does_not() -> None:
    room = {"memory": 0.4, "tensor_parallel": 2, "max_num_seqs": 8, "enforce_eager": True, "start_timeout_s": 60}
    assert reward_identity(judge(engine="vllm", vllm=room)) == reward_identity(judge(engine="vllm"))


def test_the_modules_of_an_embedding_model_are_part_of_a_folder(tmp_path: Path) -> None:
    pooling = tmp_path / "model" / "1_Pooling"
    pooling.mkdir(parents=True)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    (pooling / "config.json").write_text('{"pooling_mode_mean_tokens": true}', encoding="utf-8")
    one = embedding(checkpoint="./model", revision=None)
    before = reward_identity(one, beside=tmp_path)
    (pooling / "config.json").write_text('{"pooling_mode_cls_token": true}', encoding="utf-8")
    assert reward_identity(one, beside=tmp_path) != before


def test_judges_that_are_asked_otherwise_share_their_weights(tmp_path: Path) -> None:
    def settings(**more: Any) -> Settings:
        one = judge(checkpoint="./model", revision=None, engine="vllm", **more)
        return settings_of(weights_of(Located("one", one, tmp_path / "judge.toml")))

    plain = settings()
    assert settings(show_prompt=False, head="reward", activation="sigmoid", unsafe_from=0.2) == plain
    assert settings(max_length=16) != plain
    assert settings(dtype="float32") != plain
    arguments = json.loads(plain.arguments)
    assert arguments["runner"] == "pooling"
    assert arguments["enable_prefix_caching"] is False
    assert arguments["model"] == str(tmp_path / "model")
