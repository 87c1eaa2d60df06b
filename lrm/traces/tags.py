"""Finds thinking between tags in a text, by position and never by search alone: prompts and answers quote the tags.

- An open tag counts when the text, after white space, begins with it. Blocks that follow each other at once are joined.
- A close tag with no open tag before it counts: the template, or a prefill, had written the open one.
- Open tags inside thinking are balanced: the close tag that brings the depth back to zero ends the block. Where the
  depth never comes back to zero, the last close tag ends it.
- No close tag, though the text begins with the open one or the template writes it: the whole text is thinking.
- Anything else has no tags: the text is left alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from lrm.registry.declarations import Thinking

_SPACE = re.compile(r"\s*")


class Tagged(NamedTuple):
    """What the tags of a text set apart."""

    opened: bool
    """The open tag is in the text; otherwise the template or a prefill had written it."""
    thinking: str
    """The blocks of thinking, without white space around them, joined by an empty line."""
    rest: str | None
    """What follows the last block; None where that block has no close tag."""


def read_tags(text: str, thinking: Thinking, *, leading_only: bool = False) -> Tagged | None:
    """Return what the declared tags set apart in `text`; None where there is nothing to set apart.

    `leading_only`: nothing counts but an open tag at the very beginning, because the server has taken out the rest.
    """
    open_tag, close_tag = thinking.open, thinking.close
    start = _skip_space(text, 0)
    if text.startswith(open_tag, start):
        return _blocks(text, start + len(open_tag), thinking, opened=True)
    if leading_only:
        return None
    if thinking.opened_by_template:
        return _blocks(text, 0, thinking, opened=False)
    close = text.find(close_tag)
    if close < 0 or text.find(open_tag, 0, close) >= 0:
        return None
    return _blocks(text, 0, thinking, opened=False)


def _blocks(text: str, start: int, thinking: Thinking, *, opened: bool) -> Tagged:
    """Return the blocks that follow each other at once, from `start`, which is inside the first one."""
    open_tag, close_tag = thinking.open, thinking.close
    blocks: list[str] = []
    while True:
        end = _block_end(text, start, open_tag, close_tag)
        blocks.append(text[start:end].strip())
        if end is None:
            return Tagged(opened, _joined(blocks), None)
        after = end + len(close_tag)
        start = _skip_space(text, after)
        if not text.startswith(open_tag, start):
            return Tagged(opened, _joined(blocks), text[after:])
        start += len(open_tag)


def _block_end(text: str, start: int, open_tag: str, close_tag: str) -> int | None:
    """Return where the close tag of the block around `start` begins: the balanced one, else the last one, else None."""
    close = text.find(close_tag, start)
    opened = text.find(open_tag, start)
    last, depth = None, 1
    while close >= 0:
        if 0 <= opened < close:
            depth += 1
            opened = text.find(open_tag, opened + len(open_tag))
            continue
        last, depth = close, depth - 1
        if depth == 0:
            break
        after = close + len(close_tag)
        if 0 <= opened < after:
            opened = text.find(open_tag, after)
        close = text.find(close_tag, after)
    return last


def _joined(blocks: list[str]) -> str:
    return "\n\n".join([block for block in blocks if block])


def _skip_space(text: str, start: int) -> int:
    """Return the index of the first character from `start` that is not white space."""
    found = _SPACE.match(text, start)
    return start if found is None else found.end()
