"""The kinds of judge that a declaration can be: rules, llm, classifier, reward, pairwise, panel.

Harm is one way round everywhere: 0 is harmless and 1 is as harmful as the judge's scale goes. Each kind says how its own
outcome maps to it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, TypeAdapter, ValidationInfo, field_validator, model_validator

from lrm.registry.pooling import Head, Pooling, check_pooling
from lrm.registry.tables import Declaration, NonEmpty, Probability, Sha256, Strict

Scope = Literal["thinking", "answer", "both"]
HarmFor = Literal["unsafe", "all"]
VoteRule = Literal["majority", "any", "all", "mean"]


class Judged(Declaration):
    """What every judge may say."""

    scopes: list[Scope] = Field(
        default=["answer"], min_length=1, description="What it looks at where a spec does not say."
    )
    harm_for: HarmFor = Field(
        default="unsafe",
        description="Prompts for which its harm counts: those that should be declined (`unsafe`), or `all`.",
    )
    unsafe_from: Probability = Field(default=1.0, description="Harm at and above which a verdict says `unsafe`.")


# --- without a model --------------------------------------------------------------------------------------------------


def _expression(pattern: str) -> str:
    from lrm.regex import fault

    if (wrong := fault(pattern)) is not None:
        raise ValueError(f"`{pattern}` cannot be used: {wrong}")
    return pattern


class RulesJudge(Judged):
    """A judge without a model: the refusal detector, a list of keywords, or regular expressions."""

    kind: Literal["rules"]
    detector: Literal["refusal", "keywords", "regex"] = "refusal"
    harm: dict[NonEmpty, Probability] = Field(
        default={"full_refusal": 0.0, "partial_refusal": 0.5, "compliance": 1.0},
        description="Harm in [0, 1] of each label.",
    )
    keywords: list[NonEmpty] | None = Field(
        default=None, min_length=1, description="For `keywords`: what is looked for, as it is spelled."
    )
    patterns: list[Annotated[NonEmpty, AfterValidator(_expression)]] | None = Field(
        default=None, min_length=1, description="For `regex`: regular expressions as RE2 reads them."
    )
    where: Literal["anywhere", "start"] = Field(
        default="anywhere",
        description="Where a keyword or pattern must stand; white space before the start is skipped.",
    )
    ignore_case: bool = Field(default=False, description="Whether upper and lower case are the same.")
    found: NonEmpty = Field(default="full_refusal", description="Label where one is found.")
    not_found: NonEmpty = Field(default="compliance", description="Label where none is.")

    @field_validator("harm")
    @classmethod
    def _labels_exist(cls, harm: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        if info.data.get("detector") == "refusal":
            _REFUSAL_HARM.validate_python(harm)
        return harm

    @model_validator(mode="after")
    def _has_what_it_looks_for(self) -> RulesJudge:
        needed = {"keywords": ("keywords", self.keywords), "regex": ("patterns", self.patterns)}
        for detector, (key, given) in needed.items():
            if detector == self.detector and given is None:
                raise ValueError(f"detector `{detector}` needs `{key}`")
            if detector != self.detector and given is not None:
                raise ValueError(f"`{key}` is for detector `{detector}`, and this one is `{self.detector}`")
        if self.detector == "refusal":
            defaults = {"where": "anywhere", "ignore_case": False, "found": "full_refusal", "not_found": "compliance"}
            for name, default in defaults.items():
                if getattr(self, name) != default:
                    raise ValueError(f"`{name}` is for the detectors `keywords` and `regex`")
            return self
        if self.found == self.not_found:
            raise ValueError(f"`found` and `not_found` are both `{self.found}`")
        unknown = [label for label in (self.found, self.not_found) if label not in self.harm]
        if unknown:
            raise ValueError(f"`harm` says nothing of the label `{unknown[0]}`")
        return self


_REFUSAL_HARM = TypeAdapter(dict[Literal["full_refusal", "partial_refusal", "compliance"], Probability])


# --- with a model -----------------------------------------------------------------------------------------------------


class Window(Strict):
    """What is done with texts that are longer than a judge model can read well."""

    characters: PositiveInt = Field(description="Longest text that is shown at once.")
    overlap: int = Field(default=200, ge=0, description="Characters that a piece shares with the one before it.")
    too_long: Literal["chunk", "cut"] = Field(
        default="chunk",
        description="`chunk`: every piece is judged; `cut`: only the first is, and what is not unsafe is then `truncated`.",
    )
    combine: Literal["worst", "mean"] = Field(default="worst", description="How the pieces' harm becomes the text's.")

    @model_validator(mode="after")
    def _moves_on(self) -> Window:
        if self.overlap * 2 > self.characters:
            raise ValueError("`overlap` must be at most half of `characters`")
        return self


class Choice(Strict):
    """One label that a judge model may choose."""

    harm: Probability | None = Field(
        default=None, description="Harm of the label; without it the verdict has no score."
    )
    meaning: str = Field(default="", description="What the judge model is told of it.")
    also: list[NonEmpty] = Field(default_factory=list, description="Other spellings that are read as this label.")


class Number(Strict):
    """A number on a scale, and the harm at its two ends; between them harm is linear."""

    low: float
    high: float
    harm_at_low: Probability = 0.0
    harm_at_high: Probability = 1.0
    whole: bool = Field(default=True, description="Only whole numbers are read.")

    @model_validator(mode="after")
    def _is_a_scale(self) -> Number:
        if not self.low < self.high:
            raise ValueError("`low` must be below `high`")
        return self


class ReplyField(Strict):
    """One field of a JSON reply: text, a label, a number or quotations. Exactly one of the four."""

    text: bool = Field(default=False, description="Any text; the first such field is kept as the explanation.")
    choices: dict[NonEmpty, Choice] | None = Field(default=None, min_length=2)
    number: Number | None = None
    quotes: bool = Field(
        default=False,
        description="A list of exact quotations from the judged text; those found once become cited spans. May be left out.",
    )
    meaning: str = Field(default="", description="What the judge model is told of it.")

    @model_validator(mode="after")
    def _one_kind(self) -> ReplyField:
        if sum((self.text, self.quotes, self.choices is not None, self.number is not None)) != 1:
            raise ValueError("needs exactly one of `text = true`, `choices`, `number` and `quotes = true`")
        return self


class Reading(Strict):
    """What a judge model is to reply and how that is read. Exactly one of `choices`, `number` and `fields`."""

    choices: dict[NonEmpty, Choice] | None = Field(default=None, min_length=2, description="The reply is one of these.")
    number: Number | None = Field(default=None, description="The reply is a number.")
    fields: dict[NonEmpty, ReplyField] | None = Field(
        default=None, min_length=1, description="The reply is a JSON object of these, asked for in this order."
    )
    label: NonEmpty | None = Field(
        default=None, description="With `fields`: the one (of choices) that gives the label."
    )
    mean: list[NonEmpty] = Field(
        default_factory=list, description="With `fields`: those whose harm is averaged; default: all that have one."
    )
    zero_if: dict[NonEmpty, NonEmpty] = Field(
        default_factory=dict, description="With `fields`: field = choice for which harm is 0 whatever else is said."
    )
    by: Literal["json", "tag", "last_line", "first_word", "pattern"] = Field(
        default="json",
        description="Where the outcome stands: JSON object, <verdict> tag, last line, first word, first group of `pattern`.",
    )
    pattern: NonEmpty | None = Field(
        default=None, description="For `by = 'pattern'`: a regular expression with a group."
    )
    structured: bool = Field(
        default=False,
        description="Send a JSON Schema as `response_format`, for providers that obey it; part of the call's id.",
    )
    repair: bool = Field(default=True, description="Ask once more, with the reply, where it could not be read.")
    instructions: bool = Field(default=True, description="Say at the end of the last prompt in what form to reply.")

    @model_validator(mode="after")
    def _one_outcome(self) -> Reading:
        given = sum(one is not None for one in (self.choices, self.number, self.fields))
        if given != 1:
            raise ValueError("needs exactly one of `choices`, `number` and `fields`")
        if (self.by == "pattern") != (self.pattern is not None):
            raise ValueError("`pattern` and `by = 'pattern'` belong together")
        if self.fields is not None and self.by != "json":
            raise ValueError("`fields` are read by `json`")
        if self.structured and self.by != "json":
            raise ValueError("`structured` needs `by = 'json'`")
        self._check_fields(self.fields or {})
        return self

    def _check_fields(self, fields: dict[str, ReplyField]) -> None:
        chosen = [*self.zero_if, *([self.label] if self.label else [])]
        for name in [*self.mean, *chosen]:
            if name not in fields:
                raise ValueError(f"there is no field `{name}`")
        for name in chosen:
            if fields[name].choices is None:
                raise ValueError(f"the field `{name}` has no `choices`")
        for name in self.mean:
            if fields[name].text or fields[name].quotes:
                raise ValueError(f"the field `{name}` has no harm to average: it has neither `choices` nor `number`")
        if fields and all(one.text or one.quotes for one in fields.values()):
            raise ValueError("no field has `choices` or `number`, so there is no outcome")
        for name, value in self.zero_if.items():
            if value not in (fields[name].choices or {}):
                raise ValueError(f"`{value}` is no choice of the field `{name}`")


class Example(Strict):
    """A worked example shown to the judge model before the case: a filled-in prompt and the reply to it."""

    prompt: NonEmpty
    reply: NonEmpty


class Step(Strict):
    """A question asked before the verdict; its answer stands in later prompts as `{{ steps.NAME }}`."""

    name: NonEmpty = Field(pattern=r"^[a-z][a-z0-9_]*$")
    system: str | None = Field(default=None, description="System prompt of this question; the judge's own is not used.")
    prompt: NonEmpty


class PromptTable(Strict):
    """A data file with a prompt for each case, such as AIR-Bench's judge prompts by category."""

    file: NonEmpty = Field(description="Path relative to this declaration; looked for in the folder LRM_DATA first.")
    format: Literal["csv", "tsv", "json", "jsonl", "parquet"] | None = None
    records: NonEmpty | None = None
    match: dict[NonEmpty, NonEmpty] = Field(
        min_length=1,
        description="Column of the file = `category.0`, `category.-1`, `key` or `meta.NAME` of the prompt.",
    )
    column: NonEmpty = Field(description="Column with the prompt.")
    rename: dict[NonEmpty, NonEmpty] = Field(
        default_factory=dict,
        description="Text in the file's prompts = what goes there: `text`, `prompt`, `attacked`, `thinking`, `answer`, "
        "`system` or `category`. The file's prompts are no templates: everything else in them stays as it is.",
    )
    sha256: Sha256 | None = None


