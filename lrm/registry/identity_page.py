"""The identity page: which field of a model is part of its id, found by changing each field and looking at the id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel

from lrm import hashing
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id

VALUES: dict[str, tuple[Any, Any]] = {
    "description": ("one", "two"),
    "licence": ("MIT", "Apache-2.0"),
    "citation": ("one", "two"),
    "homepage": ("one", "two"),
    "backend": ("http", "litellm"),
    "model": ("openai/one", "openai/two"),
    "engine": ("vllm", "sglang"),
    "revision": ("one", "two"),
    "quantization": ("awq", "fp8"),
    "dtype": ("bfloat16", "float16"),
    "chat_template": ("one", "two"),
    "epoch": ("2026-10", "2026-11"),
    "thinking.visibility": ("visible", "summary"),
    "thinking.open": ("<think>", "<thought>"),
    "thinking.close": ("</think>", "</thought>"),
    "thinking.opened_by_template": (False, True),
    "thinking.also": ([], [["<safety>", "</safety>"]]),
    "thinking.interleaved": (False, True),
    "thinking.answer_open": ("<answer>", "<reply>"),
    "thinking.answer_close": ("</answer>", "</reply>"),
    "thinking.style": ("tags", "harmony"),
    "thinking.effort": ("low", "high"),
    "thinking.budget_tokens": (1024, 2048),
    "thinking.switch": ({"enable_thinking": True}, {"enable_thinking": False}),
    "sampling.temperature": (0.0, 1.0),
    "sampling.top_p": (0.9, 1.0),
    "sampling.top_k": (20, 40),
    "sampling.min_p": (0.0, 0.1),
    "sampling.max_tokens": (1024, 2048),
    "sampling.seed": (0, 1),
    "sampling.stop": (["one"], ["two"]),
    "sampling.presence_penalty": (0.0, 1.0),
    "sampling.frequency_penalty": (0.0, 1.0),
    "sampling.repetition_penalty": (1.0, 1.1),
    "sampling.logprobs": (5, 20),
    "extra_body": ({"one": 1}, {"two": 2}),
    "simulation.seed": (0, 1),
    "simulation.comply_unsafe": (0.1, 0.2),
    "simulation.comply_safe": (0.1, 0.2),
    "simulation.partial": (0.1, 0.2),
    "simulation.thinking_comply_unsafe": (0.1, 0.2),
    "simulation.cut": (0.1, 0.2),
    "simulation.blocked": (0.1, 0.2),
    "simulation.fail": (0.1, 0.2),
    "simulation.thinking_tokens": (100, 200),
    "simulation.latency_ms": (0, 1),
    "simulation.planted": ([], [{"attack": "one"}]),
    "simulation.marks": ({"harm": 1.0}, {"harm": 2.0}),
    "simulation.thinking_marks": ({"care": 1.0}, {"care": 2.0}),
    "simulation.replies": (
        {"compliance": "one", "partial_refusal": "one", "full_refusal": "one"},
        {"compliance": "two", "partial_refusal": "one", "full_refusal": "one"},
    ),
    "simulation.errors": ({"compliance": 0.1}, {"compliance": 0.2}),
    "vllm.tensor_parallel": (1, 2),
    "vllm.pipeline_parallel": (1, 2),
    "vllm.data_parallel": (1, 2),
    "vllm.memory": (0.8, 0.9),
    "vllm.max_model_len": (4096, 8192),
    "vllm.max_num_seqs": (128, 256),
    "vllm.max_num_batched_tokens": (4096, 8192),
    "vllm.block_size": (16, 32),
    "vllm.enforce_eager": (False, True),
    "vllm.prefix_caching": (False, True),
    "vllm.chunked_prefill": (False, True),
    "vllm.kv_cache_dtype": ("auto", "fp8"),
    "vllm.cpu_offload_gb": (1, 2),
    "vllm.speculative": ({"model": "org/one"}, {"model": "org/two"}),
    "vllm.tokenizer": ("org/one", "org/two"),
    "vllm.tokenizer_revision": ("one", "two"),
    "vllm.adapter": ("org/one", "org/two"),
    "vllm.adapter_revision": ("one", "two"),
    "vllm.trust_remote_code": (False, True),
    "vllm.batch_invariant": (False, True),
    "vllm.reasoning_parser": ("one", "two"),
    "vllm.arguments": ({"one": 1}, {"two": 2}),
    "vllm.start_timeout_s": (60, 120),
    "context_tokens": (4096, 8192),
    "endpoint": ("http://127.0.0.1:8000/v1", "http://127.0.0.1:9000/v1"),
    "api_key_env": ("ONE", "TWO"),
    "price.input": (0, 1),
    "price.output": (0, 1),
    "limits.max_in_flight": (1, 2),
    "limits.timeout_s": (1, 2),
    "limits.stall_s": (1, 2),
    "limits.deadline_s": (1, 2),
    "limits.max_attempts": (1, 2),
    "limits.requests_per_minute": (1, 2),
    "limits.tokens_per_minute": (1, 2),
    "batch": (False, True),
}
"""Two values of each field, by dotted path."""


Kind = Literal["asked", "simulated", "vllm"]
"""Models that a server is asked for, that are simulated, and whose weights vLLM runs here."""

_NOT_OF: dict[Kind, tuple[str, ...]] = {
    "asked": ("simulation.", "vllm."),
    "simulated": ("vllm.", "batch"),
    "vllm": ("simulation.", "engine", "endpoint", "api_key_env", "batch", "thinking.budget_tokens"),
}
"""Fields, and tables with a dot, that a kind of model does not have."""
_BACKENDS: dict[Kind, str] = {"asked": "litellm", "simulated": "simulated", "vllm": "vllm"}
_FOUND_OUT = "pins"
"""What is no declared field."""


def fields(model: type[BaseModel] = Model, above: str = "") -> Iterator[str]:
    """Yield the dotted path of every field of a model's declaration, tables within it opened."""
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        tables = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if name == _FOUND_OUT:
            continue
        if tables and getattr(field.annotation, "__origin__", None) is not list:
            yield from fields(tables[0], f"{above}{name}.")
        else:
            yield above + name


