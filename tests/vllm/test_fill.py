"""`lrm matrix fill` of models that run here: killed and resumed, never started for nothing, one model's trouble not another's."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

from lrm.store.catalog import Catalog
from tests import builders, tiny_model
from tests.vllm.descendants import descendants, gone
from tests.vllm.working import JUDGE, PROMPTS, lrm, starts, told, write_spec


def test_a_fill_is_killed_resumed_and_then_finds_nothing_to_do(folder: Path) -> None:
    write_spec(folder, {"one": "tiny"}, [f"What is {number} + 2?" for number in range(PROMPTS)])
    first = lrm(folder, "matrix", "fill", "spec.toml", "--quiet")
    replies = _journalled(folder, first)
    assert replies < PROMPTS
    left = descendants(first.pid)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert gone(left.values())

    resumed = told(folder, "matrix", "fill", "spec.toml")
    assert resumed["failed"] == resumed["left"] == 0
    assert 0 < resumed["done"] <= PROMPTS - replies
    statuses = builders.rows(
        Catalog(folder / "catalog.duckdb"), "SELECT status, count(*) FROM lrm.traces GROUP BY status"
    )
    assert statuses == [("no_open_tag", PROMPTS)]
    before = starts(folder)
    again = told(folder, "matrix", "fill", "spec.toml")
    assert again["calls"] == again["done"] == 0
    assert starts(folder) == before

    # What is in the id: the template's text, and the weights'.
    (folder / "template.jinja").write_text(tiny_model.OTHER_TEMPLATE, encoding="utf-8")
    assert told(folder, "matrix", "plan", "spec.toml", "--update")["calls"] == PROMPTS
    (folder / "template.jinja").write_text(tiny_model.TEMPLATE, encoding="utf-8")
    assert told(folder, "matrix", "plan", "spec.toml", "--update")["calls"] == 0
    (folder / "tiny").unlink()
    tiny_model.make(folder / "tiny", seed=2)
    assert told(folder, "matrix", "plan", "spec.toml", "--update")["calls"] == PROMPTS


def test_a_model_s_trouble_is_its_own_and_a_judge_shares_the_subject_s_engine(folder: Path) -> None:
    tiny_model.make(folder / "two", seed=1)
    tiny_model.make(folder / "lost", seed=3)
    models = {"one": "tiny", "two": "two", "lost": "lost"}
    rows = ["What is 3 + 4?", "What is 5 + 4?", "What is 1 + 1? " * 300]
    judge = JUDGE.format(model="two")
    write_spec(folder, models, rows, judge, 'judges = [{use = "itself", scopes = ["answer"]}]\n')
    told(folder, "matrix", "plan", "spec.toml")
    # The lock knows the checkpoint, and now its weights are gone.
    for weights in (folder / "lost").glob("*.safetensors"):
        weights.unlink()
    outcome = told(folder, "matrix", "fill", "spec.toml", status=1)
    failures = sorted((one["model"], one["class"], one["calls"]) for one in outcome["failures"])
    assert failures == [("one", "context_too_long", 1), ("two", "context_too_long", 1)]
    assert outcome["done"] == 4
    assert outcome["left"] == 3
    assert outcome["judge_calls"] >= 4  # and more where a reply is not a label
    catalog = Catalog(folder / "catalog.duckdb")
    loads = builders.rows(
        catalog, "SELECT checkpoint, load_s > 0, output_tokens > 0 FROM lrm.engines WHERE fault IS NULL"
    )
    assert sorted(loads) == [("./tiny", True, True), ("./two", True, True)]


def _journalled(folder: Path, filling: subprocess.Popen[str]) -> int:
    """Wait until some replies are in a fill's journal; return how many at least."""
    while filling.poll() is None:
        segments = (folder / "catalog.duckdb.journal").glob("*.jsonl")
        with contextlib.suppress(FileNotFoundError):  # a segment that was merged is taken away
            count = sum(path.read_bytes().count(b"chat.completion") for path in segments)
            if count >= 4:
                return count
        time.sleep(0.02)
    raise AssertionError(filling.communicate())