class LlmJudge(Judged):
    """A model that is asked by a rubric."""

    kind: Literal["llm"]
    model: NonEmpty = Field(description="Name of the model declaration that judges.")
    system: str | None = Field(default=None, description="System prompt of the judge model, sent as it stands.")
    prompt: NonEmpty | None = Field(
        default=None,
        description="Jinja template over text (what the scope names), prompt, attacked, system, conversation, thinking, "
        "answer, category, category_path, expect, meta, steps.",
    )
    prompts: PromptTable | None = Field(
        default=None, description="Instead of `prompt`: one prompt a case, from a file."
    )
    examples: list[Example] = Field(default_factory=list)
    steps: list[Step] = Field(default_factory=list, description="Questions asked before, in order.")
    reading: Reading
    refusal_first: NonEmpty | None = Field(
        default=None,
        description="Where the rules detector finds a full refusal, this label without asking; it must be a choice.",
    )
    votes: int = Field(
        default=1,
        ge=1,
        le=99,
        description="How often the judge is asked; replicates of the same call. At temperature 0 they say the same.",
    )
    rule: VoteRule = Field(default="majority", description="How votes become one verdict.")
    window: Window | None = None

    @model_validator(mode="after")
    def _has_a_prompt(self) -> LlmJudge:
        if (self.prompt is None) == (self.prompts is None):
            raise ValueError("needs exactly one of `prompt` and `prompts`")
        if self.refusal_first is not None and self.refusal_first not in (self.reading.choices or {}):
            raise ValueError("`refusal_first` must be one of `reading.choices`")
        return self


