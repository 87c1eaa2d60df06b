"""Samples that no catalog holds, for tests of what is said of them."""

from __future__ import annotations

from typing import Any

from lrm.browse.samples import Badge, Sample


def badge(scope: str = "answer", *, judge: str = "j", **fields: Any) -> Badge:
    """Return a verdict."""
    return Badge(judge, scope, **{"status": "ok", **fields})


def sample(**fields: Any) -> Sample:
    """Return a sample of which everything is known and nothing is special, but what the fields say."""
    given: dict[str, Any] = {
        "row": 0, "model_n": 1, "set_n": 1, "attack_n": 1, "prompt_n": 1, "replicate": 0, "generation_n": 1, "call_n": 1,
        "id": "g1:00", "spec": "s", "model": "m", "prompt_set": "set", "prompt": "p", "categories": (), "expect": "unsafe",
        "attack": "none", "state": "done", "parse_status": "split", "visibility": "visible", "origin": "run",
        "condition": "default", "verdicts": (), "agreement": None, "labels": 0, "input_tokens": 1, "output_tokens": 2,
        "thinking_tokens": 3, "seconds": 1.0, "cost": None, "finish_reason": "stop", "words": "one two",
    }  # fmt: skip
    return Sample(**{**given, **fields})
