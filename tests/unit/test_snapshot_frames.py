"""Frames: a payload without its texts, and whole again byte for byte, whatever is in either."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.snapshot.frames import ANSWER, LEAST, THINKING, frame, whole
from lrm.store.catalog import workspace

THOUGHT = "I should first look at what is asked, and then answer."
REPLY = "Here is what I found, in a few words: it is blue."


def framed(raw: str, thinking: str | None, answer: str | None) -> tuple[str | None, str | None]:
    """Return the frame, and what comes of putting the texts back; None where there is no frame."""
    connection = workspace()
    try:
        made = connection.execute(
            f"""
            SELECT f, {whole("f", "t", "a")}
            FROM (SELECT *, nullif({frame("r", "t", "a")}, r) AS f FROM (SELECT $r AS r, $t AS t, $a AS a))
            """,
            {"r": raw, "t": thinking, "a": answer},
        ).fetchall()[0]
    finally:
        connection.close()
    return made[0], made[1]


def payload(thinking: str | None, answer: str | None, *, ascii_only: bool = False) -> str:
    message = {"content": answer, "reasoning_content": thinking, "role": "assistant"}
    return json.dumps({"choices": [{"message": message}], "id": "x"}, ensure_ascii=ascii_only)


def test_both_texts_are_taken_out() -> None:
    made, back = framed(payload(THOUGHT, REPLY), THOUGHT, REPLY)
    assert made == payload(THINKING, ANSWER)
    assert back == payload(THOUGHT, REPLY)


def test_quotes_lines_and_letters_of_all_scripts_are_found() -> None:
    thinking = 'Line one,\n"quoted" \\ and a tab\t: ünïcode, 漢字, 🙂, /, \x7f.'
    raw = payload(thinking, None)
    made, back = framed(raw, thinking, None)
    assert made == payload(THINKING, None)
    assert back == raw


def test_a_text_that_stands_twice_is_taken_out_twice() -> None:
    raw = json.dumps({"reasoning": THOUGHT, "reasoning_content": THOUGHT, "content": REPLY})
    made, back = framed(raw, THOUGHT, REPLY)
    assert made is not None
    assert made.count(THINKING) == 2
    assert back == raw


@pytest.mark.parametrize("swapped", [False, True])
def test_one_text_within_the_other(swapped: bool) -> None:
    """The answer was drafted in the thinking, or quotes it: the longer one is taken out whole."""
    inner, outer = REPLY, f"A draft: {REPLY} That will do."
    thinking, answer = (inner, outer) if swapped else (outer, inner)
    raw = payload(thinking, answer)
    assert framed(raw, thinking, answer) == (payload(THINKING, ANSWER), raw)


def test_what_cannot_be_told_apart_stays_whole() -> None:
    # A short text may stand there by chance; control signs are written in more than one way; marks may be there already.
    short = "y" * (LEAST - 1)
    assert framed(payload(short, None), short, None) == (None, None)
    bell = f"\x07 {THOUGHT}"
    assert framed(payload(bell, None), bell, None) == (None, None)
    marked = f"{THOUGHT} {ANSWER}"
    assert framed(payload(marked, REPLY), marked, REPLY) == (None, None)
    # The same mark, spelt as an escape, is found by nobody who looks for it in the payload.
    raw = payload(marked, REPLY, ascii_only=True)
    assert framed(raw, marked, REPLY)[1] == raw
    assert framed(payload(THOUGHT, None), None, None) == (None, None)
    assert framed("no JSON at all", THOUGHT, REPLY) == (None, None)


PIECES = ["a", '"', "\\", "\n", "\x07", "é", "␂", "␃", "🙂", THINKING, ANSWER, " some longer words "]
TEXTS = st.none() | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@settings(deadline=None, max_examples=150)
@given(TEXTS, TEXTS, st.text(max_size=20), st.booleans())
def test_whatever_is_framed_is_whole_again(
    thinking: str | None, answer: str | None, more: str, ascii_only: bool
) -> None:
    raw = payload(
        f"{more}{thinking or ''}{more}",
        f"{answer or ''}{thinking or ''}",
        ascii_only=ascii_only or not more.isprintable(),
    )
    made, back = framed(raw, thinking, answer)
    assert (made is None) == (back is None)
    assert back in (None, raw)
    assert made is None or THINKING in made or ANSWER in made