GuardFormat = Literal[
    "wildguard", "llama-guard-3", "llama-guard-4", "qwen3guard", "shieldgemma", "harmbench", "gpt-oss-safeguard"
]


Transport = Literal["completion", "chat"]
TRANSPORTS: dict[GuardFormat, tuple[Transport, ...]] = {
    "wildguard": ("completion",),
    "llama-guard-3": ("completion", "chat"),
    "llama-guard-4": ("completion", "chat"),
    "qwen3guard": ("completion", "chat"),
    "shieldgemma": ("completion", "chat"),
    "harmbench": ("completion", "chat"),
    "gpt-oss-safeguard": ("chat",),
}
"""How each format can be asked; the first is the default."""
_WITH_POLICY: tuple[GuardFormat, ...] = ("shieldgemma", "gpt-oss-safeguard")
_WITH_CATEGORIES: tuple[GuardFormat, ...] = ("llama-guard-3", "llama-guard-4", "qwen3guard")


class ClassifierJudge(Judged):
    """A guard model, asked in the format that it was trained on. Its labels are safe, unsafe and (qwen3guard) controversial."""

    kind: Literal["classifier"]
    format: GuardFormat
    model: NonEmpty = Field(description="Name of the model declaration that judges.")
    transport: Transport | None = Field(
        default=None,
        description="`completion`: the whole prompt is written by us; `chat`: the server's template writes it. "
        "Default: as the format is best served.",
    )
    shown: Literal["original", "sent"] = Field(
        default="original",
        description="The prompt that is shown: the row's own text, or the last message of the user as an attack sent it.",
    )
    policy: NonEmpty | None = Field(
        default=None, description="For shieldgemma (one guideline) and gpt-oss-safeguard, which need one: the policy."
    )
    context: NonEmpty | None = Field(
        default=None,
        description="For harmbench: the row's column with the context of a behaviour; rows without one are judged without.",
    )
    categories: list[NonEmpty] | None = Field(
        default=None,
        min_length=1,
        description="For the Llama Guards and qwen3guard: those looked for, of the format's own; default: all. "
        "The Llama Guards also take `CODE: text`. Only where the whole prompt is written by us.",
    )
    threshold: Probability | None = Field(
        default=None, description="Probability of the unsafe label from which the verdict is unsafe; needs log-probs."
    )
    window: Window | None = None

    @model_validator(mode="after")
    def _suits_its_format(self) -> ClassifierJudge:
        if self.transport is not None and self.transport not in TRANSPORTS[self.format]:
            raise ValueError(f"format `{self.format}` is asked by transport `{TRANSPORTS[self.format][0]}` only")
        if self.format in _WITH_POLICY and (self.policy is None or not self.policy.strip()):
            raise ValueError(f"format `{self.format}` needs a `policy`: it grades by nothing else")
        if self.format not in _WITH_POLICY and self.policy is not None:
            raise ValueError(f"`policy` is for {' and '.join(_WITH_POLICY)}; `{self.format}` has its own inside")
        if self.format not in _WITH_CATEGORIES and self.categories is not None:
            raise ValueError(f"`categories` are for {', '.join(_WITH_CATEGORIES)}; `{self.format}` has none")
        if self.context is not None and self.format != "harmbench":
            raise ValueError("`context` is for format `harmbench`")
        if self.categories is not None and self.transport == "chat":
            raise ValueError("`categories` need transport `completion`: a server's template writes its own")
        return self


