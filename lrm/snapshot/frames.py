"""Frames: a payload without the texts that its trace has, so that a snapshot holds each text once.

Where a text stood there is a mark, which the payload must not hold already: putting the texts back gives it byte for byte.
"""

from __future__ import annotations

LEAST = 24
"""A shorter text, in characters, stays where it is: it may stand in the payload by chance."""
_MARK = "\u2402lrm "
THINKING, ANSWER = f"{_MARK}thinking\u2403", f"{_MARK}answer\u2403"
_START = 32
"""Characters by which a text is looked for: a search for a long one costs more than comparing where a short one stands."""


def frame_of(raw: str, thinking: str | None, answer: str | None) -> str | None:
    """Return a payload's frame, given its trace's texts; None where it has none."""
    # Writers of JSON differ in how they write control signs, and agree on all others.
    if "\\u00" in raw or _MARK in raw:
        return None
    marked = raw
    for text, mark in ((thinking, THINKING), (answer, ANSWER)):
        if text is not None and len(text) >= LEAST:
            inner = _within(text)
            at = marked.find(inner[:_START])
            if at >= 0 and marked[at : at + len(inner)] == inner:
                marked = marked[:at] + mark + marked[at + len(inner) :]
    return marked if len(marked) < len(raw) else None


def whole_of(frame: str, thinking: str | None, answer: str | None) -> str:
    """Return the payload that a frame and its trace's texts give."""
    return frame.replace(THINKING, _within(thinking or "")).replace(ANSWER, _within(answer or ""))


def whole(frame: str, thinking: str, answer: str) -> str:
    """Return SQL of the payload that a frame and its trace's texts give, each given as SQL. As `whole_of`."""
    inner = "coalesce((to_json({0})::VARCHAR)[2:-2], '')"
    return f"replace(replace({frame}, '{THINKING}', {inner.format(thinking)}), '{ANSWER}', {inner.format(answer)})"


def _within(text: str) -> str:
    """Return a text as it stands within a JSON string."""
    import orjson

    return orjson.dumps(text).decode()[1:-1]