def sorted_fields() -> dict[str, list[str]]:
    """Return the fields that are `in` a model's id, `simulated` or `vllm`: in the id of such models only, and `out` of it.

    Raises KeyError for a field of which no two values are given here.
    """
    found: dict[str, list[str]] = {"in": [], "simulated": [], "vllm": [], "out": []}
    for path in fields():
        if path == "backend":
            continue
        sides: dict[Kind, str] = {"asked": "in", "simulated": "simulated", "vllm": "vllm"}
        found[next((side for kind, side in sides.items() if _counts(path, kind)), "out")].append(path)
    return found


def markdown_fields() -> str:
    """Return the sorted fields as a Markdown table."""
    found = sorted_fields()
    sometimes = [path for path in found["out"] if _counts(path, "vllm", without=("sampling.max_tokens",))]
    rows = (
        ("part of every model's id", found["in"]),
        ("part of a simulated model's id only", found["simulated"]),
        ("part of the id of a model whose weights vLLM runs here", found["vllm"]),
        ("part of it where `sampling.max_tokens` is not declared", sometimes),
        ("not part of an id", [path for path in found["out"] if path not in sometimes]),
    )
    lines = ["| | fields |", "|---|---|"]
    lines += [f"| **{what}** | {', '.join(f'`{path}`' for path in paths)} |" for what, paths in rows]
    lines.append("| **part of it where `engine` is not declared** | `backend`, which is then taken for the engine |")
    return "\n".join(lines)


def markdown_tags() -> str:
    """Return the table of tags that heads `lrm.hashing` as a Markdown table. Raises ValueError when it lacks a tag."""
    rows = [line.strip().split(maxsplit=1) for line in (hashing.__doc__ or "").splitlines()]
    told = {
        row[0]: [cell.strip() for cell in row[1].split("  ") if cell] for row in rows if row and row[0] in hashing.TAGS
    }
    if tuple(told) != hashing.TAGS:
        raise ValueError(f"the docstring of lrm.hashing tells of {tuple(told)}, not of {hashing.TAGS}")
    lines = ["| tag | id of | what is hashed |", "|---|---|---|"]
    lines += [f"| `{tag}` | {of} | {hashed} |" for tag, (of, hashed) in told.items()]
    return "\n".join(lines)


def _counts(path: str, kind: Kind, *, without: tuple[str, ...] = ()) -> bool:
    """Return whether another value of a field gives a model of this kind another id, where the fields `without` are not set."""
    if not _has(kind, path):
        return False
    one, two = (model_id(_model(path, number, kind, without)) for number in (0, 1))
    return one != two


def _has(kind: Kind, path: str) -> bool:
    """Return whether models of a kind can have a field."""
    return not any(path.startswith(other) if other.endswith(".") else path == other for other in _NOT_OF[kind])


def _model(path: str, number: int, kind: Kind, without: tuple[str, ...]) -> Model:
    """Return a model in which every field is set, the one at `path` to its value `number`."""
    declared: dict[str, Any] = {}
    for name in fields():
        if not _has(kind, name) or name in without:
            continue
        table, _, key = name.rpartition(".")
        within = declared.setdefault(table, {}) if table else declared
        within[key] = VALUES[name][number if name == path else 0]
    return Model.model_validate({**declared, "backend": _BACKENDS[kind]})