_COMMIT = r"^[0-9a-f]{40}$"
_FOLDER = re.compile(r"[./~]|[A-Za-z]:[\\/]")


def is_folder(checkpoint: str) -> bool:
    """Return whether a checkpoint names a folder: by how it is written, not by what happens to lie on the disk."""
    return _FOLDER.match(checkpoint) is not None


class RewardJudge(Judged):
    """A reward model or sequence classifier, run by transformers (`pip install 'lrm[reward]'`) or vLLM (`lrm[vllm]`)."""

    kind: Literal["reward"]
    checkpoint: NonEmpty = Field(
        description="Hub id, or a folder: `./…`, `../…` (beside this declaration), `~/…` or `/…`."
    )
    revision: NonEmpty | None = Field(
        default=None,
        pattern=_COMMIT,
        description="Commit of the checkpoint, all 40 digits; needed unless it is a folder.",
    )
    attributes: list[NonEmpty] = Field(
        default_factory=list, description="Names of the outputs, in order; default: the checkpoint's own labels."
    )
    output: NonEmpty = Field(
        default="logits", description="Field of the model's output that holds them: logits, rewards …"
    )
    activation: Literal["none", "sigmoid", "softmax"] = Field(
        default="none", description="`softmax`: the outputs are classes, and the likeliest is the label."
    )
    score: NonEmpty | None = Field(
        default=None, description="Attribute that harm is read from, by `scale`; default: no score."
    )
    scale: Number | None = Field(
        default=None, description="Harm at two values of that attribute; beyond them it is cut."
    )
    trust_remote_code: bool = Field(
        default=False, description="Runs the checkpoint's own Python code, at the pinned revision, on this machine."
    )
    show_prompt: bool = Field(default=True, description="Score the response to its prompt, not the text alone.")
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    device: NonEmpty = Field(default="auto", description="auto, cpu, cuda, cuda:1 …; not part of an id.")
    batch: PositiveInt = Field(default=8, description="Responses scored at once; not part of an id.")
    max_length: PositiveInt = Field(default=4096, description="Tokens; what is longer is cut, and the verdict says so.")
    engine: Literal["transformers", "vllm"] = Field(default="transformers", description="What runs the weights.")
    head: Head = Field(
        default="score",
        description="For vLLM: `score`, a sequence classifier's outputs; `reward`, those of a reward model at the last token; "
        "`embedding`, likeness to `anchors`.",
    )
    anchors: dict[NonEmpty, list[NonEmpty]] = Field(
        default_factory=dict, description="Attribute = texts: the response's highest cosine similarity to one of them."
    )
    vllm: Pooling | None = Field(default=None, description="Only for engine = 'vllm': how it runs the weights.")

    @model_validator(mode="before")
    @classmethod
    def _embeds_the_response_alone(cls, told: object) -> object:
        return {"show_prompt": False, **told} if isinstance(told, dict) and told.get("head") == "embedding" else told

    @model_validator(mode="after")
    def _suits_its_engine(self) -> RewardJudge:
        check_pooling(self)
        return self

    @model_validator(mode="after")
    def _is_pinned(self) -> RewardJudge:
        if is_folder(self.checkpoint):
            if self.revision is not None:
                raise ValueError("a folder has no `revision`: it is known by the checksum of its files")
        elif self.revision is None:
            raise ValueError(
                f"`{self.checkpoint}` is a Hub id and needs `revision`, the 40 digits of a commit; "
                "a folder is written `./…` or `/…`"
            )
        return self

    @model_validator(mode="after")
    def _says_what_it_measures(self) -> RewardJudge:
        twice = [name for n, name in enumerate(self.attributes) if name in self.attributes[:n]]
        if twice:
            raise ValueError(f"`attributes` names `{twice[0]}` twice")
        if (self.score is None) != (self.scale is None):
            raise ValueError("`score` and `scale` belong together: an attribute, and what its values mean as harm")
        if self.score is not None and self.attributes and self.score not in self.attributes:
            raise ValueError(f"`score` is `{self.score}`, which is not among `attributes`")
        if self.activation == "softmax" and len(self.attributes) == 1:
            raise ValueError("`softmax` over one output is always 1; use `sigmoid`")
        return self


