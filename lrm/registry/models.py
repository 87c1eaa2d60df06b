"""Models as they are declared: what they are, where they run, how they are asked."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, HttpUrl, JsonValue, PositiveInt, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from lrm.key_names import names_a_key
from lrm.registry.judges import is_folder
from lrm.registry.simulation import Simulation
from lrm.registry.tables import Declaration, NonEmpty, Probability, Strict
from lrm.registry.vllm import Pins, Vllm

SERVER = "vllm-server"
"""The `engine` of a model whose weights a server of vLLM's runs, which lrm starts and stops."""


class Sampling(Strict):
    """How tokens are drawn. What is not set is not sent. All of it is part of a call's id."""

    temperature: float | None = Field(default=None, ge=0, le=10)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    min_p: Probability | None = None
    max_tokens: PositiveInt | None = Field(default=None, description="Thinking and answer together.")
    seed: int | None = Field(default=None, ge=0, lt=2**53, description="Replicate n is sent seed + n.")
    stop: list[NonEmpty] | None = Field(default=None, max_length=16)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10)
    logprobs: int | None = Field(
        default=None, ge=0, le=20, description="Log-probabilities of each token and of so many alternatives, sent back."
    )


class Thinking(Strict):
    """Whether the model thinks, how that is asked for, and how its thinking is found in what comes back."""

    visibility: Literal["visible", "summary", "hidden", "none"] = Field(
        default="none", description="What of the thinking comes back. Rates never pool visible traces with summaries."
    )
    open: NonEmpty = Field(
        default="<think>", description="The tag before inline thinking; parsing only, not part of an id."
    )
    close: NonEmpty = Field(
        default="</think>", description="The tag after inline thinking; parsing only, not part of an id."
    )
    opened_by_template: bool = Field(
        default=False, description="The chat template writes the opening tag; parsing only."
    )
    also: list[list[NonEmpty]] = Field(
        default_factory=list,
        max_length=8,
        description="More pairs of tags that stand around thinking, e.g. [['<safety>', '</safety>']]; parsing only.",
    )
    interleaved: bool = Field(
        default=False,
        description="Blocks of thinking may also stand in the middle of a line of the answer; parsing only.",
    )
    answer_open: NonEmpty | None = Field(
        default=None, description="The tag before the answer, where the model wraps it; parsing only."
    )
    answer_close: NonEmpty | None = Field(default=None, description="The tag after the answer; parsing only.")
    style: Literal["tags", "harmony"] = Field(
        default="tags", description="`harmony`: channels, as gpt-oss writes them, instead of tags; parsing only."
    )
    effort: NonEmpty | None = Field(default=None, description="Sent as `reasoning_effort`.")
    budget_tokens: PositiveInt | None = Field(
        default=None, description="Sent by the litellm backend as `thinking = {type = 'enabled', budget_tokens = …}`."
    )
    switch: dict[str, JsonValue] | None = Field(
        default=None, description="Sent as `chat_template_kwargs`, e.g. {enable_thinking = false}."
    )

    @model_validator(mode="after")
    def _tags_come_in_pairs(self) -> Thinking:
        if any(len(pair) != 2 for pair in self.also):
            raise ValueError("each entry of `also` is a pair: the tag before and the tag after")
        if (self.answer_open is None) != (self.answer_close is None):
            raise ValueError("`answer_open` and `answer_close` belong together")
        return self


