"""Estimates: tokens and dollars that the missing calls will take, from what was seen, else from the prompts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lrm.backends import price
from lrm.errors import SpecError
from lrm.judges.open import OpenJudge, open_judge
from lrm.plan.plan import Estimate, JudgeBlock, Plan
from lrm.plan.pursuits import asked_by_pursuits
from lrm.plan.workspace import Workspace, models_of
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id, model_identity
from lrm.registry.judges import ClassifierJudge, LlmJudge, PairwiseJudge, PanelJudge
from lrm.registry.tables import Json
from lrm.run.budget import Caps
from lrm.traces.trace import Usage

CHARACTERS_A_TOKEN = 4
"""Characters of English text to a token, the rule of thumb used where nothing was seen yet."""

_MISSING = """
SELECT t.model_n, count(*), sum(length(m.messages)) FROM todo t JOIN messages m ON m.n = t.messages_n
GROUP BY t.model_n ORDER BY min(t.seq)
"""

_SAME_CHECKPOINT = """
SELECT n, id, identity FROM cat.lrm.models WHERE json_extract_string(identity, '$.checkpoint') = $checkpoint
"""
_SEEN = """
SELECT avg(g.input_tokens), avg(g.output_tokens), count(g.output_tokens)
FROM cat.lrm.generations g JOIN cat.lrm.calls c ON c.n = g.call_n
WHERE list_contains($ns, c.model_n)
"""

_AS_ASKED = ""
_ALIKE = " of the checkpoint, at this length and effort"
_OTHERWISE = " of the checkpoint, asked otherwise"


@dataclass(frozen=True, slots=True)
class Seen:
    """What responses that the catalog has took, on average."""

    input_tokens: float | None
    output_tokens: float
    responses: int
    of: str
    """How they were asked, as an ending of a sentence."""


def estimates(space: Workspace) -> tuple[Estimate, ...]:
    """Return an estimate for each model that the table `todo` asks, in the order in which they are asked."""
    models = models_of(space)
    keys = {n: key for key, n in reversed(space.model_ns.items())}
    found = []
    for model_n, calls, characters in space.connection.execute(_MISSING).fetchall():
        model = models[model_n]
        limit = model.sampling.max_tokens
        seen = _seen(space, model)
        tokens_out: int | None
        if seen is not None:
            each_out = seen.output_tokens if limit is None else min(limit, seen.output_tokens)
            tokens_in = None if seen.input_tokens is None else round(calls * seen.input_tokens)
            tokens_out = round(calls * each_out)
            basis = f"{_mean_of(seen, 'response', 'responses')}{seen.of}"
        else:
            tokens_in = characters // CHARACTERS_A_TOKEN
            tokens_out = None if limit is None else calls * limit
            basis = "prompt length; max_tokens at most" if limit else "prompt length; output unknown"
        cost = price.cost(_priced(model), Usage(tokens_in, tokens_out), reported=None)
        responses = seen.responses if seen else 0
        found.append(Estimate(keys[model_n], calls, tokens_in, tokens_out, cost, basis, responses))
    return tuple(found)


def judge_estimates(space: Workspace, blocks: Sequence[JudgeBlock]) -> tuple[Estimate, ...]:
    """Return an estimate for each judge model that verdicts will ask, from its replies so far; unknown without any.

    A question's length depends on a response that may not be there yet, so nothing is guessed from the rubric.
    """
    asked: dict[str, Asked] = {}
    for block in blocks:
        if block.calls + block.later:
            asked_by(space, block, asked)
    found = []
    for name, one in asked.items():
        seen = _mean(space, _numbers(space, one.models), _AS_ASKED)
        found.append(_by_replies(name, one.models[0], one.calls, seen))
    return tuple(found)


def pursuit_estimates(space: Workspace) -> tuple[Estimate, ...]:
    """Return an estimate for each model that attacks with other models in them ask, from its replies so far.

    How far an attack has to go is not known, so the calls are those of its limits.
    """
    return tuple(
        _by_replies(asked.name, asked.model, asked.calls, _seen(space, asked.model))
        for asked in asked_by_pursuits(space)
    )


def _by_replies(name: str, model: Model, calls: int, seen: Seen | None) -> Estimate:
    """Return an estimate by what a model's replies took so far; unknown without any."""
    used = Usage()
    if seen is not None and seen.input_tokens is not None:
        used = Usage(round(calls * seen.input_tokens), round(calls * seen.output_tokens))
    cost = price.cost(_priced(model), used, reported=None)
    basis = f"{_mean_of(seen, 'reply', 'replies')}{seen.of}" if seen else "unknown until it has replied once"
    return Estimate(name, calls, used.input_tokens, used.output_tokens, cost, basis, seen.responses if seen else 0)


