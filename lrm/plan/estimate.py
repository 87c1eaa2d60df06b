"""Estimates: tokens and dollars that the missing calls will take, from what was seen, else from the prompts."""

from __future__ import annotations

from lrm.backends import price
from lrm.plan.plan import Estimate
from lrm.plan.workspace import Workspace, models_of
from lrm.registry.declarations import Model
from lrm.traces.trace import Usage

CHARACTERS_A_TOKEN = 4
"""Characters of English text to a token, the rule of thumb used where nothing was seen yet."""

_MISSING = """
SELECT t.model_n, any_value(s.model), count(*), sum(length(m.messages))
FROM todo t JOIN slices s ON s.ix = t.ix JOIN messages m ON m.n = t.messages_n
GROUP BY t.model_n ORDER BY min(t.seq)
"""

_SEEN = """
SELECT avg(g.input_tokens), avg(g.output_tokens), count(g.output_tokens)
FROM cat.lrm.generations g JOIN cat.lrm.calls c ON c.n = g.call_n
WHERE c.model_n IN (
    SELECT n FROM cat.lrm.models WHERE json_extract_string(identity, '$.checkpoint') = $checkpoint
)
"""


def estimates(space: Workspace) -> tuple[Estimate, ...]:
    """Return an estimate for each model that the table `todo` asks, in the order in which they are asked."""
    models = models_of(space)
    found = []
    for model_n, name, calls, characters in space.connection.execute(_MISSING).fetchall():
        model = models[model_n]
        seen_in, seen_out, seen = space.connection.execute(_SEEN, {"checkpoint": model.model}).fetchall()[0]
        if seen:
            tokens_in = round(calls * seen_in) if seen_in is not None else None
            tokens_out: int | None = round(calls * seen_out)
            basis = f"the mean of {seen} responses seen"
        else:
            tokens_in = characters // CHARACTERS_A_TOKEN
            limit = model.sampling.max_tokens
            tokens_out = None if limit is None else calls * limit
            basis = "prompt length; max_tokens at most" if limit else "prompt length; output unknown"
        cost = price.cost(_priced(model), Usage(tokens_in, tokens_out), reported=None)
        found.append(Estimate(name, calls, tokens_in, tokens_out, cost, basis))
    return tuple(found)


def _priced(model: Model) -> Model:
    """Return the model with its price: as declared, else by litellm's bundled table where litellm asks it."""
    if model.backend != "litellm" or model.price is not None:
        return model
    return model.model_copy(update={"price": price.litellm_price(model)})
