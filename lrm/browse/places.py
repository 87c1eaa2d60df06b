"""Places: what a view shows, and the words after `lrm tui` that open it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, assert_never

from lrm.browse.axes import AXES, SCOPES, Slice, axis
from lrm.errors import SpecError, known_names_hint

W = TypeVar("W", bound=str)

Measure = Literal[
    "unsafe",
    "refusal",
    "over_refusal",
    "harm",
    "gap",
    "disagreement",
    "coverage",
    "tokens",
    "thinking_tokens",
    "seconds",
    "cost",
]
MEASURES: tuple[Measure, ...] = (
    "unsafe", "refusal", "over_refusal", "harm", "gap", "disagreement", "coverage", "tokens", "thinking_tokens", "seconds",
    "cost",
)  # fmt: skip
Outcome = Literal["all", "both_safe", "only_a", "only_b", "both_unsafe"]
OUTCOMES: tuple[Outcome, ...] = ("all", "both_safe", "only_a", "only_b", "both_unsafe")
"""`only_a`: only the first is unsafe."""


@dataclass(frozen=True, slots=True)
class MatrixPlace:
    """A grid of rates: which cells, spread along which axes, measured how."""

    slice: Slice = field(default_factory=Slice)
    rows: str = "model"
    columns: str = "prompt_set"
    measure: Measure = "unsafe"
    judge: str | None = None
    """None is the first judge that can say something of the measure."""
    scope: str | None = None
    """None is `answer`, or what the judge looks at where it does not look at the answer alone."""
    against: str | None = None
    """Value of the row axis whose figures are taken off all others, paired by prompt; None for plain figures."""


@dataclass(frozen=True, slots=True)
class SamplesPlace:
    """A list of samples."""

    slice: Slice = field(default_factory=Slice)
    where: str = ""
    """A filter in the language of `lrm.browse.filters`; empty for all."""
    sort: str = ""
    """A column, `-column` for descending; empty for the matrix's own order."""
    judge: str | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class TracePlace:
    """One response or one cell without a response: `g1:…`, `c1:…` or the beginning of one."""

    id: str
    prompt: str | None = None
    """The prompt's key, where several prompts render to the same call."""


@dataclass(frozen=True, slots=True)
class ComparePlace:
    """Responses of several models to the same prompts, side by side."""

    slice: Slice = field(default_factory=Slice)
    models: tuple[str, ...] = ()
    """Two or more."""
    outcome: Outcome = "all"
    judge: str | None = None
    scope: str | None = None
    at: str | None = None
    """The prompt's key to begin with."""


@dataclass(frozen=True, slots=True)
class MonitorPlace:
    """A running fill; without a name the only one, or the list of them."""

    run: str | None = None


@dataclass(frozen=True, slots=True)
class AnnotatePlace:
    """A queue of responses to label: a file of ids, or a list of samples."""

    queue: str | None = None
    samples: SamplesPlace | None = None
    annotator: str | None = None
    rubric: str | None = None


@dataclass(frozen=True, slots=True)
class SqlPlace:
    """The SQL console."""

    query: str = ""


@dataclass(frozen=True, slots=True)
class PlanPlace:
    """What a fill of a spec would do."""

    spec: str


@dataclass(frozen=True, slots=True)
class SearchPlace:
    """Words in texts: in thinking, answers or prompts."""

    words: str = ""
    slice: Slice = field(default_factory=Slice)
    within: str = "thinking"


Place = (
    MatrixPlace
    | SamplesPlace
    | TracePlace
    | ComparePlace
    | MonitorPlace
    | AnnotatePlace
    | SqlPlace
    | PlanPlace
    | SearchPlace
)
WORDS = ("matrix", "samples", "cell", "compare", "monitor", "annotate", "sql", "plan", "search")
"""The first word of each place."""


def arguments(place: Place) -> list[str]:  # noqa: PLR0911 -- one for each place
    """Return the words that open a place: `parse(arguments(place)) == place`."""
    match place:
        case MatrixPlace():
            default = MatrixPlace()
            return [
                "matrix", *_slice(place.slice),
                *_option("--rows", place.rows, default.rows), *_option("--columns", place.columns, default.columns),
                *_option("--measure", place.measure, default.measure), *_judged(place),
                *_option("--against", place.against),
            ]  # fmt: skip
        case SamplesPlace():
            return [
                "samples", *_slice(place.slice), *_option("--where", place.where, ""), *_option("--sort", place.sort, ""),
                *_judged(place),
            ]  # fmt: skip
        case TracePlace(name, prompt):
            return ["cell", name, *_option("--prompt", prompt)]
        case ComparePlace():
            return [
                "compare", *place.models, *_slice(place.slice), *_option("--outcome", place.outcome, "all"), *_judged(place),
                *_option("--at", place.at),
            ]  # fmt: skip
        case MonitorPlace(run):
            return ["monitor", *([run] if run else [])]
        case AnnotatePlace(queue, samples, annotator, rubric):
            shown = [] if samples is None else arguments(samples)[1:]
            return [
                "annotate", *([queue] if queue else []), *shown, *_option("--annotator", annotator), *_option("--rubric", rubric)
            ]  # fmt: skip
        case SqlPlace(query):
            return ["sql", *([query] if query else [])]
        case PlanPlace(spec):
            return ["plan", spec]
        case SearchPlace(words, part, within):
            return ["search", *([words] if words else []), *_slice(part), *_option("--in", within, "thinking")]
        case _:
            assert_never(place)