class Price(Strict):
    """Dollars for a million tokens; not part of an id. Without it the litellm backend uses litellm's bundled table."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Limits(Strict):
    """How the model may be asked; not part of an id."""

    max_in_flight: int = Field(default=32, ge=1, le=10_000, description="Calls under way at the same time.")
    timeout_s: float = Field(default=600, gt=0, le=86_400, description="Seconds for one attempt.")
    stall_s: float | None = Field(
        default=None,
        gt=0,
        le=86_400,
        description="Seconds without a byte after which a reply that has begun is given up.",
    )
    deadline_s: float | None = Field(
        default=None, gt=0, description="Seconds for one call with all its attempts and pauses; default: no limit."
    )
    max_attempts: int = Field(default=5, ge=1, le=100, description="Attempts for one call when failures are transient.")
    requests_per_minute: float | None = Field(default=None, gt=0, description="Requests begun a minute, at most.")
    tokens_per_minute: float | None = Field(
        default=None, gt=0, description="Tokens a minute, at most: prompt and reply, by what earlier replies took."
    )


def _key_in(value: JsonValue) -> str | None:
    """Return the dotted name of the first field that is named as a key is and holds text; None where there is none."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        if isinstance(part, str) and names_a_key(str(name)):
            return str(name)
        found = _key_in(part)
        if found is not None:
            return f"{name}.{found}"
    return None


def _declarable(schema: dict[str, Any]) -> None:
    """Take out of a JSON Schema what only the catalog says of models: that they came by `lrm import`."""
    schema["enum"] = [name for name in schema["enum"] if name != "imported"]


