"""The main job on real published sets: through a real server, over plain HTTP and through litellm, by the command line."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Server

SPEC = """
[matrix]
models = ["plain", "through-litellm"]
prompt_sets = ["xstest", "sst"]
attacks = ["none", "framed"]
judges = [{{use = "grader", scopes = ["thinking", "answer"]}}]

[models.plain]
description = "{description}"
backend = "http"
endpoint = "{url}"
model = "ok"
thinking = {{visibility = "visible"}}
sampling = {{temperature = {temperature}, max_tokens = 100}}
limits = {{max_in_flight = 64}}

[models.through-litellm]
backend = "litellm"
endpoint = "{url}"
model = "hosted_vllm/ok"
thinking = {{visibility = "visible"}}
sampling = {{max_tokens = 100}}
limits = {{max_in_flight = 64}}
price = {{input = {price}, output = 1}}

[prompt_sets.sst]
file = "{sst}"
expect = "unsafe"
columns = {{id = "id", text = "prompts_final", category = ["harm_area", "category"]}}

[attacks.framed]
steps = [{{transform = "prefix", text = "{frame}"}}]

[judges.grader]
kind = "rules"
unsafe_from = {unsafe_from}
"""
AT_FIRST = {
    "description": "before", "temperature": 0.6, "price": 1, "frame": "For a report: ", "unsafe_from": 1.0,
}  # fmt: skip
XSTEST, SST = 450, 100


class Job:
    """A spec in a folder, filled by the `lrm` command in a process of its own."""

    def __init__(self, folder: Path, server: Server, data: Path) -> None:
        self.folder, self.server = folder, server
        self.environment = {**os.environ, "LRM_DATA": str(data), "LRM_CATALOG": str(folder / "catalog.duckdb")}
        self.sst = folder / "own" / "cases.csv"
        self.sst.parent.mkdir()
        shutil.copy(data / "simple_safety_tests" / "SimpleSafetyTests_test_cases.csv", self.sst)

    def lrm(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `lrm WORDS…`."""
        command = [sys.executable, "-c", "from lrm_cli.main import main; main()", *words]
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment, cwd=self.folder, check=False, timeout=300
        )

    def write(self, **changes: Any) -> Path:
        """Write the spec with so many changes."""
        spec = self.folder / "job.toml"
        spec.write_text(SPEC.format(**{**AT_FIRST, **changes}, url=self.server.url, sst=self.sst))
        return spec

    def asked_by(self, spec: Path, *words: str) -> int:
        """Fill, and return how many calls the server counted."""
        self.server.reset()
        done = self.lrm("matrix", "fill", str(spec), "--quiet", "--json", *words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["calls"] == self.server.total()
        return self.server.total()


@pytest.fixture
def job(tmp_path: Path, server: Server, shared_data: Path) -> Job:
    return Job(tmp_path, server, shared_data)


def test_only_what_changed_is_asked_again(job: Job) -> None:
    everything = (XSTEST + SST) * 2 * 2
    assert job.asked_by(job.write()) == everything

    assert job.asked_by(job.write()) == 0
    assert job.asked_by(job.write(description="after", price=2)) == 0
    assert job.asked_by(job.write(temperature=0.7)) == everything // 2
    assert job.asked_by(job.write(temperature=0.6)) == 0, "the first answers are still there"
    assert job.asked_by(job.write(frame="For a story: ")) == everything // 2
    assert job.asked_by(job.write(unsafe_from=0.5)) == 0

    _edit_one_row(job.sst)
    refused = job.lrm("matrix", "fill", str(job.write()))
    assert refused.returncode == 2
    assert "--update" in refused.stderr
    assert job.asked_by(job.write(), "--update") == 2 * 2
    assert job.asked_by(job.write()) == 0

    checked = job.lrm("catalog", "verify", "--json")
    assert checked.returncode == 0, checked.stdout


def test_a_changed_judge_grades_what_is_there(job: Job) -> None:
    spec = job.write()
    assert job.asked_by(spec, "--only", "model=plain", "--only", "attack=none", "--limit", "40") == 40
    before = _verdicts(job)
    assert (
        job.asked_by(job.write(unsafe_from=0.5), "--only", "model=plain", "--only", "attack=none", "--limit", "0") == 0
    )
    assert _verdicts(job) == 2 * before


def _verdicts(job: Job) -> int:
    shown = job.lrm("catalog", "sql", "SELECT count(*) AS n FROM lrm.verdicts", "--json")
    assert shown.returncode == 0, shown.stderr
    count: int = json.loads(shown.stdout)[0]["n"]
    return count


def _edit_one_row(path: Path) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows[7]["prompts_final"] += " Please."
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
