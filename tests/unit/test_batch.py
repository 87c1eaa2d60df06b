"""Batches without a provider: lines of requests and of responses, what is refused, prices, and the catalog's rows."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lrm import hashing
from lrm.backends.base import Call, CallFailure, Reply
from lrm.backends.batch import BatchApi
from lrm.backends.batch_lines import Reader, members_of
from lrm.errors import ModelError
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id
from lrm.run import batches
from lrm.store.batches import CallRows, calls_of, intend, open_batch_calls, open_models, put_batches, take_over
from lrm.store.card import card_of
from lrm.store.catalog import Catalog
from lrm.store.journal import BatchNote
from lrm.store.live import living
from tests import builders

ID = "ab" * 32
KEY = "secret-key-1234"
READER = Reader((KEY,), lambda payload: 0.5 if payload.get("model") == "priced" else None)


def line(status: int = 200, body: str = "{}", **more: Any) -> bytes:
    """Return a line of a file of responses, with the body as it is written."""
    rest = "".join(f', "{name}": {json.dumps(value)}' for name, value in more.items())
    return f'{{"custom_id": "{ID}", "response": {{"status_code": {status}, "body": {body}}}{rest}}}\n'.encode()


def result(written: bytes) -> Reply | CallFailure:
    """Return what a line says of its call."""
    read = READER.read(written)
    assert read is not None
    assert read.call == bytes.fromhex(ID)
    return read.result


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("{}", {}),
        (' { "a" : 1.50 , "b":{"c": [1, 2 ]} } ', {"a": "1.50", "b": '{"c": [1, 2 ]}'}),
        ('{"a": "}, \\" {", "a": "\\ud83d"}', {"a": '"\\ud83d"'}),
        ('{"n": NaN, "e": 1e999, "t": "a\tb"}', {"n": "NaN", "e": "1e999", "t": '"a\tb"'}),
    ],
)
def test_members_are_cut_out_as_they_stand(text: str, members: dict[str, str]) -> None:
    assert members_of(text) == members


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", '{"a"}', '{"a": 1', '{"a": 1,}', '{"a": 1} {}', "{1: 2}", '{"a" 1}', "{'a': 1}"]
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        members_of(text)


def test_a_body_is_kept_as_it_was_received() -> None:
    body = (
        '{ "choices" : [ {"message": {"content": "caf\\u00e9 \U0001f600"}, "finish_reason":"stop"} ], '
        '"x": 1.0e0,  "system_fingerprint": "fp" }'
    )
    reply = result(line(body=body, error=None))
    assert isinstance(reply, Reply)
    assert reply.raw == body
    assert reply.fingerprint == "fp"
    assert not reply.blocked


def test_what_a_reply_costs_and_counts_is_read() -> None:
    reply = result(line(body=builders.payload(model="priced")))
    assert isinstance(reply, Reply)
    assert reply.cost == 0.5
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (3, 5)


def test_a_body_that_is_text_is_read_as_what_the_text_says() -> None:
    body = builders.payload("half a sign: \\ud83d")
    reply = result(line(body=json.dumps(body)))
    assert isinstance(reply, Reply)
    assert reply.raw == body


def test_the_key_is_not_kept() -> None:
    reply = result(line(body=builders.payload(f"It is {KEY}.")))
    assert isinstance(reply, Reply)
    assert KEY not in reply.raw
    failure = result(line(401, json.dumps({"error": {"message": f"Wrong key: {KEY}"}})))
    assert isinstance(failure, CallFailure)
    assert KEY not in failure.message


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (line(429, '{"error": {"message": "Slow down.", "code": "rate_limit_exceeded"}}'), "rate_limited"),
        (line(500, '"It broke."'), "server"),
        (line(401, '{"error": {"message": "Wrong key."}}'), "auth"),
        (line(404, '{"error": {"message": "No such model.", "code": "model_not_found"}}'), "not_found"),
        (line(400, '{"error": {"message": "Too long.", "code": "context_length_exceeded"}}'), "context_too_long"),
        (line(400, '{"error": {"message": "No such field."}}'), "bad_request"),
        (line(200, '{"choices": []}'), "bad_payload"),
        (line(200, "[1]"), "bad_payload"),
        (line(200, '{"error": {"message": "Busy.", "code": 503}}'), "server"),
        (
            f'{{"custom_id": "{ID}", "response": null, "error": {{"code": "batch_expired", "message": "Late."}}}}'.encode(),
            "timeout",
        ),
        (f'{{"custom_id": "{ID}", "response": null, "error": {{"code": "batch_cancelled"}}}}'.encode(), "server"),
        (f'{{"custom_id": "{ID}", "error": {{"code": "invalid_api_key", "message": "No."}}}}'.encode(), "auth"),
        (f'{{"custom_id": "{ID}"}}'.encode(), "server"),
        (f'{{"custom_id": "{ID}", "response": {{"status_code": "200", "body": {{}}}}}}'.encode(), "server"),
    ],
)
def test_a_line_that_is_no_reply_is_a_failure_of_its_class(written: bytes, kind: str) -> None:
    failure = result(written)
    assert isinstance(failure, CallFailure)
    assert failure.kind == kind
    assert failure.message


@pytest.mark.parametrize(
    "written",
    [
        line(400, '{"error": {"message": "Filtered.", "code": "content_filter"}}'),
        line(200, '{"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}'),
    ],
)
def test_a_refusal_by_the_provider_is_a_result(written: bytes) -> None:
    reply = result(written)
    assert isinstance(reply, Reply)
    assert reply.blocked


@pytest.mark.parametrize(
    "written",
    [
        b"", b"<html>", b"[]", b"{}", b'{"custom_id": 7}', b'{"custom_id": "xyz"}', b'{"custom_id": "ab"}', b"\xff\xfe",
        b'{"custom_id": "' + ID.encode(), b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_line_that_names_no_call_says_nothing(written: bytes) -> None:
    assert READER.read(written) is None


def declared(**fields: Any) -> Model:
    """Return a model that is asked by batches."""
    return Model.model_validate({"backend": "litellm", "batch": True, "endpoint": "http://127.0.0.1:9/v1", **fields})


def lines_of(model: Model, *messages: str, replicate: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """Return the endpoints and lines of calls."""

    async def write() -> list[tuple[str, dict[str, Any]]]:
        api = BatchApi(model)
        try:
            made = [api.line(Call(bytes(32), one, replicate)) for one in messages]
        finally:
            await api.close()
        return [(endpoint, json.loads(written)) for endpoint, written in made]

    return asyncio.run(write())


CONVERSATION = '[{"content":"Tell me about subject 7.","role":"user"}]'


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({"model": "openai/m"}, {}),
        (
            {
                "model": "hosted_vllm/m",
                "sampling": {"temperature": 0.5, "top_k": 3, "seed": 5},
                "extra_body": {"x": [1]},
            },
            {"temperature": 0.5, "top_k": 3, "seed": 7, "x": [1]},
        ),
        (
            {"model": "hosted_vllm/m", "thinking": {"switch": {"enable_thinking": False}}},
            {"chat_template_kwargs": {"enable_thinking": False}},
        ),
        ({"model": "openai/m", "sampling": {"seed": 5}, "extra_body": {"seed": 9}}, {"seed": 9}),
    ],
)
def test_a_line_holds_what_is_declared(fields: dict[str, Any], body: dict[str, Any]) -> None:
    [(endpoint, written)] = lines_of(declared(**fields), CONVERSATION, replicate=2)
    assert endpoint == written["url"] == "/v1/chat/completions"
    assert written["custom_id"] == "00" * 32
    assert written["method"] == "POST"
    assert written["body"] == {"model": "m", "messages": json.loads(CONVERSATION), **body}


def test_a_name_of_a_field_is_the_one_that_litellm_sends() -> None:
    [(_, written)] = lines_of(declared(model="openai/o3", sampling={"max_tokens": 9}), CONVERSATION)
    assert written["body"]["max_completion_tokens"] == 9
    assert "max_tokens" not in written["body"]


def test_a_whole_prompt_goes_to_the_endpoint_of_completions() -> None:
    raw = '[{"content":"User: hello\\nGuard:","role":"raw"}]'
    [(endpoint, written)] = lines_of(declared(model="openai/m", sampling={"max_tokens": 4}), raw)
    assert endpoint == "/v1/completions"
    assert written["body"] == {"model": "m", "prompt": "User: hello\nGuard:", "max_tokens": 4}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("anthropic/claude-3-5-haiku-20241022", "cannot make any"),
        ("mistral/mistral-small", "paid for twice"),
        ("vertex_ai/gemini-2.0-flash", "paid for twice"),
        ("bedrock/anthropic.claude-3-haiku-20240307-v1:0", "paid for twice"),
        ("xai/grok-3", "not been tried"),
        ("groq/llama-3.3-70b", "none of its batches"),
    ],
)
def test_a_provider_without_batches_is_refused_by_name(name: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    with pytest.raises(ModelError, match=said) as raised:
        lines_of(declared(model=name, api_key_env="SOME_KEY"), CONVERSATION)
    assert "azure" in str(raised.value.hint)


def test_a_provider_without_a_server_of_its_own_needs_an_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", "http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="needs `endpoint`"):
        lines_of(declared(model="hosted_vllm/m", endpoint=None), CONVERSATION)


def test_what_litellm_would_refuse_is_said_before_anything_is_sent() -> None:
    with pytest.raises(ModelError, match="does not support parameters"):
        lines_of(declared(model="openai/gpt-4o", thinking={"budget_tokens": 100}), CONVERSATION)


def price_of(model: str, usage: Any) -> float | None:
    """Return what a reply of a model costs."""

    async def read() -> float | None:
        api = BatchApi(declared(model=model))
        await api.close()
        return api.reader.cost({"usage": usage})

    return asyncio.run(read())


USED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


@pytest.mark.parametrize(
    ("model", "usage", "dollars"),
    [
        ("openai/gpt-4o", USED, 1000 * 1.25e-6 + 100 * 5e-6),
        ("openai/my-own-model", USED, None),  # half of a price is not assumed, nor any price
        ("openai/gpt-3.5-turbo", USED, None),  # a price, and none for batches
        ("openai/gpt-4o", {"prompt_tokens": 5}, None),
        ("openai/gpt-4o", {"prompt_tokens": "many", "completion_tokens": 3}, None),
        ("openai/gpt-4o", None, None),
    ],
)
def test_a_batch_costs_what_the_table_says_of_batches(model: str, usage: Any, dollars: float | None) -> None:
    found = price_of(model, usage)
    assert found == (None if dollars is None else pytest.approx(dollars))


# --- rows -------------------------------------------------------------------------------------------------------------

MODEL = declared(model="openai/m")
NAMED = model_id(MODEL)


def calls(count: int) -> list[Call]:
    """Return calls to the model."""
    made = []
    for n in range(count):
        messages = hashing.canonical([{"content": f"Tell me about subject {n}.", "role": "user"}]).decode()
        made.append(Call(hashing.call_id(NAMED, hashing.messages_text_id(messages), 0), messages, 0))
    return made


def intended(catalog: Catalog, key: str, run: str, several: list[Call]) -> None:
    """Note a batch in the catalog."""
    rows = CallRows()
    for call in several:
        rows.add(call)
    intend(catalog, run, key, NAMED, card_of("m", MODEL), rows)


def states(catalog: Catalog) -> list[Any]:
    """Return the batches of a catalog."""
    with catalog.reading() as connection:
        return connection.execute("SELECT key, id, state, ended_at, run FROM lrm.batches ORDER BY key").fetchall()


def test_an_intended_batch_has_its_calls_in_the_catalog(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "c.duckdb")
    several = calls(3)
    intended(catalog, "one", "r1", several[:2])
    intended(catalog, "two", "r1", several[2:])
    assert states(catalog) == [("one", None, "intended", None, "r1"), ("two", None, "intended", None, "r1")]
    with catalog.reading() as connection:
        assert open_models(connection) == {NAMED: 3}
        assert connection.execute(
            f"SELECT batch, count(*) FROM ({open_batch_calls()}) GROUP BY ALL ORDER BY ALL"
        ).fetchall() == [
            ("one", 2),
            ("two", 1),
        ]
        assert connection.execute("SELECT count(generation_n), count(*) FROM lrm.calls").fetchall() == [(0, 3)]
    found, answered = calls_of(catalog, "one", [call.id for call in several] + [bytes(32)])
    assert list(found.values()) == several[:2]
    assert not answered


def note(key: str, state: str, *, id: str | None = None) -> BatchNote:  # noqa: A002  the journal's name
    """Return a line of a journal."""
    made = BatchNote(batch=key, state=state, at=1_760_000_000_000_000)
    if id is not None:
        made["id"] = id
    return made


@pytest.mark.parametrize(
    ("notes", "state", "ended"),
    [
        ([note("k", "sent", id="b1")], ("b1", "sent"), False),
        ([note("k", "sent", id="b1"), note("k", "collected")], ("b1", "collected"), True),
        ([note("k", "collected"), note("k", "sent", id="b1")], (None, "collected"), True),
        ([note("k", "lost"), note("k", "intended")], (None, "lost"), True),
        ([note("k", "sent", id="b1")] * 2, ("b1", "sent"), False),
        ([note("other", "collected"), note("k", "nonsense")], (None, "intended"), False),
        ([BatchNote(batch="k", state="lost")], (None, "lost"), False),
    ],
)
def test_a_batch_only_goes_forward(tmp_path: Path, notes: list[BatchNote], state: tuple[str, str], ended: bool) -> None:
    catalog = Catalog(tmp_path / "c.duckdb")
    intended(catalog, "k", "r1", calls(1))
    with catalog.writing() as connection:
        put_batches(connection, notes)
    [(_, found, became, at, _)] = states(catalog)
    assert (found, became) == state
    moment = datetime.fromtimestamp(1_760_000_000, UTC).replace(tzinfo=None)
    assert at == (moment if ended else None)


def test_open_batches_pass_to_the_next_run_but_not_those_of_a_live_one(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path / "c.duckdb")
    several = calls(4)
    for name, call in zip(("dead", "done", "live", "sent"), several, strict=True):
        intended(catalog, name, f"r-{name}", [call])
    with catalog.writing() as connection:
        put_batches(connection, [note("done", "collected"), note("sent", "sent", id="b7")])
    with living(catalog, "r-live"), living(catalog, "mine"):
        taken = take_over(catalog, "mine", NAMED)
        assert [(one.key, one.id, one.calls) for one in taken] == [("dead", None, 1), ("sent", "b7", 1)]
        assert [one.key for one in take_over(catalog, "mine", NAMED)] == ["dead", "sent"]  # and stay its own
    assert {row[0]: row[4] for row in states(catalog)} == {
        "dead": "mine", "done": "r-done", "live": "r-live", "sent": "mine",
    }  # fmt: skip
    assert take_over(catalog, "mine", bytes(32)) == ()


@pytest.mark.parametrize(
    ("most_calls", "most_bytes", "cuts"), [(2, 10**9, [2, 2, 1]), (100, 25, [2, 2, 1]), (100, 1, [1] * 5)]
)
def test_a_draft_is_full_by_calls_or_bytes(
    monkeypatch: pytest.MonkeyPatch, most_calls: int, most_bytes: int, cuts: list[int]
) -> None:
    monkeypatch.setattr(batches, "MOST_CALLS", most_calls)
    monkeypatch.setattr(batches, "MOST_BYTES", most_bytes)
    drafts: list[batches.Draft] = []
    for call in calls(5):
        if not drafts or not drafts[-1].has_room(b"0123456789"):
            drafts.append(batches.Draft("/v1"))
        drafts[-1].add(call, b"0123456789")
    for draft in drafts:
        draft.file.close()
    assert [len(draft.rows) for draft in drafts] == cuts
