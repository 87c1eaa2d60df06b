"""The simulated backend says of its own accord what the splitter would count in its payload."""

from __future__ import annotations

import pytest

from lrm import hashing
from lrm.backends.base import Call
from lrm.backends.simulated import SimulatedBackend
from lrm.registry.declarations import Model
from lrm.traces.split import split


@pytest.mark.parametrize("visibility", ["none", "visible", "summary", "hidden"])
@pytest.mark.parametrize("simulation", [{}, {"cut": 1.0}, {"blocked": 1.0}])
async def test_the_tokens_of_a_simulated_reply_are_those_of_its_trace(
    visibility: str, simulation: dict[str, float]
) -> None:
    model = Model.model_validate(
        {"backend": "simulated", "model": "s", "simulation": simulation, "thinking": {"visibility": visibility}}
    )
    messages = hashing.canonical([{"role": "user", "content": "Tell me about subject 7."}]).decode()
    reply = await SimulatedBackend(model).ask(Call(bytes(32), messages, 0))
    assert reply.usage == split(reply.raw, model.thinking, blocked=reply.blocked).usage
    assert reply.usage.input_tokens == 5
    assert reply.quota is None
