"""What a call cost, and what one will cost: the declared price first, then what the provider said, then a price table."""

from __future__ import annotations

from lrm.registry.declarations import Model, Price
from lrm.traces.trace import Usage

_PER = 1_000_000


def cost(model: Model, usage: Usage, *, reported: float | None) -> float | None:
    """Return the dollars that a call cost; None is unknown.

    A simulated model costs nothing, and for one that runs here nobody is paid a call. A declared price counts before what
    the provider or litellm reported, because it is what the user knows to pay. Providers count thinking as output. Where
    tokens were not counted, a declared price says nothing unless it is zero.
    """
    if model.backend == "simulated":
        return 0.0
    price = model.price
    if price is None:
        return 0.0 if model.runs_here else reported
    if usage.input_tokens is None or usage.output_tokens is None:
        return 0.0 if price.input == price.output == 0 else reported
    return (usage.input_tokens * price.input + usage.output_tokens * price.output) / _PER


def litellm_price(model: Model) -> Price | None:
    """Return the price of a litellm model by litellm's bundled table; None where that does not know the model.

    For estimates before a fill. It imports litellm, which takes seconds, and asks nothing of the network.
    """
    from lrm.backends.litellm_api import load_litellm

    litellm = load_litellm()
    entry = litellm.model_cost.get(model.model) or litellm.model_cost.get(model.model.partition("/")[2])
    if not isinstance(entry, dict):
        return None
    per_input, per_output = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if not isinstance(per_input, int | float) or not isinstance(per_output, int | float):
        return None
    return Price(input=per_input * _PER, output=per_output * _PER)
