"""The benchmark's job done by Curator. Run by the Python of its own environment: job.py URL PROMPTS FOLDER IN_FLIGHT.

Its cache and its log lie in FOLDER. Rates are not limited: only what is in flight is.
"""

import sys
from pathlib import Path

from bespokelabs import curator
from datasets import load_dataset

url, prompts, folder, width = sys.argv[1:5]


class Asker(curator.LLM):
    """Asks one prompt a row."""

    def prompt(self, row):
        """Return what is asked."""
        return row["text"]

    def parse(self, row, response):
        """Return the row that is kept."""
        return {"id": row["id"], "answer": response}


params = {"base_url": url, "api_key": "none", "max_concurrent_requests": int(width)}
params |= {"max_requests_per_minute": 10**9, "max_tokens_per_minute": 10**12}
asker = Asker(model_name="bench", backend="openai", backend_params=params)
made = asker(load_dataset("json", data_files=prompts, split="train"), working_dir=folder)
with Path(prompts).open(encoding="utf-8") as rows:
    assert len(made.dataset) == sum(1 for _ in rows)
