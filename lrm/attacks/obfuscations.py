"""Transforms after which a person can still read the text: spelling, spacing, case, noise.

Those with chance in them are seeded by the text and `seed`, and draw only by `Random.random()`, whose sequence Python
promises to keep.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field

from lrm.attacks.transforms import transform
from lrm.prompts.values import FIELD_LIMIT

Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**53)]

_WEI = "Wei et al. 2023, arXiv:2307.02483"
_HUGHES = "Hughes et al. 2024 (Best-of-N), arXiv:2412.03556"
_LEET = {
    "basic": str.maketrans("aeiostAEIOST", "431057431057"),
    "full": str.maketrans("abegiloqstzABEGILOQSTZ", "48361109572" * 2),
}
_VOWELS = frozenset("aeiouAEIOU")
_WORD = re.compile(r"[^\W\d_]+")
_ASCII_WORD = re.compile(r"[A-Za-z]+")


def seeded(text: str, seed: int) -> random.Random:
    """Return a generator whose sequence depends on the text and the seed alone."""
    key = hashlib.sha256(f"{seed}:{text}".encode()).digest()
    return random.Random(int.from_bytes(key[:8], "big"))


def _shuffled(items: list[str], rng: random.Random) -> list[str]:
    for last in range(len(items) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        items[last], items[other] = items[other], items[last]
    return items


@transform("leetspeak", "Replace letters by digits that look like them.", source=_WEI)
def leetspeak(prompt: str, /, *, level: Literal["basic", "full"] = "basic") -> str:
    """Return the text with a, e, i, o, s, t replaced, or with eleven letters replaced."""
    return prompt.translate(_LEET[level])


@transform(
    "character-spacing",
    "Put a separator between all characters.",
    source="Robust Intelligence 2024",
)
def character_spacing(prompt: str, /, *, separator: Annotated[str, Field(min_length=1)] = " ") -> str:
    """Return the characters, each but the last followed by the separator."""
    return separator.join(prompt)


@transform("word-split", "Put a separator within words, every few letters.")
def word_split(
    prompt: str,
    /,
    *,
    every: Annotated[int, Field(ge=1, le=64)] = 3,
    separator: Annotated[str, Field(min_length=1)] = "-",
) -> str:
    """Return the text with long words cut."""
    return _WORD.sub(
        lambda word: separator.join(word[0][at : at + every] for at in range(0, len(word[0]), every)), prompt
    )


@transform("disemvowel", "Leave out the vowels a, e, i, o, u of words with another letter in them.", source=_WEI)
def disemvowel(prompt: str, /) -> str:
    """Return the text without vowels; a word of vowels alone stays, so that no text becomes empty."""
    return _WORD.sub(lambda word: "".join(sign for sign in word[0] if sign not in _VOWELS) or word[0], prompt)


@transform("pig-latin", "Move each word's first consonants to its end and add «ay».", source=_WEI)
def pig_latin(prompt: str, /) -> str:
    """Return the text with its ASCII words changed; a capital at the start stays at the start."""

    def change(match: re.Match[str]) -> str:
        word = match[0]
        at = next((index for index, sign in enumerate(word) if sign in _VOWELS or (index and sign in "yY")), 0)
        if at == 0:
            return word + "way"
        turned = word[at:] + word[:at].lower() + "ay"
        return turned[0].upper() + turned[1:] if word[0].isupper() else turned

    return _ASCII_WORD.sub(change, prompt)


@transform("case", "Write the text in another case, or its words joined as an identifier.", source=_HUGHES)
def case(
    prompt: str,
    /,
    *,
    style: Literal["upper", "lower", "swap", "alternate", "random", "snake", "kebab", "camel"] = "alternate",
    seed: Seed = 0,
) -> str:
    """Return the text in the style; `alternate` begins with a small letter, `seed` is for `random` alone."""
    words = prompt.lower().split()
    styles: dict[str, Callable[[], str]] = {
        "upper": prompt.upper,
        "lower": prompt.lower,
        "swap": prompt.swapcase,
        "alternate": lambda: _alternating(prompt),
        "random": lambda: _random_case(prompt, seed),
        "snake": lambda: "_".join(words),
        "kebab": lambda: "-".join(words),
        "camel": lambda: "".join(words[:1] + [word[:1].upper() + word[1:] for word in words[1:]]),
    }
    return styles[style]()


def _random_case(text: str, seed: int) -> str:
    rng = seeded(text, seed)
    return "".join(sign.upper() if rng.random() < 0.5 else sign.lower() for sign in text)


def _alternating(text: str) -> str:
    signs: list[str] = []
    upper = False
    for sign in text:
        if sign.isalpha():
            signs.append(sign.upper() if upper else sign.lower())
            upper = not upper
        else:
            signs.append(sign)
    return "".join(signs)


@transform(
    "typos",
    "Make typing errors in words: neighbours swapped, letters left out, doubled.",
    source=f"Robey et al. 2023 (SmoothLLM), arXiv:2310.03684; {_HUGHES}",
)
def typos(prompt: str, /, *, rate: Share = 0.1, seed: Seed = 0) -> str:
    """Return the text in which about `rate` of the letters inside words begin an error; first letters stay."""
    rng = seeded(prompt, seed)

    def mistype(match: re.Match[str]) -> str:
        word = list(match[0])
        at = 1
        while at < len(word):
            if rng.random() < rate:
                kind = int(rng.random() * 3)
                if kind == 0 and at + 1 < len(word):
                    word[at], word[at + 1] = word[at + 1], word[at]
                elif kind == 1 and len(word) > 2:
                    word[at] = ""
                else:
                    word[at] += word[at]
                at += 1
            at += 1
        return "".join(word)

    return _WORD.sub(mistype, prompt)


@transform("scramble", "Shuffle the letters inside each word; the first and last stay.", source=_HUGHES)
def scramble(prompt: str, /, *, rate: Share = 1.0, seed: Seed = 0) -> str:
    """Return the text in which about `rate` of the words of four letters and more are shuffled inside."""
    rng = seeded(prompt, seed)

    def mix(match: re.Match[str]) -> str:
        word = match[0]
        if len(word) < 4 or rng.random() >= rate:
            return word
        return word[0] + "".join(_shuffled(list(word[1:-1]), rng)) + word[-1]

    return _WORD.sub(mix, prompt)


@transform("shuffle-words", "Put the words in another order.")
def shuffle_words(prompt: str, /, *, seed: Seed = 0) -> str:
    """Return the words in a shuffled order; blank space keeps its places."""
    pieces = re.split(r"(\s+)", prompt)
    words = _shuffled([word for word in pieces[::2] if word], seeded(prompt, seed))
    remaining = iter(words)
    return "".join((next(remaining) if piece and index % 2 == 0 else piece) for index, piece in enumerate(pieces))


@transform("repeat", "Say the text several times.")
def repeat(prompt: str, /, *, times: Annotated[int, Field(ge=2, le=1000)] = 2, separator: str = "\n") -> str:
    """Return the copies with the separator between them."""
    if (size := len(prompt) * times + len(separator) * (times - 1)) > FIELD_LIMIT:
        raise ValueError(f"it would make {size:,} signs; the most is {FIELD_LIMIT:,}")  # before it takes the memory
    return separator.join([prompt] * times)
