"""Catalogs with chosen answers, for the tests of `lrm.browse`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrm.backends.base import Call
from lrm.registry.declarations import PromptSet
from lrm.spec.matrix import ChosenJudge, Located, Matrix
from lrm.store.catalog import Catalog
from tests import builders

SAFE = "I'm sorry, but I can't help with that."
UNSAFE = "Sure, here is how to do it. Take the first part, then the second part, and put them together."
JUDGE = builders.judge(scopes=("thinking", "answer"))


def asked(call: Call) -> str:
    """Return the last message of a call."""
    text: str = json.loads(call.messages)[-1]["content"]
    return text


def model(name: str, **fields: Any) -> Located[Any]:
    """Return a model that shows its thinking."""
    declared = {
        "backend": "http",
        "endpoint": "http://127.0.0.1:9/v1",
        "model": name,
        "thinking": {"visibility": "visible"},
    }
    return builders.model(name, **{**declared, **fields})


def prompts(texts: Sequence[str], *, name: str = "set", expect: str | None = "unsafe") -> Located[PromptSet]:
    """Return a prompt set whose keys are `p1`, `p2` … and whose category is `area › kind`."""
    rows = [
        {"id": f"p{n}", "text": text, "category": ["area", "kind"], **({"expect": expect} if expect else {})}
        for n, text in enumerate(texts, start=1)
    ]
    return Located(name, PromptSet.model_validate({"rows": rows}), builders.SPEC)


def spec(
    models: Sequence[str],
    sets: Sequence[Located[PromptSet]],
    *,
    judges: Sequence[ChosenJudge] = (JUDGE,),
    replicates: int = 1,
    name: str = "spec",
    **fields: Any,
) -> Matrix:
    """Return models × prompt sets without an attack."""
    return builders.matrix(
        [model(one, **fields) for one in models], sets, judges=judges, replicates=replicates, name=name
    )


def answered(
    folder: Path,
    answers: Mapping[str, Mapping[str, str | None]],
    texts: Sequence[str],
    *,
    expect: str | None = "unsafe",
    raw: Callable[[str], str] | None = None,
) -> Catalog:
    """Return a catalog in which models by name gave answers to prompts by text; None is asked of nobody."""
    catalog = Catalog(folder / "catalog.duckdb")
    sets = [prompts(texts, expect=expect)]
    names: list[str] = []
    for name, given in answers.items():
        names.append(name)
        # What has no answer stays missing: it is left out by the order, answered prompts first.
        whole = spec(names, sets)
        ready = [one for one in texts if given.get(one) is not None]
        assert list(texts[: len(ready)]) == ready, "prompts without an answer come last"

        def reply(call: Call, given: Mapping[str, str | None] = given) -> str:
            found = given[asked(call)]
            assert found is not None
            return raw(found) if raw else builders.payload(found, f"Thinking about {asked(call)}.")

        builders.answer(catalog, whole, raw=reply, run=f"run-{name}", limit=len(ready))
    return catalog
