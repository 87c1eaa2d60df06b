"""What an error's status and body are called: the words of servers and providers, each in its own shape."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.backends.base import TRANSIENT, CallFailure, FailureClass
from lrm.backends.error_body import error_payload, error_text, says_blocked
from lrm.backends.failures import from_status


def said(message: str, code: str | None = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": None, "code": code, **more}}


def classed(status: int, payload: Any, body: str = "", **headers: str) -> FailureClass:
    return from_status(status, payload, body, headers=headers, secrets=()).kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "bad_request"), (401, "auth"), (402, "auth"), (403, "auth"), (404, "not_found"), (405, "bad_request"),
        (407, "auth"), (408, "timeout"), (409, "server"), (410, "not_found"), (413, "context_too_long"),
        (415, "bad_request"), (422, "bad_request"), (424, "server"), (425, "server"), (429, "rate_limited"),
        (451, "bad_request"), (498, "rate_limited"), (500, "server"), (501, "server"), (502, "server"), (503, "server"),
        (504, "server"), (520, "server"), (521, "server"), (522, "server"), (523, "server"), (524, "server"),
        (529, "rate_limited"), (530, "server"), (302, "bad_request"), (307, "bad_request"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("payload", [None, {}, {"error": "No."}, {"detail": "No."}, {"error": None}])
def test_a_status_by_itself_has_its_class(status: int, kind: FailureClass, payload: Any) -> None:
    assert classed(status, payload) == kind
    assert classed(status, payload, "<html><body>" + "x" * 10_000) == kind


def test_a_503_that_says_how_long_is_a_limit() -> None:
    assert classed(503, None, **{"retry-after": "3"}) == "rate_limited"


LIMITED: list[tuple[int, dict[str, Any]]] = [
    (429, said("You exceeded your current quota, please check your plan.", status="RESOURCE_EXHAUSTED")),
    (429, said("Rate limit reached for requests.", "rate_limit_exceeded")),
    (400, {"__type": "com.amazon.coral.availability#ThrottlingException", "message": "Too many requests"}),
    (500, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    (503, said("The engine is overloaded.", "engine_overloaded_error")),
    (403, said("Too many.", "rate_limit_exceeded")),
]
NOT_ALLOWED: list[tuple[int, dict[str, Any]]] = [
    (429, said("You exceeded your current quota, please check your plan.", "insufficient_quota")),
    (429, said("Your account is suspended.", type="exceeded_current_quota_error")),
    (400, said("Your credit balance is too low to access the API.", type="invalid_request_error")),
    (400, said("Access denied.", "Arrearage")),
    (400, said("API key not valid.", status="INVALID_ARGUMENT", details=[{"reason": "API_KEY_INVALID"}])),
    (400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xai-…"}),
    (400, {"__type": "UnrecognizedClientException", "message": "The security token is invalid."}),
]
UNKNOWN_MODEL: list[tuple[int, dict[str, Any]]] = [
    (400, said("The model `x` does not exist.", "model_not_found")),
    (400, said("Model Not Exist")),
    (400, said("acme/x is not a valid model ID", code=None)),
    (400, said("The model `x` has been decommissioned.", "model_decommissioned")),
    (404, said("The API deployment does not exist.", "DeploymentNotFound")),
]
TOO_LONG: list[tuple[int, Any]] = [
    (400, said("This model's maximum context length is 4096 tokens.", "context_length_exceeded")),
    (400, said("The decoder prompt (length 5000) is longer than the maximum model length of 4096.")),
    (400, {"object": "error", "message": "max_tokens must be at least 1, got -904.", "code": 400}),
    (400, said("The input (9000 tokens) is longer than the model's context length (4096 tokens).")),
    (400, said("Input length (9000 tokens) exceeds the maximum allowed length (4090 tokens).")),
    (400, said("request (9000 tokens) exceeds the available context size (4096 tokens)", type="exceed_context_size_error")),
    (500, said("the request exceeds the available context size. try increasing the context size")),
    (500, said("input prompt is too big compared to KV size")),
    (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.", "error_type": "validation"}),
    (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 3000"}),
    (400, {"error": "prompt too long; exceeded max context length by 12 tokens"}),
    (400, said("prompt is too long: 210000 tokens > 200000 maximum", type="invalid_request_error")),
    (400, said("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000")),
    (413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}),
    (400, [said("The input token count (1050000) exceeds the maximum number of tokens allowed (1048576).")]),
    (400, {"message": "Input is too long for requested model."}),
    (400, said("Provider returned error", code=None, metadata={"raw": '{"message": "prompt is too long"}'})),
    (422, {"detail": [{"loc": ["body"], "msg": "Prompt contains 40000 tokens, too large for model with 32768 maximum context length"}]}),
    (429, said("Request too large for m on tokens per min (TPM): Limit 30000, Requested 50000.", "rate_limit_exceeded")),
]  # fmt: skip
KINDS: list[tuple[FailureClass, list[tuple[int, Any]]]] = [
    ("rate_limited", LIMITED), ("auth", NOT_ALLOWED), ("not_found", UNKNOWN_MODEL), ("context_too_long", TOO_LONG),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "status", "payload"),
    [(kind, status, payload) for kind, cases in KINDS for status, payload in cases],
)
def test_what_a_provider_says_counts_more_than_its_status(kind: FailureClass, status: int, payload: Any) -> None:
    payload = payload[0] if isinstance(payload, list) else payload
    assert classed(status, payload) == kind
    assert not says_blocked(payload)


BLOCKED: list[dict[str, Any]] = [
    said("The response was filtered.", "content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
    said("The prompt triggered Azure OpenAI's content management policy."),
    said("Invalid prompt: it was flagged as potentially violating our usage policy.", "invalid_prompt"),
    said("Your request was rejected by our safety system.", "content_policy_violation"),
    {"error": {"code": 403, "message": "Flagged.", "metadata": {"reasons": ["x"], "flagged_input": "…"}}},
    {"code": "forbidden", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"},
    said("Content Exists Risk", type="invalid_request_error"),
    said("The request was rejected because it was considered high risk", type="content_filter"),
    said("Input data may contain inappropriate content.", "data_inspection_failed"),
]


@pytest.mark.parametrize("payload", BLOCKED)
def test_a_content_filter_is_recognised(payload: dict[str, Any]) -> None:
    assert says_blocked(payload)


@pytest.mark.parametrize(
    "payload",
    [
        said("Your account was suspended: it was flagged as violating our policy."),
        said("Your access was terminated due to inappropriate content."),
        said("No such field: content_filter."),
        said("invalid_prompt", "invalid_prompt"),
        {"error": {"code": 403, "message": "No.", "metadata": {}}},
        {},
        None,
    ],
)
def test_what_concerns_more_than_one_call_is_no_content_filter(payload: Any) -> None:
    assert not says_blocked(payload)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('[{"error": {"code": 429, "message": "Slow."}}]', "Slow."),
        ('{"detail": [{"msg": "Field required"}, {"msg": "Too small"}]}', "Field required; Too small"),
        ('{"error": {"message": {"detail": "Inner."}}}', "Inner."),
        ('{"error": "Loading."}', "Loading."),
        ('{"Message": "User is not authorised."}', "User is not authorised."),
        ("[1, 2]", "[1, 2]"),
        ("[", "["),
        ("<p>Bad gateway</p>", "<p>Bad gateway</p>"),
        ('{"a": 1}', '{"a": 1}'),
    ],
)
def test_the_words_of_a_body_are_found(body: str, text: str) -> None:
    assert error_text(error_payload(body), body) == text


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["error", "message", "code", "type", "detail", "details", "metadata", "headers", "raw", "innererror"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.integers(300, 599), ANY_JSON)
def test_no_body_raises_and_each_has_a_class(status: int, payload: Any) -> None:
    says_blocked(payload)
    assert isinstance(from_status(status, payload, "", headers={}, secrets=()), CallFailure)


@pytest.mark.parametrize("kind", sorted(TRANSIENT))
def test_a_final_failure_is_not_tried_again_whatever_its_class(kind: FailureClass) -> None:
    assert CallFailure(kind, "x").transient
    assert not CallFailure(kind, "x", final=True).transient
