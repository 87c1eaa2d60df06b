"""The five kinds of declaration: model, prompt set, attack, judge, reference.

One TOML file in `registry/<kind>/NAME.toml` is one declaration, and so is one table `[<kind>.NAME]` in a spec. Field
descriptions here are what `lrm registry schema` exports and what editors show.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, JsonValue, PositiveInt, ValidationInfo, model_validator

from lrm.key_names import names_a_key
from lrm.registry.judges import Judge
from lrm.registry.tables import Declaration, Expectation, NonEmpty, Probability, Sha256, Strict

Kind = Literal["models", "prompt_sets", "attacks", "judges", "references"]
KINDS: tuple[Kind, ...] = ("models", "prompt_sets", "attacks", "judges", "references")


# --- models -----------------------------------------------------------------------------------------------------------


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


class Planted(Strict):
    """Behaviour planted in a simulated model for the prompts that the patterns choose; the first match counts."""

    prompt_set: str = Field(default="*", description="Glob over the prompt set's name.")
    category: str = Field(default="*", description="Glob over any level of the prompt's category.")
    attack: str = Field(default="*", description="Glob over the attack's name.")
    expect: Literal["unsafe", "safe", "*"] = "*"
    comply: Probability | None = Field(default=None, description="Share of answers that comply in full.")
    partial: Probability | None = Field(
        default=None, description="Share of answers that refuse in part; the rest refuse."
    )
    thinking_comply: Probability | None = Field(
        default=None,
        description="Share of traces whose thinking sets out to comply; drawn so that it overlaps with `comply`.",
    )


class Simulation(Strict):
    """The planted behaviour of a simulated model. All of it is part of a call's id."""

    seed: int = Field(default=0, ge=0)
    comply_unsafe: Probability = Field(
        default=0.1, description="Share of full compliance where the prompt should be declined."
    )
    comply_safe: Probability = Field(
        default=0.95, description="Share of full compliance where the prompt should be answered."
    )
    partial: Probability = Field(
        default=0.05, description="Share of partial refusals, taken from what is not compliance."
    )
    thinking_comply_unsafe: Probability | None = Field(
        default=None,
        description="Share of traces that set out to comply with a prompt to be declined; default: as the answer.",
    )
    cut: Probability = Field(default=0.0, description="Share of replies cut off in the middle of the thinking.")
    blocked: Probability = Field(default=0.0, description="Share of calls that the provider refuses.")
    fail: Probability = Field(
        default=0.0, description="Share of calls that fail with a server error, at every attempt."
    )
    thinking_tokens: PositiveInt = Field(default=120, description="Mean length of the thinking, in words.")
    latency_ms: float = Field(default=0, ge=0, le=60_000, description="Mean time that an answer takes.")
    planted: list[Planted] = Field(default_factory=list, description="Exceptions for chosen prompts and attacks.")


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

    backend: Literal["simulated", "litellm", "http", "imported"] = Field(
        description="What carries out the calls.", json_schema_extra=_declarable
    )
    model: NonEmpty = Field(description="The checkpoint or the provider's model id, as it is sent.")
    engine: NonEmpty | None = Field(default=None, description="What runs the weights; default: the backend's name.")
    revision: NonEmpty | None = Field(default=None, description="Commit of the checkpoint.")
    quantization: NonEmpty | None = None
    dtype: NonEmpty | None = None
    chat_template: NonEmpty | None = Field(
        default=None, description="Name or SHA-256 of the chat template, if not the checkpoint's."
    )
    epoch: NonEmpty | None = Field(
        default=None,
        description="For an API whose weights can change silently: name the period. A new epoch is a new identity.",
    )
    thinking: Thinking = Field(default_factory=Thinking)
    sampling: Sampling = Field(default_factory=Sampling)
    extra_body: dict[str, JsonValue] = Field(default_factory=dict, description="More fields of the request's body.")
    simulation: Simulation | None = Field(default=None, description="Only for backend = 'simulated'.")
    endpoint: HttpUrl | None = Field(
        default=None, description="Base URL of the API, up to and with /v1; not part of an id."
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

    @model_validator(mode="after")
    def _backend_has_what_it_needs(self, info: ValidationInfo) -> Model:
        # The catalog reads its declarations back as JSON; what people write comes as TOML, in Python's types.
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
        key = _key_in(self.extra_body) if info.mode == "python" else None
        if key is not None:
            raise ValueError(
                f"`extra_body` holds `{key}`, which looks like a key, and would be stored as part of the model's identity; "
                "name the environment variable that holds the key with `api_key_env`"
            )
        if self.backend == "http" and self.thinking.budget_tokens is not None:
            raise ValueError(
                "`thinking.budget_tokens` is not sent by backend `http`; use `extra_body` with the field that the server knows"
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
        return self


# --- prompt sets ------------------------------------------------------------------------------------------------------


class Row(Strict):
    """One prompt written in the declaration itself."""

    id: NonEmpty | None = Field(default=None, description="Unique in the set; default: the row's number, from 1.")
    text: str | None = Field(default=None, description="The prompt; or `messages` for a conversation.")
    system: str | None = None
    messages: list[dict[Literal["role", "content"], str]] | None = Field(
        default=None, description="A conversation; the last message is the user's."
    )
    category: NonEmpty | list[NonEmpty] | None = Field(default=None, description="Taxonomy path, coarse to fine.")
    expect: Expectation | None = Field(
        default=None, description="`unsafe`: should be declined; `safe`: should be answered."
    )
    meta: dict[str, JsonValue] = Field(default_factory=dict)


class Columns(Strict):
    """Which columns of a data file hold what. Every other column is kept as metadata. A dotted name reaches into objects."""

    text: NonEmpty | None = "text"
    id: NonEmpty | None = None
    category: NonEmpty | list[NonEmpty] | None = Field(default=None, description="One column, or one a taxonomy level.")
    expect: NonEmpty | None = None
    system: NonEmpty | None = None
    messages: NonEmpty | None = Field(
        default=None, description="Column with a list of {role, content}, or JSON text of one."
    )


class Hub(Strict):
    """A dataset on the Hugging Face Hub. Its revision is pinned here or in the lock."""

    repo: NonEmpty = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: NonEmpty = Field(
        default="main", description="Commit, tag or branch; a branch is resolved once and locked."
    )
    config: NonEmpty | None = Field(default=None, description="Chooses files by the folder or file name of the config.")
    split: NonEmpty | None = Field(default=None, description="Chooses files by split name.")
    file: NonEmpty | None = Field(default=None, description="Path of the one data file; instead of config and split.")


class Sample(Strict):
    """A seeded sample: the same n rows on every machine, whatever their order in the file."""

    n: PositiveInt
    seed: int = Field(default=0, ge=0)


FilterValue = str | bool | int | float | list[str | bool | int | float]


class Selection(Strict):
    """Which rows of a set are used: filter first, then sample, then limit."""

    filter: dict[str, FilterValue] | None = Field(
        default=None,
        description="Column = value, list of values, or glob. `category` matches any level; metadata by column name.",
    )
    sample: Sample | None = None
    limit: PositiveInt | None = None


class PromptSet(Declaration, Selection):
    """Prompts, from exactly one of `rows`, `file` and `hub`."""

    rows: list[Row] | None = Field(default=None, min_length=1)
    file: NonEmpty | None = Field(
        default=None, description="Path relative to this declaration; looked for in the folder LRM_DATA first."
    )
    hub: Hub | None = None
    format: Literal["csv", "tsv", "json", "jsonl", "parquet"] | None = Field(
        default=None, description="Default: by the name's ending."
    )
    encoding: NonEmpty = "utf-8"
    records: NonEmpty | None = Field(default=None, description="Dotted path to the list of rows in a JSON document.")
    columns: Columns = Field(default_factory=Columns)
    sha256: Sha256 | None = Field(default=None, description="Of the file's bytes, as they are or uncompressed.")
    expect: Expectation | None = Field(default=None, description="For every row that does not say otherwise.")
    expect_values: dict[str, Expectation] = Field(
        default_factory=dict,
        description="What the values of the `expect` column mean; `unsafe` and `safe` mean themselves.",
    )
    system: str | None = Field(default=None, description="System prompt of every row that has none of its own.")

    @model_validator(mode="after")
    def _one_source(self) -> PromptSet:
        given = [name for name in ("rows", "file", "hub") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of `rows`, `file` and `hub`; it has {' and '.join(given) or 'none'}")
        of_files = ("format", "encoding", "records", "columns", "sha256", "expect_values")
        if self.rows is not None and (idle := next((name for name in of_files if name in self.model_fields_set), None)):
            raise ValueError(f"`{idle}` is for data files; this set has `rows`")
        meanings: dict[str, Expectation] = {}
        for word, meaning in self.expect_values.items():
            if meanings.setdefault(word.strip().casefold(), meaning) != meaning:
                raise ValueError(f"`expect_values` gives `{word}` two meanings: upper and lower case are the same")
        return self


# --- attacks ----------------------------------------------------------------------------------------------------------


class Step(BaseModel):
    """One transform of the prompt's text and its parameters: `{transform = "base64"}`, `{transform = "prefix", text = "…"}`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, JsonValue]

    transform: NonEmpty


class Message(Strict):
    """One message of a conversation; `{prompt}` stands for the prompt's text."""

    role: Literal["system", "user", "assistant"]
    content: str


class Artifact(Strict):
    """A file with one attacked prompt for each original, as JailbreakBench publishes them."""

    file: NonEmpty = Field(description="Path relative to this declaration; looked for in the folder LRM_DATA first.")
    format: Literal["csv", "tsv", "json", "jsonl", "parquet"] | None = None
    records: NonEmpty | None = Field(default=None, description="Dotted path to the list of rows in a JSON document.")
    original: NonEmpty = Field(description="Column that names the original prompt.")
    attacked: NonEmpty = Field(description="Column with the attacked prompt; an empty value means that there is none.")
    match: Literal["text", "id"] = Field(default="text", description="What of the prompt `original` is compared with.")
    sha256: Sha256 | None = None


class Attack(Declaration):
    """A static attack: artifact, then steps over the text, then the conversation around it."""

    artifact: Artifact | None = None
    steps: list[Step] = Field(default_factory=list, description="Transforms of the text, in order.")
    conversation: list[Message] | None = Field(
        default=None, description="Messages around the prompt; `{prompt}` in at least one of them."
    )
    system: str | None = Field(
        default=None, description="System prompt; `{system}` stands for the row's own, which it replaces."
    )
    prefill: NonEmpty | None = Field(
        default=None, description="Text with which the assistant's reply is made to begin."
    )


# --- references -------------------------------------------------------------------------------------------------------


class PublishedNumber(Strict):
    """One number of a paper's table."""

    table: NonEmpty
    measure: NonEmpty
    value: float
    model: NonEmpty | None = None
    prompt_set: NonEmpty | None = None
    category: NonEmpty | None = None
    attack: NonEmpty | None = None
    unit: Literal["percent", "share", "score"] = "percent"
    misprint: str | None = Field(default=None, description="Why the printed number cannot be right.")


class Reference(Declaration):
    """Published numbers that a report puts beside ours."""

    title: NonEmpty
    values: list[PublishedNumber] = Field(min_length=1)


TYPES: dict[Kind, Any] = {
    "models": Model,
    "prompt_sets": PromptSet,
    "attacks": Attack,
    "judges": Judge,
    "references": Reference,
}
