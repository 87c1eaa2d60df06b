"""Transforms that replace or reorder letters by a rule that can be undone."""

from __future__ import annotations

import re
import string
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from lrm.attacks.transforms import transform

_WEI = "Wei et al. 2023, arXiv:2307.02483"
_YUAN = "Yuan et al. 2023 (CipherChat), arXiv:2308.06463"
_LOWER, _UPPER = string.ascii_lowercase, string.ascii_uppercase
_ATBASH = str.maketrans(_LOWER + _UPPER, _LOWER[::-1] + _UPPER[::-1])
_ROT47 = {code: 33 + (code - 33 + 47) % 94 for code in range(33, 127)}


def _shifted(text: str, shift: int) -> str:
    turn = shift % 26
    table = str.maketrans(_LOWER + _UPPER, _LOWER[turn:] + _LOWER[:turn] + _UPPER[turn:] + _UPPER[:turn])
    return text.translate(table)


@transform("rot13", "Turn each ASCII letter 13 places on.", source=_WEI)
def rot13(prompt: str, /) -> str:
    """Return the text, which the same transform turns back."""
    return _shifted(prompt, 13)


@transform("rot47", "Turn each visible ASCII character 47 places on.")
def rot47(prompt: str, /) -> str:
    """Return the text, which the same transform turns back."""
    return prompt.translate(_ROT47)


@transform("caesar", "Turn each ASCII letter `shift` places on.", source=_YUAN)
def caesar(prompt: str, /, *, shift: Annotated[int, Field(ge=-25, le=25)] = 3) -> str:
    """Return the text, which the negative shift turns back."""
    return _shifted(prompt, shift)


@transform("atbash", "Mirror the ASCII alphabet: a becomes z.", source=_YUAN)
def atbash(prompt: str, /) -> str:
    """Return the text, which the same transform turns back."""
    return prompt.translate(_ATBASH)


@transform("vigenere", "Turn each ASCII letter on by the place of the key's next letter.")
def vigenere(prompt: str, /, *, key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+$")]) -> str:
    """Return the text; only letters use up letters of the key."""
    shifts = [_LOWER.index(letter) for letter in key.lower()]
    signs: list[str] = []
    used = 0
    for sign in prompt:
        if sign.isascii() and sign.isalpha():
            signs.append(_shifted(sign, shifts[used % len(shifts)]))
            used += 1
        else:
            signs.append(sign)
    return "".join(signs)


@transform(
    "reverse",
    "Reverse the order of characters, of words, or of the characters within each word.",
    source="Liu et al. 2024 (FlipAttack), arXiv:2410.02832",
)
def reverse(prompt: str, /, *, unit: Literal["characters", "words", "within_words"] = "characters") -> str:
    """Return the text, which the same transform turns back; blank space keeps its place where words are the unit."""
    if unit == "characters":
        return prompt[::-1]
    pieces = re.split(r"(\s+)", prompt)
    if unit == "words":
        return "".join(pieces[::-1])
    return "".join(piece[::-1] if index % 2 == 0 else piece for index, piece in enumerate(pieces))


@transform("rail-fence", "Write the text in zigzag over several rails and read it rail by rail.")
def rail_fence(prompt: str, /, *, rails: Annotated[int, Field(ge=2, le=64)] = 3) -> str:
    """Return the characters of the first rail, then of the second, and so on."""
    period = 2 * (rails - 1)
    rows: list[list[str]] = [[] for _ in range(rails)]
    for index, sign in enumerate(prompt):
        place = index % period
        rows[min(place, period - place)].append(sign)
    return "".join(sign for row in rows for sign in row)