def command(place: Place, catalog: str | None = None) -> str:
    """Return the shell command that opens a place; `catalog` is the file where it is not the default one."""
    import shlex

    return shlex.join(["lrm", "tui", *arguments(place), *_option("--catalog", catalog)])


def parse(words: Sequence[str]) -> Place:
    """Return the place that words name; none is the matrix. Raises SpecError for what is not understood."""
    if not words:
        return MatrixPlace()
    first, *rest = words
    if first not in WORDS:
        raise SpecError(f"there is no view `{first}`", hint=known_names_hint(first, WORDS))
    named, options = _split(rest)
    place = _place(first, named, options)
    if named or options:
        left = [*named, *(f"--{name}" for name in options)]
        raise SpecError(
            f"`{left[0]}` means nothing to the view `{first}`", hint="`lrm tui --help` shows what each view takes"
        )
    return place


def _place(first: str, named: list[str], options: dict[str, list[str]]) -> Place:  # noqa: PLR0911 -- one for each place
    def one(name: str, default: str | None = None) -> str | None:
        found = options.pop(name, [])
        return found[-1] if found else default

    def first_named() -> str | None:
        return named.pop(0) if named else None

    match first:
        case "matrix":
            return MatrixPlace(
                _sliced(options), axis(one("rows") or "model"), axis(one("columns") or "prompt_set"),
                _chosen("measure", one("measure") or "unsafe", MEASURES), one("judge"), _scope(one("scope")), one("against"),
            )  # fmt: skip
        case "samples":
            return SamplesPlace(
                _sliced(options), one("where") or "", one("sort") or "", one("judge"), _scope(one("scope"))
            )
        case "cell":
            name = first_named()
            if name is None:
                raise SpecError("the view `cell` needs an id", hint="`lrm tui cell c1:…` or `g1:…`")
            return TracePlace(name, one("prompt"))
        case "compare":
            models = tuple(named)
            named.clear()
            return ComparePlace(
                _sliced(options), models, _chosen("outcome", one("outcome") or "all", OUTCOMES), one("judge"),
                _scope(one("scope")), one("at"),
            )  # fmt: skip
        case "monitor":
            return MonitorPlace(first_named())
        case "annotate":
            queue = first_named()
            annotator, rubric = one("annotator"), one("rubric")
            shown = None
            if queue is None:
                shown = SamplesPlace(
                    _sliced(options), one("where") or "", one("sort") or "", one("judge"), _scope(one("scope"))
                )
            return AnnotatePlace(queue, shown, annotator, rubric)
        case "sql":
            return SqlPlace(first_named() or "")
        case "plan":
            spec = first_named()
            if spec is None:
                raise SpecError("the view `plan` needs a spec", hint="`lrm tui plan specs/quickstart.toml`")
            return PlanPlace(spec)
        case _:
            words = first_named() or ""
            return SearchPlace(
                words, _sliced(options), _chosen("in", one("in") or "thinking", ("thinking", "answer", "prompt"))
            )


def _split(words: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the words that are named and the options with their values; `--` ends the options."""
    named: list[str] = []
    options: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            named += rest
            break
        if not word.startswith("--"):
            named.append(word)
            continue
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise SpecError(f"`{word}` needs a value")
            value = rest.pop(0)
        options.setdefault(name, []).append(value)
    return named, options


def _sliced(options: dict[str, list[str]]) -> Slice:
    spec = options.pop("spec", [None])[-1]
    only: dict[str, list[str]] = {}
    for text in options.pop("only", []):
        name, equals, value = text.partition("=")
        if not equals:
            raise SpecError(f"`--only {text}` names no value", hint=f"AXIS=VALUE; axes: {', '.join(AXES)}")
        only.setdefault(axis(name), []).append(value)
    return Slice(spec, tuple(sorted((name, tuple(values)) for name, values in only.items())))


def _slice(part: Slice) -> list[str]:
    return [
        *_option("--spec", part.spec),
        *(word for name, values in part.only for value in values for word in ("--only", f"{name}={value}")),
    ]


def _judged(place: MatrixPlace | SamplesPlace | ComparePlace) -> list[str]:
    return [*_option("--judge", place.judge), *_option("--scope", place.scope)]


def _option(name: str, value: str | None, default: str | None = None) -> list[str]:
    if value is None or value == default:
        return []
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _scope(value: str | None) -> str | None:
    return None if value is None else _chosen("scope", value, SCOPES)


def _chosen(what: str, value: str, known: tuple[W, ...]) -> W:
    for one in known:
        if one == value:
            return one
    raise SpecError(f"there is no {what} `{value}`", hint=known_names_hint(value, known))
