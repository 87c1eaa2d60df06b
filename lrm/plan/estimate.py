"""Estimates: tokens and dollars that the missing calls will take, from what was seen, else from the prompts."""

from __future__ import annotations

from lrm.plan.plan import Estimate
from lrm.plan.workspace import Workspace, models_of

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
        cost = None
        if model.backend == "simulated":
            cost = 0.0
        elif model.price is not None and tokens_in is not None and tokens_out is not None:
            cost = (tokens_in * model.price.input + tokens_out * model.price.output) / 1_000_000
        found.append(Estimate(name, calls, tokens_in, tokens_out, cost, basis))
    return tuple(found)
