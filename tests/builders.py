"""Builders of declarations, matrices and filled catalogs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrm.backends.base import Call
from lrm.plan import planner, workspace
from lrm.plan.plan import Plan
from lrm.plan.workspace import Workspace
from lrm.registry.declarations import Attack, Model, PromptSet
from lrm.registry.judges import RulesJudge, Scope
from lrm.run.feed import Feed, copy_todo
from lrm.run.judging import graders_of
from lrm.spec.lock import Lock
from lrm.spec.matrix import ChosenJudge, Located, Matrix, Slice
from lrm.store.card import card_of
from lrm.store.catalog import Catalog
from lrm.store.journal import Journal, ModelCard, Record
from lrm.store.merge import Merged, merge_segment
from lrm.store.register import register

SPEC = Path("spec.toml")
AT = 1_760_000_000_000_000
"""Microseconds since 1970 of the first response that `answer` makes up."""


def model(name: str = "m", *, file: Path = SPEC, **fields: Any) -> Located[Model]:
    """Return a simulated model, or what the fields say."""
    return Located(name, Model.model_validate({"backend": "simulated", "model": "checkpoint", **fields}), file)


def http_model(url: str, name: str = "m", *, behaviour: str = "ok", **fields: Any) -> Located[Model]:
    """Return a model behind the test server that does what `behaviour` names."""
    return model(name, **{"backend": "http", "endpoint": url, "model": behaviour, **fields})


def prompt_set(
    name: str = "set", rows: Mapping[str, str] | Sequence[str] = ("one", "two"), *, file: Path = SPEC, **fields: Any
) -> Located[PromptSet]:
    """Return a prompt set of inline rows: texts, or texts by key."""
    keyed = rows.items() if isinstance(rows, Mapping) else ((str(n), text) for n, text in enumerate(rows, start=1))
    written = [{"id": key, "text": text} for key, text in keyed]
    return Located(name, PromptSet.model_validate({"rows": written, **fields}), file)


def attack(name: str = "none", *, file: Path = SPEC, **fields: Any) -> Located[Attack]:
    """Return a static attack; without fields, the one that leaves prompts as they are."""
    return Located(name, Attack.model_validate(fields), file)


def template(name: str, text: str) -> Located[Attack]:
    """Return an attack that puts the prompt into a template."""
    return attack(name, steps=[{"transform": "template", "text": text}])


def judge(name: str = "refusal", scopes: tuple[Scope, ...] = ("answer",), **fields: Any) -> ChosenJudge:
    """Return the rules judge, looking at the scopes."""
    declared = RulesJudge.model_validate({"kind": "rules", "scopes": list(scopes), **fields})
    return ChosenJudge(Located(name, declared, SPEC), scopes)


def matrix(
    models: Iterable[Located[Model]] | None = None,
    prompt_sets: Iterable[Located[PromptSet]] | None = None,
    attacks: Iterable[Located[Attack]] | None = None,
    *,
    replicates: int = 1,
    judges: Sequence[ChosenJudge] = (),
    name: str = "spec",
    file: Path = SPEC,
) -> Matrix:
    """Return every model × set × attack; one model, two prompts and no attack where nothing is said."""
    by_name = {one.name: one for one in (models if models is not None else [model()])}
    sets = {one.name: one for one in (prompt_sets if prompt_sets is not None else [prompt_set()])}
    attacks_by_name = {one.name: one for one in (attacks if attacks is not None else [attack()])}
    slices = tuple(Slice(*names, replicates) for names in itertools.product(by_name, sets, attacks_by_name))
    return Matrix(name, file, by_name, sets, attacks_by_name, slices, tuple(judges))


def payload(answer: str = "An answer.", thinking: str | None = "A thought.", **fields: Any) -> str:
    """Return the JSON text of a chat completion."""
    message = {"role": "assistant", "content": answer}
    if thinking is not None:
        message["reasoning_content"] = thinking
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 5}, **fields})


def planned(catalog: Catalog, spec: Matrix, *, limit: int | None = None) -> Plan:
    """Return the plan of a matrix."""
    with workspace.opened(catalog, spec, Lock()) as space:
        return planner.plan(space, limit=limit)


def missing(catalog: Catalog, spec: Matrix, *, limit: int | None = None) -> dict[bytes, str]:
    """Return what a fill would ask for: the last message's text by the call's id."""
    with workspace.opened(catalog, spec, Lock()) as space:
        calls = [call for _, call in _todo(space, planner.plan(space, limit=limit))]
    assert len({call.id for call in calls}) == len(calls)
    return {call.id: json.loads(call.messages)[-1]["content"] for call in calls}


def answer(
    catalog: Catalog,
    spec: Matrix,
    *,
    raw: Callable[[Call], str] = lambda _: payload(),
    run: str = "r1",
    limit: int | None = None,
    at: int = AT,
) -> list[bytes]:
    """Fill a matrix with made-up responses, through the journal; return the ids of the calls that were missing."""
    with workspace.opened(catalog, spec, Lock()) as space:
        plan = planner.plan(space, limit=limit)
        register(space, spec)
        space.attach()
        todo = _todo(space, plan)
        space.detach()
        journal = Journal(catalog.journal_folder, run, cards(spec))
        for n, (model_hex, call) in enumerate(todo):
            journal.append(record(call, model_hex, raw(call), at=at + n))
        segment = journal.close()
        if segment is not None:
            merge_segment(catalog, segment, graders_of(space))
    return [call.id for _, call in todo]


def record(call: Call, model_hex: str, raw: str, *, at: int = AT) -> Record:
    """Return the journal's record of a response."""
    return Record(
        call=call.id.hex(), model=model_hex, messages=call.messages, replicate=call.replicate, at=at, attempts=1,
        raw=raw, blocked=False, ms=1.0, cost=None, fingerprint=None, sent=None,
    )  # fmt: skip


def cards(spec: Matrix) -> dict[str, ModelCard]:
    """Return the journal's cards of a matrix's models."""
    from lrm.registry.identity import model_id

    return {model_id(one.declaration).hex(): card_of(name, one.declaration) for name, one in spec.models.items()}


def calls_of(catalog: Catalog, spec: Matrix) -> list[tuple[str, Call]]:
    """Return the missing calls with their model's id in hex."""
    with workspace.opened(catalog, spec, Lock()) as space:
        return _todo(space, planner.plan(space))


def write_journal(catalog: Catalog, spec: Matrix, records: Iterable[Record], *, run: str = "r1") -> Path:
    """Write a segment as a run does; return its path."""
    journal = Journal(catalog.journal_folder, run, cards(spec))
    for one in records:
        journal.append(one)
    segment = journal.close()
    assert segment is not None
    return segment


def merge(catalog: Catalog, segment: Path) -> Merged:
    """Merge a segment without grading."""
    return merge_segment(catalog, segment)


def rows(catalog: Catalog, query: str, *values: object) -> list[tuple[Any, ...]]:
    """Return the rows of a query over a catalog."""
    with catalog.reading() as connection:
        return connection.execute(query, list(values)).fetchall()


def _todo(space: Workspace, plan: Plan) -> list[tuple[str, Call]]:
    if not plan.calls:
        return []
    counts = copy_todo(space.connection)
    ids = {n: space.model_ids[name] for name, n in space.model_ns.items()}
    found = []
    for n, count in counts.items():
        feed = Feed(space.connection, n, ids[n])
        calls = list(iter(feed.next, None))
        assert len(calls) == count
        found += [(ids[n].hex(), call) for call in calls]
    return found
