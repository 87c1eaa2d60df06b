"""Text from models, files and people, made fit to store and safe to show."""

from __future__ import annotations

import re

_SURROGATES = re.compile("[\ud800-\udfff]")
# DEL and C1, soft hyphens, marks of direction, zero-width signs, separators, lone surrogates, tags.
_LIVE = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)

# Cc (C0, DEL, C1), bidirectional overrides and isolates, zero-width and invisible signs, line and paragraph separators, and
# selectors of variants that only emoji need (U+FE0E, U+FE0F), since the others can carry a hidden message.
_PICTURES: dict[int, str] = {code: chr(0x2400 + code) for code in range(0x20)}
_PICTURES |= {0x7F: "␡"}
_PICTURES |= dict.fromkeys(range(0x80, 0xA0), "�")
_INVISIBLE = [
    0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, *range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x2028, 0x202F),
    *range(0x2060, 0x2070), 0x3164, *range(0xFE00, 0xFE0E), 0xFEFF, 0xFFA0, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
    *range(0xE0100, 0xE01F0),
]  # fmt: skip
_PICTURES |= {code: f"⟨U+{code:04X}⟩" for code in _INVISIBLE}
_KEEP_LAYOUT = {code: sign for code, sign in _PICTURES.items() if code not in (0x09, 0x0A)}


def visible(text: str, *, one_line: bool = False) -> str:
    """Return `text` with every sign that could drive a terminal replaced by a picture of it.

    Escape, the other controls, bidirectional overrides and zero-width signs become visible; newline and tab stay unless
    `one_line`. Lone surrogates become U+FFFD.
    """
    return _SURROGATES.sub("�", text).translate(_PICTURES if one_line else _KEEP_LAYOUT)


def without_surrogates(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD, so that it can be encoded as UTF-8."""
    return _SURROGATES.sub("�", text)


def has_surrogates(text: str) -> bool:
    """Return whether `text` holds a lone surrogate, which UTF-8 cannot encode."""
    return _SURROGATES.search(text) is not None


def live_as_escapes(json_text: str) -> str:
    """Return JSON in which every sign that JSON leaves as it is and that could drive a terminal is written as an escape."""
    return _LIVE.sub(_escaped, json_text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
