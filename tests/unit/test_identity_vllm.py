"""What is part of the id of a model whose weights vLLM runs here, and what a declaration of one may say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from lrm.engines.settings import arguments_of, settings_of
from lrm.registry import identity_page
from lrm.registry.identity import declaration_json, model_id, model_identity
from lrm.registry.models import Model
from lrm.registry.schema import json_schema
from lrm.registry.vllm import Pins

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "ab" * 32


def declared(pins: Pins | None = None, **fields: Any) -> Model:
    return Model.model_validate({"backend": "vllm", "model": "org/tiny", "pins": pins, **fields})


def http(**fields: Any) -> Model:
    served = {"backend": "http", "endpoint": "http://127.0.0.1:8000/v1", "engine": "vllm", "model": "org/tiny"}
    return Model.model_validate({**served, **fields})


def test_golden_id() -> None:
    model = declared(
        Pins(
            revision=COMMIT, template_sha256=SHA, adapter_sha256=SHA, tokenizer_revision=COMMIT, paths={"adapter": "/x"}
        ),
        dtype="bfloat16",
        chat_template="plain.jinja",
        sampling={"temperature": 0.6},
        vllm={
            "tokenizer": "org/words", "adapter": "./lora", "kv_cache_dtype": "fp8", "batch_invariant": True,
            "max_model_len": 8192, "arguments": {"rope_theta": 1}, "tensor_parallel": 4,
        },
    )  # fmt: skip
    assert model_identity(model) == {
        "engine": "vllm",
        "checkpoint": "org/tiny",
        "revision": COMMIT,
        "dtype": "bfloat16",
        "chat_template": SHA,
        "sampling": {"temperature": 0.6},
        "tokenizer": "org/words",
        "tokenizer_revision": COMMIT,
        "adapter": {"sha256": SHA},
        "kv_cache_dtype": "fp8",
        "batch_invariant": True,
        "max_model_len": 8192,
        "arguments": {"rope_theta": 1},
    }
    assert model_id(model).hex() == "1259a31fe2cbbc8640ac44029f2c747c02bc2c8c097e48278036cfd79a17b0ca"


def test_where_the_weights_run_is_in_no_id() -> None:
    here = declared(Pins(revision=COMMIT), revision=COMMIT)
    ways = [
        here,
        declared(Pins(revision=COMMIT)),
        declared(Pins(revision=COMMIT), engine="vllm"),
        declared(Pins(revision=COMMIT), engine="vllm-server"),
        declared(revision=COMMIT, endpoint="http://127.0.0.1:8000/v1"),
        http(revision=COMMIT),
    ]
    assert len({model_id(model) for model in ways}) == 1
    with_template = declared(Pins(revision=COMMIT, template_sha256=SHA), chat_template="plain.jinja")
    assert model_id(with_template) == model_id(http(revision=COMMIT, chat_template=SHA))
    assert model_id(declared(Pins(revision=COMMIT))) != model_id(http())


@pytest.mark.parametrize(
    ("options", "sampling", "counts"),
    [
        ({"tensor_parallel": 2}, {}, False),
        ({"pipeline_parallel": 2}, {}, False),
        ({"data_parallel": 2}, {}, False),
        ({"memory": 0.5}, {}, False),
        ({"enforce_eager": True}, {}, False),
        ({"prefix_caching": False}, {}, False),
        ({"speculative": {"model": "org/draft"}}, {}, False),
        ({"trust_remote_code": True}, {}, False),
        ({"batch_invariant": False}, {}, False),
        ({"max_model_len": 4096}, {"max_tokens": 100}, False),
        ({"max_model_len": 4096}, {}, True),
        ({"batch_invariant": True}, {}, True),
        ({"kv_cache_dtype": "fp8"}, {}, True),
        ({"tokenizer": "org/words"}, {}, True),
        ({"adapter": "org/lora"}, {}, True),
        ({"arguments": {"hf_overrides": {"rope_theta": 1}}}, {}, True),
    ],
)
def test_what_changes_no_text_is_in_no_id(options: dict[str, Any], sampling: dict[str, Any], *, counts: bool) -> None:
    plain, other = declared(sampling=sampling), declared(sampling=sampling, vllm=options)
    assert (model_id(plain) != model_id(other)) is counts


def test_pins_are_found_and_never_declared() -> None:
    with pytest.raises(ValidationError, match="`pins` is not declared"):
        Model.model_validate({"backend": "vllm", "model": "org/tiny", "pins": {"revision": COMMIT}})
    model = declared(Pins(revision=COMMIT, paths={"adapter": "/somewhere/lora"}))
    stored = declaration_json(model)
    assert json.loads(stored)["pins"] == {"revision": COMMIT}
    again = Model.model_validate_json(stored)
    assert model_id(again) == model_id(model)
    assert declaration_json(again) == stored
    assert "pins" not in json.dumps(json_schema("models"))
    assert "pins" not in json.loads(declaration_json(declared(Pins())))
    assert not any(path.startswith("pins") for path in identity_page.fields())


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"backend": "http", "endpoint": "http://x/v1", "vllm": {"memory": 0.5}}, "only for backend = 'vllm'"),
        ({"engine": "sglang"}, "not `sglang`"),
        ({"engine": "vllm-server", "endpoint": "http://x/v1"}, "a server that lrm starts"),
        ({"endpoint": "http://x/v1", "vllm": {"memory": 0.5}}, "a server that runs already"),
        ({"model": "./tiny", "revision": COMMIT}, "`model` is a folder"),
        ({"vllm": {"adapter": "./lora", "adapter_revision": COMMIT}}, "`adapter` is a folder"),
        ({"vllm": {"tokenizer": "~/words", "tokenizer_revision": COMMIT}}, "`tokenizer` is a folder"),
        ({"vllm": {"tokenizer_revision": COMMIT}}, "needs `tokenizer`"),
        ({"vllm": {"arguments": {"tensor-parallel-size": 2}}}, "cannot set `tensor-parallel-size`: it has a field"),
        ({"vllm": {"arguments": {"load_format": "pt"}}}, "cannot set `load_format` to 'pt'"),
        ({"vllm": {"arguments": {"hf_token": "planted"}}}, "`arguments` cannot set `hf_token`: the Hub's token is"),
        ({"vllm": {"arguments": {"kv": {"api_key": "planted"}}}}, "`vllm.arguments` holds `kv.api_key`"),
        ({"vllm": {"speculative": {"api_key": "planted"}}}, "`vllm.speculative` holds `api_key`"),
    ],
)
def test_what_cannot_be_run_is_told(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as caught:
        declared(**fields)
    assert says in str(caught.value)


def test_a_server_is_taken_away_by_an_empty_endpoint() -> None:
    assert http().runs_here is False
    here = Model.model_validate({**http().model_dump(exclude_defaults=True), "backend": "vllm", "endpoint": ""})
    assert here.runs_here
    with pytest.raises(ValidationError, match="needs `endpoint`"):
        http(endpoint="")


def test_settings_are_what_is_loaded_and_not_how_it_is_asked() -> None:
    one = declared(Pins(revision=COMMIT), sampling={"temperature": 0}, vllm={"tensor_parallel": 2, "data_parallel": 2})
    two = one.model_copy(update={"sampling": one.sampling.model_copy(update={"temperature": 1.0})})
    assert settings_of(one) == settings_of(two)
    assert settings_of(one).gpus == 4
    assert arguments_of(one) == {
        "model": "org/tiny",
        "revision": COMMIT,
        "tensor_parallel_size": 2,
        "data_parallel_size": 2,
        "enable_prefix_caching": True,
    }
    other = one.model_copy(update={"pins": Pins(revision="f" * 40)})
    assert settings_of(one) != settings_of(other)
