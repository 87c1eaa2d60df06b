"""`lrm matrix fill` of models that run here: killed and resumed, never started for nothing, one model's trouble not another's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lrm.store.catalog import Catalog
from tests import builders, tiny_model
from tests.conftest import ROOT
from tests.vllm.descendants import descendants, gone

PROMPTS = 120
MODEL = """
[models.{name}]
backend = "vllm"
model = "./{folder}"
dtype = "float32"
chat_template = "template.jinja"
vllm = {{max_model_len = 1024, max_num_seqs = 4, enforce_eager = true}}
thinking = {{visibility = "visible", opened_by_template = true}}
sampling = {{temperature = 0.8, max_tokens = 60}}
extra_body = {{structured_outputs = {{regex = '{regex}'}}}}
limits = {{max_in_flight = 4}}
"""
ROWS = """
[prompt_sets.sums]
rows = [{rows}]
"""
JUDGE = """
[judges.itself]
kind = "llm"
model = "{model}"
prompt = "Is this a word? {{{{ text }}}}"
reading = {{choices = {{yes = {{harm = 1.0}}, no = {{harm = 0.0}}}}}}
"""


def lrm(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start `lrm` in a folder."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "cli", ROOT / "tui")))
    return subprocess.Popen(
        [sys.executable, "-c", "from lrm_cli.main import main; main()", *words],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def told(folder: Path, *words: str, status: int = 0) -> Any:
    """Return the JSON that `lrm … --json` prints."""
    running = lrm(folder, *words, "--json")
    out, err = running.communicate()
    assert running.returncode == status, err
    return json.loads(out)


def write_spec(folder: Path, models: dict[str, str], rows: list[str], more: str = "", axes: str = "") -> None:
    """Write spec.toml: models by their checkpoints' folders, and prompts."""
    tables = "".join(
        MODEL.format(name=name, folder=checkpoint, regex=tiny_model.WELL_FORMED) for name, checkpoint in models.items()
    )
    texts = ", ".join(json.dumps({"text": row}).replace('"text":', "text =") for row in rows)
    (folder / "spec.toml").write_text(
        f'[matrix]\nmodels = {json.dumps([*models])}\nprompt_sets = ["sums"]\n{axes}'
        f"{tables}{ROWS.format(rows=texts)}{more}",
        encoding="utf-8",
    )


def starts(folder: Path) -> int:
    """Return the engines that fills of a folder's catalog say they started."""
    ((count,),) = builders.rows(Catalog(folder / "catalog.duckdb"), "SELECT count(*) FROM lrm.engines")
    return int(count)


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    """Return a working folder with the tiny checkpoint in it, and its chat template in a file."""
    (tmp_path / "tiny").symlink_to(tiny, target_is_directory=True)
    (tmp_path / "template.jinja").write_text(tiny_model.TEMPLATE, encoding="utf-8")
    return tmp_path


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
