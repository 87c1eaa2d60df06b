"""Why a thinking or an answer is not there, in plain words: the sentence that a screen shows in its place."""

from __future__ import annotations

from lrm.traces.trace import ParseStatus

REFUSED = "the provider refused to let the model answer"
UNREADABLE = "the provider's payload is of no form that can be read; the raw payload is kept"
UNSPLIT = "the response has not been split into thinking and answer yet"


def no_response(state: str, failure: str | None) -> str:
    """Return why a cell has no response: `failure` is the class of its last failure."""
    if state == "failed":
        return f"there is no response: asking failed ({failure or 'of an unknown kind'}); the next fill asks again"
    return "there is no response yet: this cell has not been asked"


UNKNOWN = "its parse status is none that this version knows: the catalog may come from a newer one"


def no_thinking(  # noqa: PLR0911 -- one for each status
    status: ParseStatus | str | None, thinking: str | None, thinking_tokens: int | None
) -> str | None:
    """Return why there is no thinking, or why what is there is not all of it; None where nothing is to be said."""
    if status is None:
        return UNSPLIT
    match status:
        case "split" | "no_open_tag" | "empty_answer":
            return None if thinking else "the model returned no thinking"
        case "cut_in_thinking":
            return None if thinking else "the reply was cut off before any of its thinking could be told from an answer"
        case "empty_thinking":
            return "the model returned no thinking: the place for it is there, and nothing is in it"
        case "summary_only":
            return "only a summary: the provider does not show the thinking itself"
        case "withheld":
            counted = "" if thinking_tokens is None else f", which counts {thinking_tokens:,} tokens of it"
            return f"withheld by the provider{counted}"
        case "none":
            return None if thinking else "the model returned no thinking, and none was declared for it"
        case "not_shown":
            return "the model is declared to think, and the response has neither thinking nor a count of it"
        case "blocked":
            return None if thinking else REFUSED
        case "unreadable":
            return UNREADABLE
        case _:
            return UNKNOWN


def no_answer(  # noqa: PLR0911 -- one for each status
    status: ParseStatus | str | None, answer: str | None, finish_reason: str | None
) -> str | None:
    """Return why there is no answer; None where there is one, even after a refusal of the provider's."""
    if answer:
        return None
    if status is None:
        return UNSPLIT
    match status:
        case "cut_in_thinking":
            return "cut off in the thinking: there is no answer"
        case "empty_answer":
            return "the model stopped by itself after its thinking: the answer is empty"
        case "blocked":
            return REFUSED
        case "unreadable":
            return UNREADABLE
        case "split" | "no_open_tag" | "empty_thinking" | "summary_only" | "withheld" | "none" | "not_shown":
            ended = "" if finish_reason is None else f"; the provider says that it ended with `{finish_reason}`"
            return ("the response has no answer" if answer is None else "the answer is empty") + ended
        case _:
            return UNKNOWN
