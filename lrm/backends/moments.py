"""Reads the durations and the points in time that servers write in headers, as seconds from when the response came.

A point in time is taken relative to the response's own `Date` where there is one: a server's two clocks agree, and ours
may be wrong. Nothing is negative or longer than a day; what cannot be read is None, never an exception.

Formats: seconds, durations as Go writes them (`6m0s`, `1h2m3.5s`, `12ms`), Unix time in seconds to nanoseconds, RFC 3339,
and HTTP dates (RFC 9110, 5.6.7).
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 86_400.0
"""Longer waits are given as this."""

_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{0,20})?", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,12}(?:\.\d{1,12})?\s?(?:ns|us|µs|ms|s|m|h|d)\s?)+", re.ASCII)
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s?(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST_MOMENT = 40
_EPOCH_FROM = 1e9
"""From here a number is a Unix time (September 2001), not a duration (31 years)."""
_EPOCH_SECONDS_END = 1e11
"""From here a Unix time is in milliseconds or smaller parts."""


def seconds_until(value: str, date: str | None = None) -> float | None:
    """Return the seconds, from 0 to a day, that a duration lasts or until a point in time; None where it is neither.

    `date`: the value of the response's `Date` header; our own clock where it is missing or cannot be read.
    """
    value = value.strip()
    if _NUMBER.fullmatch(value):
        number = float(value)
        if number < _EPOCH_FROM:
            return _within_a_day(number)
        while number >= _EPOCH_SECONDS_END:
            number /= 1000
        return _within_a_day(number - _now(date))
    if _DURATION.fullmatch(value):
        return _within_a_day(sum(float(number) * _UNIT_S[unit] for number, unit in _PIECE.findall(value)))
    moment = _moment(value)
    return None if moment is None else _within_a_day(moment - _now(date))


def _now(date: str | None) -> float:
    said = None if date is None else _moment(date)
    return time.time() if said is None else said


def _moment(text: str) -> float | None:
    """Return the Unix time of an RFC 3339 time or an HTTP date; None for anything else."""
    if len(text) > _LONGEST_MOMENT:
        return None
    try:
        when = datetime.fromisoformat(text) if text[4:5] == "-" else parsedate_to_datetime(text)
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None


def _within_a_day(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_S)
