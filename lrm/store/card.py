"""A model's card: what a journal says of a model, so that its lines can be merged where nobody knows it."""

from __future__ import annotations

from lrm import hashing
from lrm.registry.declarations import Model
from lrm.registry.identity import declaration_json, model_identity
from lrm.store.journal import ModelCard


def card_of(name: str, model: Model) -> ModelCard:
    """Return the card of a model under a name."""
    return ModelCard(
        name=name,
        identity=hashing.canonical(model_identity(model)).decode(),
        declaration=declaration_json(model),
        visibility=model.thinking.visibility,
        simulated=model.backend == "simulated",
    )
