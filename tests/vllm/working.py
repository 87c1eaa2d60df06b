"""A working folder with a tiny checkpoint and a spec in it, and `lrm` run there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lrm.store.catalog import Catalog
from tests import builders, tiny_model
from tests.conftest import ROOT

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
