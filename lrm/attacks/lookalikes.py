"""Transforms that write the text with other Unicode characters of the same look, or with marks and gaps on top."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import Field

from lrm.attacks.obfuscations import Seed, Share, seeded
from lrm.attacks.transforms import transform

_BOUCHER = "Boucher et al. 2021 (Bad Characters), arXiv:2106.09898"
HOMOGLYPHS = {
    ord(latin): cyrillic
    for latin, cyrillic in zip("aceijopsxyABCEHIJKMOPSTXY", "асеіјорѕхуАВСЕНІЈКМОРЅТХУ", strict=True)
}
"""The Cyrillic letter that looks like a Latin one, by the Latin letter's code."""
_FULLWIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
_UPSIDE_DOWN = str.maketrans(
    dict(zip("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz", strict=True))
    | dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "∀𐐒ƆᗡƎℲ⅁HIſ⋊˥WNOԀΌᴚS⊥∩ΛMX⅄Z", strict=True))
    | dict(zip("1234567890", "ƖᄅƐㄣϛ9ㄥ860", strict=True))
    | dict(zip(".,!?'\"()[]{}<>&_", "˙'¡¿,„)(][}{><⅋‾", strict=True))
)
_MATH_STARTS = {
    "bold": (0x1D41A, 0x1D400, 0x1D7CE),
    "sans": (0x1D5BA, 0x1D5A0, 0x1D7E2),
    "monospace": (0x1D68A, 0x1D670, 0x1D7F6),
}
_CIRCLED = (
    {ord("a") + at: 0x24D0 + at for at in range(26)}
    | {ord("A") + at: 0x24B6 + at for at in range(26)}
    | {ord("1") + at: 0x2460 + at for at in range(9)}
    | {ord("0"): 0x24EA}
)
_GAPS = {
    "space": "\u200b",
    "non-joiner": "\u200c",
    "joiner": "\u200d",
    "word-joiner": "\u2060",
    "soft-hyphen": "\u00ad",
}
_FIRST_MARK, _MARKS = 0x0300, 0x70


@transform("homoglyphs", "Replace Latin letters by Cyrillic ones that look the same.", source=_BOUCHER)
def homoglyphs(prompt: str, /, *, share: Share = 1.0, seed: Seed = 0) -> str:
    """Return the text with about `share` of the letters that have a double replaced, chosen by the text and seed."""
    if share >= 1:
        return prompt.translate(HOMOGLYPHS)
    rng = seeded(prompt, seed)
    return "".join(
        sign.translate(HOMOGLYPHS) if ord(sign) in HOMOGLYPHS and rng.random() < share else sign for sign in prompt
    )


@transform("zero-width", "Put an invisible character between all characters.", source=_BOUCHER)
def zero_width(
    prompt: str,
    /,
    *,
    character: Literal["space", "non-joiner", "joiner", "word-joiner", "soft-hyphen"] = "space",
) -> str:
    """Return the characters with U+200B, U+200C, U+200D, U+2060 or U+00AD between them."""
    return _GAPS[character].join(prompt)


@transform("fullwidth", "Write ASCII in the full-width forms of East Asian type.", source="Unicode block FF00")
def fullwidth(prompt: str, /) -> str:
    """Return the text, which Unicode normalisation NFKC turns back."""
    return prompt.translate(_FULLWIDTH)


@transform("math-letters", "Write letters and digits in a mathematical alphabet.", source="Unicode block 1D400")
def math_letters(prompt: str, /, *, style: Literal["bold", "sans", "monospace"] = "bold") -> str:
    """Return the text, which Unicode normalisation NFKC turns back."""
    lower, upper, digit = _MATH_STARTS[style]
    table = {ord("a") + at: lower + at for at in range(26)} | {ord("A") + at: upper + at for at in range(26)}
    return prompt.translate(table | {ord("0") + at: digit + at for at in range(10)})


@transform("circled", "Write letters and digits in circles.", source="Unicode block 2460")
def circled(prompt: str, /) -> str:
    """Return the text, which Unicode normalisation NFKC turns back."""
    return prompt.translate(_CIRCLED)


@transform("upside-down", "Write the text as if turned by half a turn: lookalikes, in reverse order.")
def upside_down(prompt: str, /) -> str:
    """Return the turned text; characters without a turned lookalike stay as they are."""
    return prompt.translate(_UPSIDE_DOWN)[::-1]


@transform("zalgo", "Pile combining marks on the letters, chosen by the text and seed.")
def zalgo(prompt: str, /, *, marks: Annotated[int, Field(ge=1, le=16)] = 2, seed: Seed = 0) -> str:
    """Return the text with `marks` marks of U+0300 to U+036F behind each letter and digit."""
    rng = seeded(prompt, seed)
    return "".join(
        sign + "".join(chr(_FIRST_MARK + int(rng.random() * _MARKS)) for _ in range(marks)) if sign.isalnum() else sign
        for sign in prompt
    )


@transform(
    "unicode-form", "Normalise the text: composed, decomposed, or with compatibility forms resolved.", source="UAX 15"
)
def unicode_form(prompt: str, /, *, form: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFKD") -> str:
    """Return the text in a Unicode normalisation form."""
    return unicodedata.normalize(form, prompt)
