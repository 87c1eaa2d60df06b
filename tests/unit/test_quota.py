"""What headers say of quotas and waiting: every way of writing it that is known, and nonsense, which is unknown."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from lrm.backends.base import Quota
from lrm.backends.failures import from_status, retry_after_s
from lrm.backends.moments import LONGEST_S, seconds_until
from lrm.backends.quota import quota_of

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"  # 1445412480


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ("7", 7), ("2.5", 2.5), (" 7 ", 7), ("-3", 0), ("900000000", LONGEST_S),
        ("1s", 1), ("12ms", 0.012), ("6m0s", 360), ("2m59.56s", 179.56), ("1h2m3.5s", 3723.5), ("500us", 0.0005),
        ("250µs", 0.00025), ("1d", LONGEST_S), ("3d12h", LONGEST_S), ("1 m", 60),
        ("1445412510", 30), ("1445412510.5", 30.5), ("1445412510000", 30), ("1445412510000000", 30),
        ("1445412510000000000", 30), ("1445412470", 0), ("1545412470", LONGEST_S),
        ("2015-10-21T07:28:30Z", 30), ("2015-10-21T09:28:30+02:00", 30), ("2015-10-21T07:28:30.250", 30.25),
        ("Wed, 21 Oct 2015 07:29:00 GMT", 60), ("Wed, 21 Oct 2015 07:27:00 GMT", 0),
        ("Wednesday, 21-Oct-15 07:29:00 GMT", 60),
    ],
)  # fmt: skip
def test_durations_and_moments_are_seconds_from_the_responses_own_date(value: str, seconds: float) -> None:
    assert seconds_until(value, DATE) == pytest.approx(seconds, abs=1e-4)


@pytest.mark.parametrize(
    "value",
    ["", "soon", "nan", "inf", "1e9", "1_000", "5 minutes", "ms", "6m0", "9999-99-99T00:00:00Z", "١٢", "0x10", "Wed, 99 Oct",
     "9999-12-31T23:59:59-24:00", "1" * 400],
)  # fmt: skip
def test_what_says_no_time_is_unknown(value: str) -> None:
    assert seconds_until(value, DATE) is None


def test_without_a_date_that_can_be_read_our_clock_counts() -> None:
    for date in (None, "", "yesterday"):
        in_an_hour = seconds_until(formatdate(time.time() + 3600, usegmt=True), date)
        assert in_an_hour is not None
        assert 3500 < in_an_hour <= 3600


@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_no_text_raises_and_no_wait_is_negative_or_without_end(value: str, date: str | None) -> None:
    seconds = seconds_until(value, date)
    assert seconds is None or 0 <= seconds <= LONGEST_S


OPENAI = {
    "x-ratelimit-limit-requests": "500",
    "x-ratelimit-remaining-requests": "499",
    "x-ratelimit-remaining-tokens": "29000",
    "x-ratelimit-reset-requests": "120ms",
    "x-ratelimit-reset-tokens": "6m0s",
}


@pytest.mark.parametrize(
    ("headers", "quota"),
    [
        (OPENAI, Quota(499, 0.12, 29_000, 360.0)),
        ({f"llm_provider-{name}": value for name, value in OPENAI.items()}, Quota(499, 0.12, 29_000, 360.0)),
        ({"x-ratelimit-remaining-requests": "3"}, Quota(requests=3)),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "later"}, Quota(requests=0)),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "17"}, Quota(tokens=0, tokens_reset_s=17)),
        (
            {"anthropic-ratelimit-requests-remaining": "49", "anthropic-ratelimit-requests-reset": "2015-10-21T07:28:30Z",
             "anthropic-ratelimit-tokens-remaining": "10000", "anthropic-ratelimit-tokens-reset": "2015-10-21T07:29:00Z",
             "anthropic-ratelimit-input-tokens-remaining": "9000",
             "anthropic-ratelimit-output-tokens-remaining": "0",
             "anthropic-ratelimit-output-tokens-reset": "2015-10-21T07:28:12Z"},
            Quota(49, 30, 0, 12),
        ),
        ({"ratelimit-limit": "10", "ratelimit-remaining": "4", "ratelimit-reset": "50"}, Quota(4, 50)),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, Quota(50, 5)),
        ({"ratelimit": '"burst";r=20;t=1, "day";r=7;t=4000'}, Quota(7, 4000)),
        ({"ratelimit": '"requests";r=20;t=1, "tokens";r=900;t=40'}, Quota(20, 1, 900, 40)),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1445412510000"}, Quota(0, 30)),
        ({"x-ratelimit-remaining": "8", "x-tokenlimit-remaining": "70"}, Quota(requests=8, tokens=70)),
        (
            {"x-ratelimit-remaining-requests-day": "14300", "x-ratelimit-reset-requests-day": "33011.38",
             "x-ratelimit-remaining-tokens-minute": "59.0", "x-ratelimit-reset-tokens-minute": "11.38"},
            Quota(14_300, 33_011.38, 59, 11.38),
        ),
    ],
)  # fmt: skip
def test_each_providers_headers_are_read(headers: dict[str, str], quota: Quota) -> None:
    headers = {"date": DATE, **headers}
    assert quota_of(headers) == quota
    assert quota_of(CIMultiDict({name.title(): value for name, value in headers.items()})) == quota


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json", "date": DATE},
        {"x-ratelimit-limit-requests": "500", "x-ratelimit-reset-requests": "1s"},
        {"x-ratelimit-remaining-requests": "-1", "x-ratelimit-remaining-tokens": "unlimited"},
        {"x-ratelimit-remaining": "", "ratelimit-remaining": "9" * 400, "ratelimit": ';;"r"=,t'},
    ],
)
def test_headers_that_say_nothing_of_a_quota_are_none(headers: dict[str, str]) -> None:
    assert quota_of(headers) is None


NAMES = st.sampled_from(["ratelimit", "ratelimit-reset", "retry-after", "retry-after-ms", "date", *OPENAI])


@given(st.dictionaries(NAMES, st.text(max_size=30)))
def test_no_header_raises(headers: dict[str, str]) -> None:
    quota_of(headers)
    retry_after_s(headers)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "900000"}, LONGEST_S),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2", "retry-after-ms": "x"}, 2),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:09 GMT"}, 9),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_a_number_or_a_date_by_the_servers_clock(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s({"date": DATE, **headers}) == seconds


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        ({"message": "Rate limit reached. Please try again in 2m59.56s. Visit …"}, 179.56),
        ({"message": "Please try again in 120ms."}, 0.12),
        ({"message": "Please retry after 17 seconds."}, 17),
        ({"message": "Please wait 5 minutes before …"}, 300),
        ({"message": "Please try again in a while."}, None),
        ({"message": "Slow down.", "details": [{"@type": "…/google.rpc.RetryInfo", "retryDelay": "37s"}]}, 37),
        ({"message": "Slow down.", "details": ["x", {"retryDelay": 3}]}, None),
    ],
)
def test_a_wait_that_only_the_body_of_a_429_names_counts(error: dict[str, object], seconds: float | None) -> None:
    failure = from_status(429, {"error": error}, "", headers={}, secrets=())
    assert failure.retry_after_s == (None if seconds is None else pytest.approx(seconds))
    assert from_status(429, {"error": error}, "", headers={"retry-after": "1"}, secrets=()).retry_after_s == 1
    assert from_status(400, {"error": error}, "", headers={}, secrets=()).retry_after_s is None


def test_what_a_gateway_repeats_of_its_headers_in_the_body_counts() -> None:
    told = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1445412510000", "Date": DATE}
    error = {"message": "Rate limit exceeded", "code": 429, "metadata": {"headers": told}}
    assert from_status(429, {"error": error}, "", headers={}, secrets=()).quota == Quota(0, 30)
