"""Text that would do something to who reads it: HTML, links that run code, signs that drive a terminal."""

from __future__ import annotations

import re

from lrm.text import visible

_COMMENT = re.compile(r"^<!-- [a-z0-9 -]+ -->$", re.MULTILINE)
_TAG = re.compile(r"<[A-Za-z/!?]")
_HEAD = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
# Only what Markdown takes for code whatever stands around it: fences that begin their lines, and words between two marks
# that are neither escaped nor part of a longer run.
_CODE = re.compile(r"^```[\w-]*\n.*?^```$|(?<![`\\])`[^`\n]+`(?!`)", re.DOTALL | re.MULTILINE)
_ADDRESS = re.compile(r"https?://[^\s&\\]*|#[\w-]*|[\w][\w./-]*")
_TARGET = re.compile(r"\]\(\s*<?([^)\s>]*)|^\s*\[[^\]]+\]:\s*(\S+)", re.MULTILINE)


def fault_in(text: str) -> str | None:
    """Return what is live in a card's Markdown; None where it is inert.

    Looked for are control and bidirectional signs, HTML outside code, and links that are no addresses.
    """
    if visible(text) != text:
        return "it holds control, invisible or bidirectional signs"
    # The head is YAML, which is shown to nobody as it stands.
    said = _COMMENT.sub("", _CODE.sub("", _HEAD.sub("", text)))
    if re.search(r"^\s*~~~", said, re.MULTILINE):
        return "it holds code in a form that lrm does not write"
    if found := _TAG.search(said):
        return f"it holds HTML: {said[found.start() : found.start() + 20]!r}"
    for target in _TARGET.finditer(said):
        found_there = target[1] or target[2] or ""
        if found_there and not _ADDRESS.fullmatch(found_there):
            return f"it holds a link that is no address: {found_there[:30]!r}"
    return None
