"""Frames: a payload without the texts that its trace has, so that a snapshot holds each text once.

Where a text stood there is a mark. Neither the payload nor the texts may hold marks themselves, so that putting the texts back
gives the payload byte for byte.
"""

from __future__ import annotations

LEAST = 24
"""A shorter text, in characters, stays where it is: it may stand in the payload by chance."""
_MARK = "\u2402lrm "
THINKING, ANSWER = f"{_MARK}thinking\u2403", f"{_MARK}answer\u2403"


def frame(raw: str, thinking: str, answer: str) -> str:
    """Return SQL of a payload's frame, given the SQL of it and of its trace's texts; the payload itself where it has none."""
    # Writers of JSON differ in how they write control signs, and agree on all others.
    none = f"contains({raw}, '\\u00') OR contains({raw}, '{_MARK}')"
    first, second = _without(raw, thinking, THINKING), _without(raw, answer, ANSWER)
    # The longer text first: a draft of the answer within the thinking goes with the thinking.
    both = (
        f"CASE WHEN coalesce(strlen({thinking}), 0) >= coalesce(strlen({answer}), 0) "
        f"THEN {_without(first, answer, ANSWER)} ELSE {_without(second, thinking, THINKING)} END"
    )
    return f"CASE WHEN {none} THEN {raw} ELSE {both} END"


def whole(frame: str, thinking: str, answer: str) -> str:
    """Return SQL of the payload that a frame and its trace's texts give, each given as SQL."""
    return (
        f"replace(replace({frame}, '{THINKING}', coalesce({_within(thinking)}, '')), "
        f"'{ANSWER}', coalesce({_within(answer)}, ''))"
    )


def _without(raw: str, text: str, mark: str) -> str:
    """Return SQL of a payload with a mark wherever a text stands; the payload where the text is short, absent or has marks."""
    fits = f"length({text}) >= {LEAST} AND NOT contains({text}, '{_MARK}')"
    return f"CASE WHEN {fits} THEN replace({raw}, {_within(text)}, '{mark}') ELSE {raw} END"


def _within(text: str) -> str:
    """Return SQL of a text as it stands within a JSON string."""
    return f"(to_json({text})::VARCHAR)[2:-2]"
