"""Reward judges by vLLM's pooling runner: the numbers of transformers for the same checkpoints, embeddings, and a fill."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from lrm.engines.process import ProcessEngine
from lrm.errors import ModelError
from lrm.judges.judge import Subject
from lrm.judges.reward import open_reward
from lrm.judges.reward_vllm import VllmScorer, weights_of
from lrm.judges.verdict import Verdict
from lrm.registry.judges import RewardJudge
from lrm.run.fill import fill
from lrm.spec.matrix import ChosenJudge, Located
from lrm.store.catalog import Catalog
from tests import builders
from tests.reward import checkpoints
from tests.reward.conftest import responses, subject
from tests.vllm import engines

WINDOW = 256
EAGER = {"enforce_eager": True, "max_num_seqs": 32}
LENGTHS = (3, 40, 1, 17, 90, 17, 2, 64, 5, 33, 600)
Judges = Callable[..., Located[RewardJudge]]


def classifier(folder: Path, labels: int, *, pad: str | None = "<|pad|>") -> Path:
    """Save a Qwen2 classifier of random weights; `pad`: the token that it takes for padding."""
    import torch
    from transformers import Qwen2Config, Qwen2ForSequenceClassification

    words = checkpoints.tokenizer(pad=pad)
    torch.manual_seed(labels)
    model = Qwen2ForSequenceClassification(
        Qwen2Config(
            vocab_size=(len(words) + 63) // 64 * 64,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=512,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
            num_labels=labels,
        )
    )
    with torch.no_grad():
        model.score.weight.normal_()
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a classifier with two labels, whose rows end with what it takes for padding."""
    return classifier(tmp_path_factory.mktemp("checkpoints") / "two", 2, pad="<|eot_id|>")


def judge(checkpoint: Path, name: str = "tiny", **more: Any) -> Located[RewardJudge]:
    """Return a reward judge by vLLM, unless `engine` says otherwise."""
    told = {"kind": "reward", "checkpoint": str(checkpoint), "dtype": "float32", "max_length": WINDOW, **more}
    if told.setdefault("engine", "vllm") == "vllm":
        told["vllm"] = EAGER
    return Located(name, RewardJudge.model_validate(told), checkpoint.parent / "judge.toml")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def engine(two: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ProcessEngine]:
    """Return an engine of the classifier that the tests here share."""
    async with engines.running(weights_of(judge(two)), tmp_path_factory.mktemp("engine") / "log") as started:
        yield started


async def by_vllm(engine: ProcessEngine, one: Located[RewardJudge], subjects: list[Subject]) -> list[Verdict]:
    scorer = VllmScorer(one.declaration, engine.backend(weights_of(one)))
    await scorer.begin()
    return await scorer.score(subjects, "answer")


def by_transformers(checkpoint: Path, subjects: list[Subject], **more: Any) -> list[Verdict]:
    scorer = open_reward(judge(checkpoint, engine="transformers", device="cpu", **more))
    try:
        return scorer.score(subjects, "answer")
    finally:
        scorer.close()


def numbers(verdict: Verdict) -> list[float]:
    assert verdict.detail is not None
    return list(verdict.detail["attributes"].values())


def assert_same(found: list[Verdict], expected: list[Verdict]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one.status, one.label, one.unsafe, one.coverage) == (
            other.status, other.label, other.unsafe, other.coverage
        )  # fmt: skip
        if other.detail is not None and other.coverage:
            assert one.detail is not None
            assert one.detail["tokens"] == other.detail["tokens"]
            assert list(one.detail["attributes"]) == list(other.detail["attributes"])
            assert numbers(one) == pytest.approx(numbers(other), abs=1e-3)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"show_prompt": False},
        {"activation": "softmax", "attributes": ["mild", "strong"]},
        {"activation": "sigmoid", "score": "LABEL_1", "scale": {"low": 0, "high": 1}, "unsafe_from": 0.5},
    ],
)
async def test_a_checkpoint_gives_the_numbers_that_transformers_gives(
    engine: ProcessEngine, two: Path, more: dict[str, Any]
) -> None:
    marked = [subject("a control token <|eot_id|> in the text"), subject(None), subject("short", prompt="the " * 2_000)]
    subjects = [*responses(LENGTHS), *marked]
    found = await by_vllm(engine, judge(two, **more), subjects)
    assert_same(found, by_transformers(two, subjects, **more))
    assert len({numbers(one)[0] for one in found if one.detail is not None}) > 5, "responses must be told apart"
    assert {one.status for one in found} >= {"ok", "no_text"}
    assert any(one.coverage < 1 for one in found if one.coverage is not None), "one must be cut"