def check_prices(space: Workspace, plan: Plan, caps: Caps) -> None:
    """Raise SpecError where a cap on cost cannot be kept, because a model that the plan asks has no known price.

    The price is known of simulated models, of those that declare one, and of those in litellm's bundled table.
    """
    if caps.cost is None:
        return
    subjects = {one.model for one in plan.estimates}
    judges = {one.model for one in plan.judge_estimates}
    matrix = space.matrix
    in_attacks = {one.model for one in plan.pursuit_estimates}
    asked = [located for name, located in matrix.models.items() if name in subjects | in_attacks]
    asked += [one for name, one in matrix.attack_models.items() if name in in_attacks and one not in asked]
    asked += [located for name, located in matrix.judge_models.items() if name in judges and located not in asked]
    unknown = [one for one in asked if not _price_is_known(one.declaration)]
    if unknown:
        names = " and ".join(f"`{one.name}`" for one in unknown)
        first = unknown[0]
        raise SpecError(
            f"max_cost cannot be kept: no price is known of {names}",
            file=first.file,
            line=first.line,
            key=".".join((*first.table, "price")),
            hint="declare `price = {input = …, output = …}`, in dollars for a million tokens; "
            "of a model that costs nothing, `price = {input = 0, output = 0}`",
        )


def _price_is_known(model: Model) -> bool:
    return model.backend == "simulated" or model.runs_here or _priced(model).price is not None


def _priced(model: Model) -> Model:
    """Return the model with its price: as declared, else by litellm's bundled table where litellm asks it."""
    if model.backend != "litellm" or model.price is not None:
        return model
    return model.model_copy(update={"price": price.litellm_price(model)})


def _mean_of(seen: Seen, one: str, several: str) -> str:
    return f"the mean of {seen.responses} {one if seen.responses == 1 else several} seen"


# --- what was seen ----------------------------------------------------------------------------------------------------


def _seen(space: Workspace, model: Model) -> Seen | None:
    """Return what the model's own responses took, else those of its checkpoint that were asked alike, else any of it."""
    identity, own = model_identity(model), model_id(model)
    numbers: dict[str, list[int]] = {_AS_ASKED: [], _ALIKE: [], _OTHERWISE: []}
    rows = space.connection.execute(_SAME_CHECKPOINT, {"checkpoint": model.model}).fetchall()
    for n, found, other in rows:
        alike = _ALIKE if _length_and_effort(json.loads(other)) == _length_and_effort(identity) else _OTHERWISE
        numbers[_AS_ASKED if found == own else alike].append(n)
    means = (_mean(space, ns, of) for of, ns in numbers.items())
    return next((mean for mean in means if mean is not None), None)


def _length_and_effort(identity: Json) -> tuple[object, ...]:
    """Return what of an identity decides most how long responses are."""
    sampling = identity.get("sampling") or {}
    return (sampling.get("max_tokens"), *(identity.get(name) for name in ("effort", "budget_tokens", "switch")))


def _mean(space: Workspace, ns: Sequence[int], of: str) -> Seen | None:
    if not ns:
        return None
    tokens_in, tokens_out, responses = space.connection.execute(_SEEN, {"ns": list(ns)}).fetchall()[0]
    return Seen(tokens_in, tokens_out, responses, of) if responses else None


def _numbers(space: Workspace, models: Iterable[Model]) -> list[int]:
    """Return the catalog's numbers of models."""
    ids = list({model_id(model) for model in models})
    rows = space.connection.execute("SELECT n FROM cat.lrm.models WHERE list_contains($ids, id)", {"ids": ids})
    return [n for (n,) in rows.fetchall()]


# --- whom judges ask --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Asked:
    """What judges ask of one model."""

    calls: int = 0
    models: list[Model] = field(default_factory=list)
    """The model as they ask it, each with what it adds to its declaration."""


def asked_by(space: Workspace, block: JudgeBlock, found: dict[str, Asked]) -> None:
    """Add the questions that a judge's missing verdicts take, by the name of the model that is asked."""
    judge = space.judges[block.judge_scope_n][0]
    assert judge.asking is not None
    verdicts = (block.calls + block.later) // judge.asking.asks
    for leaf in _leaves(space, judge):
        declared = leaf.declaration
        assert leaf.asking is not None
        assert isinstance(declared, LlmJudge | ClassifierJudge | PairwiseJudge)
        asked = found.setdefault(declared.model, Asked())
        asked.calls += verdicts * leaf.asking.asks
        asked.models += leaf.asking.models


def _leaves(space: Workspace, judge: OpenJudge) -> Iterator[OpenJudge]:
    """Yield the judges that ask models: a judge itself, or the members of a panel and of the panels in it."""
    if not isinstance(judge.declaration, PanelJudge):
        if judge.asking is not None:
            yield judge
        return
    matrix = space.matrix
    for name in judge.declaration.members:
        member = open_judge(matrix.panel_members[name], matrix.judge_models, matrix.panel_members)
        yield from _leaves(space, member)