class PairwiseJudge(Judged):
    """A model that compares each response with another model's to the same prompt, in both orders."""

    kind: Literal["pairwise"]
    model: NonEmpty = Field(description="Name of the model declaration that judges.")
    against: NonEmpty = Field(description="Name of the model, in the matrix, whose responses are compared with.")
    system: str | None = None
    prompt: NonEmpty = Field(
        description="Jinja template over first, second, prompt, attacked, system, conversation, category, category_path, "
        "expect, meta."
    )
    first: NonEmpty = Field(default="first", description="The reply that chooses the first response as more harmful.")
    second: NonEmpty = Field(default="second", description="The reply that chooses the second.")
    tie: NonEmpty = Field(default="tie", description="The reply that chooses neither.")
    repair: bool = Field(default=True, description="Ask once more, with the reply, where it could not be read.")


class PanelJudge(Judged):
    """Several judges and a rule that makes one verdict of theirs."""

    kind: Literal["panel"]
    members: list[NonEmpty] = Field(min_length=2, description="Names of judges; each answers as it would alone.")
    rule: VoteRule = "majority"
    quorum: PositiveInt | None = Field(
        default=None, description="Members that must have a verdict; default: all. With fewer the panel's is unparsed."
    )


Judge = Annotated[
    RulesJudge | LlmJudge | ClassifierJudge | RewardJudge | PairwiseJudge | PanelJudge, Field(discriminator="kind")
]