class Model(Declaration):
    """A model under test, an attacker or a judge model: what it is, where it runs, how it is asked."""

    backend: Literal["simulated", "litellm", "http", "vllm", "imported"] = Field(
        description="What carries out the calls.", json_schema_extra=_declarable
    )
    model: NonEmpty = Field(
        description="The checkpoint or the provider's model id, as it is sent. With backend = 'vllm' an id on the Hub, or a "
        "folder: `./…`, `../…` (beside the declaration), `~/…` or `/…`."
    )
    engine: NonEmpty | None = Field(
        default=None,
        description="What runs the weights; default: the backend's name. With backend = 'vllm', `vllm-server` has lrm start "
        "and stop a server of vLLM's; the weights are the same, so the id says `vllm`.",
    )
    revision: NonEmpty | None = Field(
        default=None,
        description="Commit of the checkpoint. With backend = 'vllm' a branch or tag too, or nothing for `main`: the commit that "
        "it means is found out, kept in the spec's lock, and in the id.",
    )
    quantization: NonEmpty | None = None
    dtype: NonEmpty | None = None
    chat_template: NonEmpty | None = Field(
        default=None,
        description="Name or SHA-256 of the chat template, if not the checkpoint's; with backend = 'vllm' its file, beside "
        "the declaration, whose SHA-256 is then in the id.",
    )
    epoch: NonEmpty | None = Field(
        default=None,
        description="For an API whose weights can change silently: name the period. A new epoch is a new identity.",
    )
    context_tokens: PositiveInt | None = Field(
        default=None, description="The longest prompt and reply together, in tokens; a description, sent to nobody."
    )
    thinking: Thinking = Field(default_factory=Thinking)
    sampling: Sampling = Field(default_factory=Sampling)
    extra_body: dict[str, JsonValue] = Field(default_factory=dict, description="More fields of the request's body.")
    simulation: Simulation | None = Field(default=None, description="Only for backend = 'simulated'.")
    vllm: Vllm | None = Field(default=None, description="Only for backend = 'vllm': how it runs the weights.")
    pins: SkipJsonSchema[Pins | None] = Field(default=None, description="Written by lrm; never declared.")
    endpoint: HttpUrl | None = Field(
        default=None,
        description='Base URL of the API, up to and with /v1; not part of an id. `""` in an override takes it away.',
    )
    api_key_env: NonEmpty | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the key; never the key.",
    )
    price: Price | None = None
    batch: bool = Field(
        default=False,
        description="Send calls through the provider's batch endpoint: cheaper, and answered within a day. Only litellm.",
    )
    limits: Limits = Field(default_factory=Limits)

    @field_validator("endpoint", mode="before")
    @classmethod
    def _endpoint_is_taken_away(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("pins", mode="before")
    @classmethod
    def _pins_are_found(cls, value: object, info: ValidationInfo) -> object:
        # The catalog reads its declarations back as JSON; what people write comes as TOML, in Python's types.
        if info.mode == "python" and value is not None and not isinstance(value, Pins):
            raise ValueError(
                "`pins` is not declared: lrm finds out what the files are, and the lock beside a spec keeps it; a commit is "
                "declared as `revision`"
            )
        return value

    @model_validator(mode="after")
    def _backend_has_what_it_needs(self, info: ValidationInfo) -> Model:
        if self.backend == "imported" and info.mode == "python":
            raise ValueError("imported models come from `lrm import`, and cannot be declared")
        if self.backend == "http" and self.endpoint is None:
            raise ValueError(
                "backend `http` needs `endpoint`, the base URL of an OpenAI-compatible API, e.g. http://127.0.0.1:8000/v1"
            )
        written = [name for name in ("model", "messages", "stream") if name in self.extra_body]
        if written:
            raise ValueError(
                f"`extra_body` sets `{written[0]}`, which the backend writes itself; `model` is declared beside it, "
                "and replies are not streamed"
            )
        if info.mode == "python":
            self._holds_no_key()
        if self.backend in ("http", "vllm") and self.thinking.budget_tokens is not None:
            raise ValueError(
                f"`thinking.budget_tokens` is not sent by backend `{self.backend}`; use `extra_body` with the field that the server knows"
            )
        if self.backend == "litellm" and self.endpoint is not None and "/" not in self.model:
            raise ValueError(
                f"backend `litellm` with an `endpoint` needs a provider that says how to speak to it: "
                f"model = 'openai/{self.model}' (or hosted_vllm/…); or use backend = 'http'"
            )
        if self.batch and self.backend != "litellm":
            raise ValueError("`batch` is only for backend = 'litellm'")
        if self.simulation is not None and self.backend != "simulated":
            raise ValueError("`simulation` is only for backend = 'simulated'")
        self._runs_as_it_says()
        return self

    def _holds_no_key(self) -> None:
        """Raise ValueError for a field that looks as if it held a key: what is declared is stored."""
        key = _key_in(self.extra_body)
        if key is not None:
            raise ValueError(
                f"`extra_body` holds `{key}`, which looks like a key, and would be stored as part of the model's identity; "
                "name the environment variable that holds the key with `api_key_env`"
            )
        for name in ("arguments", "speculative"):
            key = _key_in(getattr(self.options, name))
            if key is not None:
                raise ValueError(
                    f"`vllm.{name}` holds `{key}`, which looks like a key, and would be stored with the model; "
                    "the Hub's token is read from HF_TOKEN"
                )

    def _runs_as_it_says(self) -> None:
        """Raise ValueError for what only vLLM knows on another backend, and for an engine that vLLM is not."""
        if self.backend != "vllm":
            if self.vllm is not None:
                raise ValueError("`vllm` is only for backend = 'vllm'")
            if self.engine == SERVER:
                raise ValueError(f"engine = '{SERVER}' is only for backend = 'vllm'")
            return
        if self.engine not in (None, "vllm", SERVER):
            raise ValueError(f"with backend = 'vllm' the engine is `vllm` or `{SERVER}`, not `{self.engine}`")
        if self.engine == SERVER and self.endpoint is not None:
            raise ValueError(
                f"engine = '{SERVER}' is a server that lrm starts, so it has no `endpoint`; leave out either"
            )
        if self.endpoint is not None and self.vllm is not None:
            raise ValueError(
                "a server that runs already was told how to run the weights: leave out `vllm` or `endpoint`"
            )
        if self.endpoint is None and self.revision is not None and is_folder(self.model):
            raise ValueError("`model` is a folder, which has no `revision`: it is known by the checksum of its files")

    @property
    def runs_here(self) -> bool:
        """Whether lrm itself has to load the weights before the model can be asked."""
        return self.backend == "vllm" and self.endpoint is None

    @property
    def pools(self) -> bool:
        """Whether its engine gives vectors, for a reward judge, and no texts."""
        return self.options.arguments.get("runner") == "pooling"

    @property
    def options(self) -> Vllm:
        """How vLLM runs the weights: as declared, else by its own defaults."""
        return self.vllm or Vllm()
