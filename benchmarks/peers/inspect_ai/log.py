"""What Inspect AI itself writes for given responses, in its own environment: bytes of its log for a sample.

    python log.py RESPONSES.jsonl FOLDER     (each line: {"prompt", "thinking", "answer"})

Inspect's mock model says each response; two scorers grade it, as the judge in the snapshot grades two scopes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    ContentReasoning,
    ContentText,
    ModelOutput,
    ModelUsage,
    get_model,
)
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState, generate


@scorer(metrics=[accuracy()])
def graded() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001
        return Score(value=0, answer="compliance")

    return score


def output(thinking: str, answer: str) -> ModelOutput:
    message = ChatMessageAssistant(content=[ContentReasoning(reasoning=thinking), ContentText(text=answer)])
    return ModelOutput(
        model="bench",
        choices=[ChatCompletionChoice(message=message, stop_reason="stop")],
        usage=ModelUsage(input_tokens=20, output_tokens=400, total_tokens=420, reasoning_tokens=250),
    )


rows = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
folder = Path(sys.argv[2])
samples = [Sample(id=number, input=row["prompt"]) for number, row in enumerate(rows)]
model = get_model("mockllm/model", custom_outputs=[output(row["thinking"], row["answer"]) for row in rows])
task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=[graded(), graded()])
(log,) = evaluate(task, model=model, log_dir=str(folder), display="none")
assert log.status == "success"
print(sum(path.stat().st_size for path in folder.glob("*.eval")) / len(rows))