async def test_the_last_token_of_a_reward_model_is_read(engine: ProcessEngine, two: Path) -> None:
    # Its numbers for each token are those of the classifier there; this text alone does not end with padding.
    subjects = [subject("how bread is baked")]
    last = await by_vllm(engine, judge(two, head="reward", show_prompt=False, attributes=["a", "b"]), subjects)
    expected = by_transformers(two, subjects, show_prompt=False)
    assert numbers(last[0]) == pytest.approx(numbers(expected[0]), abs=1e-3)


async def test_a_head_that_a_checkpoint_lacks_is_named(engine: ProcessEngine, two: Path) -> None:
    embedding = judge(two, head="embedding", anchors={"bread": ["flour"]})
    with pytest.raises(ModelError, match="not an embedding model: its architecture is Qwen2ForSequenceClassification"):
        engine.backend(weights_of(embedding))


async def test_embeddings_are_compared_with_the_anchors(tiny: Path, tmp_path: Path) -> None:
    anchors = {"sums": ["What is 3 + 4?", "3 + 4 is 7."], "bread": ["flour and water"]}
    one = judge(tiny, head="embedding", anchors=anchors)
    texts = ["What is 3 + 4?", "The answer is 7.", "water and flour"]
    async with engines.running(weights_of(one), tmp_path / "log") as started:
        found = await by_vllm(started, one, [subject(text) for text in texts])
    for text, verdict in zip(texts, found, strict=True):
        expected = [max(_cosine(tiny, text, anchor) for anchor in wordings) for wordings in anchors.values()]
        assert verdict.detail is not None
        assert list(verdict.detail["attributes"]) == ["sums", "bread"]
        assert numbers(verdict) == pytest.approx(expected, abs=1e-3)
    assert numbers(found[0])[0] == pytest.approx(1.0, abs=1e-5)


def _cosine(checkpoint: Path, *texts: str) -> float:
    """Return the similarity of two texts by transformers alone: of the last hidden states at their ends."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    with torch.inference_mode():
        one, other = (model(torch.tensor([words(text)["input_ids"]])).last_hidden_state[0, -1] for text in texts)
        return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def test_a_fill_loads_it_once_for_two_judges_and_keeps_the_numbers_of_transformers(tmp_path: Path) -> None:
    one = classifier(tmp_path / "one", 1)
    scale = {"low": -20.0, "high": 20.0}
    judges = [
        ChosenJudge(judge(one, "with", attributes=["mild"], score="mild", scale=scale), ("answer",)),
        ChosenJudge(judge(one, "without", attributes=["mild"], show_prompt=False), ("answer",)),
    ]
    catalog = Catalog(tmp_path / "catalog.duckdb")
    prompts = [f"the quick brown fox {number}" for number in range(12)]
    spec = builders.matrix(prompt_sets=[builders.prompt_set("set", prompts)], judges=judges)
    counts = fill(spec, catalog).judged
    assert counts["ok"] > len(prompts)
    assert set(counts) <= {"ok", "truncated"}
    assert sum(counts.values()) == 2 * len(prompts)
    rows = builders.rows(
        catalog,
        """
        SELECT t.answer, p.text, v.status, v.detail, v.score FROM lrm.verdicts v JOIN lrm.traces t USING (generation_n)
        JOIN lrm.prompts p ON p.n = v.prompt_n
        """,
    )
    assert len(rows) == len(prompts), "verdicts of the judge that looks at the prompt"
    shown = [subject(answer, prompt=text) for answer, text, *_ in rows]
    expected = by_transformers(one, shown, attributes=["mild"], score="mild", scale=scale)
    for (_, _, status, detail, score), verdict in zip(rows, expected, strict=True):
        assert status == verdict.status
        (value,) = json.loads(detail)["attributes"].values()
        assert value == pytest.approx(numbers(verdict)[0], abs=1e-3)
        assert score == pytest.approx(verdict.score, abs=1e-4)
    assert fill(spec, catalog).judged == {}
    ((starts, faults),) = builders.rows(catalog, "SELECT count(*), count(fault) FROM lrm.engines")
    assert (starts, faults) == (1, 0)
