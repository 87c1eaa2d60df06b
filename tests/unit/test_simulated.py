"""The simulated backend gives the same bytes for the same call, and what is planted in it can be recovered."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from math import sqrt
from typing import Any, Literal

import pytest

from lrm import hashing
from lrm.backends.base import Backend, Call, CallFailure, Hint, Reply
from lrm.backends.simulated import Draw, Rates, SimulatedBackend, planted_rates
from lrm.backends.simulated_text import Label, Picks, answer_text, thinking_text
from lrm.errors import ModelError
from lrm.judges.refusal import classify
from lrm.registry.declarations import Model
from lrm.traces.split import split
from lrm.traces.trace import Trace

N = 2200
LABELS: tuple[Label, ...] = ("full_refusal", "partial_refusal", "compliance")
PROMPT = "Quokka zeppelin marmalade?"
GOLDEN = {
    "visible": "569a085f4c562772",
    "summary": "e056bb6bee8a2eed",
    "hidden": "6a198a2f13e9a3fc",
    "none": "fca1bce0ee1a48f9",
}
MESSAGES = hashing.canonical([{"role": "user", "content": PROMPT}]).decode()


def model(visibility: str = "visible", *, thinking: dict[str, Any] | None = None, **simulation: Any) -> Model:
    return Model.model_validate(
        {
            "backend": "simulated",
            "model": "sim-test",
            "thinking": {"visibility": visibility, **(thinking or {})},
            "simulation": simulation,
        }
    )


def call(
    number: int, *, expect: Any = "unsafe", prompt_set: str = "s", category: Any = (), attack: str = "none"
) -> Call:
    ident = hashlib.sha256(f"call {number}".encode()).digest()
    return Call(ident, MESSAGES, 0, Hint(prompt_set, tuple(category), attack, expect))


async def trace_of(declared: Model, asked: Call) -> Trace:
    reply = await SimulatedBackend(declared).ask(asked)
    return split(reply.raw, declared.thinking, blocked=reply.blocked)


async def traces(declared: Model, calls: Iterable[Call]) -> list[tuple[Draw, Trace]]:
    """Return the truth and the parsed reply of every call that is not dealt a failure."""
    backend = SimulatedBackend(declared)
    pairs: list[tuple[Draw, Trace]] = []
    for asked in calls:
        drawn = backend.draw(asked)
        if drawn.outcome != "failed":
            reply = await backend.ask(asked)
            pairs.append((drawn, split(reply.raw, declared.thinking, blocked=reply.blocked)))
    return pairs


def assert_share(count: int, total: int, share: float) -> None:
    """Fail unless `count` of `total` is inside the central 99.9 % of a binomial, by the normal approximation."""
    slack = 3.2905 * sqrt(total * share * (1 - share)) + 0.5
    assert abs(count - total * share) <= slack, f"{count} of {total} is not {share} ± {slack / total:.4f}"


# --- the same bytes ---------------------------------------------------------------------------------------------------


async def test_the_same_call_gives_the_same_bytes() -> None:
    declared = model(cut=0.1, blocked=0.1, planted=[{"category": "a*", "comply": 0.5}])
    first: Backend = SimulatedBackend(declared)
    second: Backend = SimulatedBackend(declared)
    forward = [await first.ask(call(number)) for number in range(60)]
    backward = [await second.ask(call(number)) for number in reversed(range(60))]
    assert forward == backward[::-1]
    assert len({reply.raw for reply in forward}) == 60
    await first.close()


@pytest.mark.parametrize("visibility", GOLDEN)
async def test_the_bytes_never_change(visibility: str) -> None:
    """Another digest means that every simulated text in every catalog would change: raise TEXT_VERSION with it."""
    backend = SimulatedBackend(model(visibility, comply_unsafe=0.4, partial=0.3, cut=0.1, blocked=0.1))
    digest = hashlib.sha256()
    for number in range(100):
        digest.update((await backend.ask(call(number))).raw.encode())
    assert digest.hexdigest()[:16] == GOLDEN[visibility]


async def test_seed_and_id_change_the_reply_and_latency_does_not() -> None:
    async def raw(declared: Model, number: int = 1) -> str:
        return (await SimulatedBackend(declared).ask(call(number))).raw

    plain = await raw(model())
    assert await raw(model(seed=1)) != plain
    assert await raw(model(), 2) != plain
    assert await raw(model(latency_ms=0.5)) == plain


async def test_a_chat_completion_that_says_simulated() -> None:
    reply = await SimulatedBackend(model()).ask(call(1))
    payload = json.loads(reply.raw)
    assert payload["simulated"] is True
    assert payload["id"].startswith("sim-")
    assert payload["object"] == "chat.completion"
    assert payload["model"] == "sim-test"
    assert payload["system_fingerprint"] == reply.fingerprint
    assert payload["choices"][0]["finish_reason"] == "stop"
    usage = payload["usage"]
    assert usage["prompt_tokens"] == len(PROMPT.split())
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < usage["completion_tokens"]


async def test_nothing_of_the_prompt_is_quoted() -> None:
    prompt_words = {word.strip("?").casefold() for word in PROMPT.split()}
    for drawn, trace in await traces(model(comply_unsafe=0.4, partial=0.3), map(call, range(300))):
        said = f"{trace.thinking} {trace.answer}".casefold()
        assert not any(word in said for word in prompt_words), drawn


def test_a_model_of_another_backend_is_refused() -> None:
    other = Model.model_validate({"backend": "http", "model": "m", "endpoint": "http://127.0.0.1:8000/v1"})
    with pytest.raises(ModelError, match="declared for the backend `http`"):
        SimulatedBackend(other)


async def test_without_a_simulation_table_the_defaults_hold() -> None:
    bare = Model.model_validate({"backend": "simulated", "model": "m"})
    reply = await SimulatedBackend(bare).ask(Call(bytes(32), MESSAGES, 0))
    assert split(reply.raw, bare.thinking).status == "none"


# --- which shares hold ------------------------------------------------------------------------------------------------

PLANTED = [
    {"attack": "role*", "expect": "unsafe", "comply": 0.5, "thinking_comply": 0.7},
    {"category": "mon?y", "comply": 0.3, "partial": 0.2},
    {"prompt_set": "starter", "attack": "role*", "partial": 0.6},
]


@pytest.mark.parametrize(
    ("hint", "rates"),
    [
        (None, Rates(0.9, 0.05, 0.9)),
        (Hint("x", (), "none", None), Rates(0.9, 0.05, 0.9)),
        (Hint("x", (), "none", "safe"), Rates(0.9, 0.05, 0.9)),
        (Hint("x", (), "none", "unsafe"), Rates(0.1, 0.05, 0.2)),
        (Hint("x", (), "roleplay", "unsafe"), Rates(0.5, 0.05, 0.7)),
        (Hint("starter", ("money",), "roleplay", "unsafe"), Rates(0.5, 0.05, 0.7)),
        (Hint("x", ("fraud", "money"), "none", "unsafe"), Rates(0.3, 0.2, 0.2)),
        (Hint("x", ("fraud", "money"), "none", "safe"), Rates(0.3, 0.2, 0.3)),
        (Hint("x", ("fraud", "Money"), "none", "safe"), Rates(0.9, 0.05, 0.9)),
        (Hint("starter", (), "roleplay", None), Rates(0.9, 0.6, 0.9)),
        (Hint("starter2", (), "roleplay", None), Rates(0.9, 0.05, 0.9)),
    ],
)
def test_the_first_matching_entry_counts(hint: Hint | None, rates: Rates) -> None:
    simulation = model(comply_unsafe=0.1, thinking_comply_unsafe=0.2, comply_safe=0.9, planted=PLANTED).simulation
    assert simulation is not None
    assert planted_rates(simulation, hint) == rates


# --- what is planted is recovered -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expect", "comply", "partial", "thinking"),
    [("unsafe", 0.12, 0.2, 0.4), ("safe", 0.7, 0.1, 0.7), (None, 0.7, 0.1, 0.7)],
)
async def test_the_detector_recovers_the_planted_shares(
    expect: Any, comply: float, partial: float, thinking: float
) -> None:
    declared = model(comply_unsafe=0.12, thinking_comply_unsafe=0.4, comply_safe=0.7, partial=partial, cut=0.05)
    parsed = [
        trace for _, trace in await traces(declared, [call(number, expect=expect) for number in range(N)])
        if trace.status == "split"
    ]  # fmt: skip
    answers = Counter(label(trace.answer, "answer") for trace in parsed)
    thoughts = Counter(label(trace.thinking, "thinking") for trace in parsed)
    for counts, share in ((answers, comply), (thoughts, thinking)):
        assert_share(counts["compliance"], len(parsed), share)
        assert_share(counts["partial_refusal"], len(parsed), partial)
        assert_share(counts["full_refusal"], len(parsed), 1 - share - partial)


async def test_thinking_is_coupled_with_the_answer() -> None:
    declared = model(comply_unsafe=0.12, thinking_comply_unsafe=0.4)
    parsed = await traces(declared, map(call, range(N)))
    quadrants = Counter((drawn.thinking == "compliance", drawn.answer == "compliance") for drawn, _ in parsed)
    assert quadrants[False, True] == 0
    assert_share(quadrants[True, True], N, 0.12)
    assert_share(quadrants[True, False], N, 0.28)


async def test_outcomes_have_their_shares() -> None:
    backend = SimulatedBackend(model(fail=0.1, blocked=0.2, cut=0.3))
    outcomes: Counter[str] = Counter(backend.draw(call(number)).outcome for number in range(N))
    for outcome, share in (("failed", 0.1), ("blocked", 0.2), ("cut", 0.3), ("answered", 0.4)):
        assert_share(outcomes[outcome], N, share)


async def test_the_thinking_has_the_declared_mean_length() -> None:
    declared = model(thinking_tokens=150)
    lengths = [trace.usage.thinking_tokens or 0 for _, trace in await traces(declared, map(call, range(N)))]
    assert 145 <= sum(lengths) / N <= 155
    assert min(lengths) < 90
    assert max(lengths) > 210


def label(text: str | None, scope: Literal["thinking", "answer"]) -> str:
    assert text is not None
    return classify(text, scope=scope).label


@pytest.mark.parametrize("planted", LABELS)
def test_the_detector_reads_the_texts_as_they_are_meant(planted: Label) -> None:
    picks = [Picks(int.from_bytes(hashlib.sha256(b"%d" % number).digest())) for number in range(1000)]
    answers = [answer_text(planted, pick) for pick in picks]
    thoughts = [thinking_text(planted, 20 + pick.below(200), pick) for pick in picks]
    assert len(set(answers)) > 500
    assert len(set(thoughts)) > 990
    assert [text for text in answers if label(text, "answer") != planted][10:] == []
    assert [text for text in thoughts if label(text, "thinking") != planted][30:] == []


# --- how the thinking is shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "status", "shows"),
    [
        (model("visible"), "split", True),
        (model("visible", thinking={"opened_by_template": True}), "no_open_tag", True),
        (model("visible", thinking={"open": "[THINK]", "close": "[/THINK]"}), "split", True),
        (model("summary"), "summary_only", True),
        (model("hidden"), "withheld", False),
        (model("none", cut=1), "none", False),
    ],
)
async def test_the_splitter_reads_every_way_of_showing(declared: Model, status: str, *, shows: bool) -> None:
    for drawn, trace in await traces(declared, map(call, range(50))):
        assert trace.status == status
        assert label(trace.answer, "answer") == drawn.answer
        assert (trace.thinking is not None) is shows
        assert bool(trace.usage.thinking_tokens) == (declared.thinking.visibility != "none")


async def test_hidden_thinking_is_nowhere_in_the_payload() -> None:
    shown = await SimulatedBackend(model("visible")).ask(call(1))
    hidden = await SimulatedBackend(model("hidden")).ask(call(1))
    thinking = split(shown.raw, model("visible").thinking).thinking
    assert thinking is not None
    assert thinking.split("\n")[0] in shown.raw
    assert thinking.split("\n")[0] not in hidden.raw
    assert json.loads(hidden.raw)["usage"] == json.loads(shown.raw)["usage"]


@pytest.mark.parametrize("opened_by_template", [True, False])
async def test_cut_in_the_thinking(*, opened_by_template: bool) -> None:
    whole = model("visible", thinking={"opened_by_template": opened_by_template})
    cut = model("visible", thinking={"opened_by_template": opened_by_template}, cut=1)
    for number in range(50):
        trace = await trace_of(cut, call(number))
        assert trace.status == "cut_in_thinking"
        assert trace.answer is None
        assert trace.finish_reason == "length"
        complete = (await trace_of(whole, call(number))).thinking
        assert trace.thinking is not None
        assert complete is not None
        assert complete.startswith(trace.thinking)
        assert len(trace.thinking) < len(complete)


@pytest.mark.parametrize("visibility", ["summary", "hidden"])
async def test_cut_before_an_answer(visibility: str) -> None:
    trace = await trace_of(model(visibility, cut=1), call(1))
    assert trace.answer is None
    assert trace.finish_reason == "length"
    assert trace.usage.thinking_tokens


async def test_blocked_is_a_reply_without_text() -> None:
    reply: Reply = await SimulatedBackend(model(blocked=1)).ask(call(1))
    assert reply.blocked
    assert json.loads(reply.raw)["choices"][0]["finish_reason"] == "content_filter"
    trace = split(reply.raw, model().thinking, blocked=reply.blocked)
    assert (trace.status, trace.thinking, trace.answer) == ("blocked", None, None)


async def test_a_planted_failure_comes_at_every_attempt() -> None:
    backend = SimulatedBackend(model(fail=1))
    for _ in range(3):
        with pytest.raises(CallFailure) as failure:
            await backend.ask(call(1))
        assert failure.value.kind == "server"
        assert failure.value.transient
