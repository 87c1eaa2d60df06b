"""The benchmark's job done by Inspect AI. Run by the Python of its own environment: job.py URL PROMPTS FOLDER IN_FLIGHT HOW.

HOW `set`: an eval set, which takes up finished logs again; `cache`: an eval with the cache of generations. Its logs lie in
FOLDER.
"""

import sys
from pathlib import Path

import inspect_ai
from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import generate

url, prompts, folder, width, how = sys.argv[1:6]


@task
def bench():
    """Ask each prompt once; nothing is scored."""
    return Task(dataset=json_dataset(prompts, FieldSpec(input="text", id="id")), solver=generate(cache=how == "cache"))


model = get_model(
    "openai-api/bench/bench", base_url=url, api_key="none", config=GenerateConfig(max_connections=int(width))
)
settings = {"model": model, "log_dir": folder, "max_samples": int(width), "display": "none"}
logs = inspect_ai.eval(bench(), **settings) if how == "cache" else inspect_ai.eval_set(bench(), **settings)[1]
with Path(prompts).open(encoding="utf-8") as rows:
    assert [log.status for log in logs] == ["success"]
    assert logs[0].results.completed_samples == sum(1 for _ in rows)
