"""Transforms that write the text's characters or UTF-8 bytes in another notation, from which it can be read back."""

from __future__ import annotations

import base64 as b64
import html
from typing import Annotated, Literal
from urllib.parse import quote_from_bytes

from pydantic import Field

from lrm.attacks.transforms import transform

_WEI = "Wei et al. 2023, arXiv:2307.02483"
_YUAN = "Yuan et al. 2023 (CipherChat), arXiv:2308.06463"
_MORSE = {
    "a": ".-", "b": "-...", "c": "-.-.", "d": "-..", "e": ".", "f": "..-.", "g": "--.", "h": "....", "i": "..",
    "j": ".---", "k": "-.-", "l": ".-..", "m": "--", "n": "-.", "o": "---", "p": ".--.", "q": "--.-", "r": ".-.",
    "s": "...", "t": "-", "u": "..-", "v": "...-", "w": ".--", "x": "-..-", "y": "-.--", "z": "--..",
    "0": "-----", "1": ".----", "2": "..---", "3": "...--", "4": "....-", "5": ".....", "6": "-....", "7": "--...",
    "8": "---..", "9": "----.", ".": ".-.-.-", ",": "--..--", ":": "---...", "?": "..--..", "'": ".----.",
    "-": "-....-", "/": "-..-.", "(": "-.--.", ")": "-.--.-", '"': ".-..-.", "=": "-...-", "+": ".-.-.", "@": ".--.-.",
}  # fmt: skip
_NATO = [
    "Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo", "Lima", "Mike",
    "November", "Oscar", "Papa", "Quebec", "Romeo", "Sierra", "Tango", "Uniform", "Victor", "Whiskey", "X-ray",
    "Yankee", "Zulu",
]  # fmt: skip
_NATO_WORDS = {word[0].lower(): word for word in _NATO}
_BRAILLE_LETTERS = dict(zip("abcdefghijklmnopqrstuvwxyz", "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚⠅⠇⠍⠝⠕⠏⠟⠗⠎⠞⠥⠧⠺⠭⠽⠵", strict=True))
_BRAILLE_DIGITS = dict(zip("1234567890", "⠁⠃⠉⠙⠑⠋⠛⠓⠊⠚", strict=True))
_NUMBER_SIGN, _LETTER_SIGN = "⠼", "⠰"


@transform("base64", "Write the UTF-8 bytes as Base64.", source=f"RFC 4648; {_WEI}")
def base64(prompt: str, /, *, alphabet: Literal["standard", "url"] = "standard") -> str:
    """Return one line of Base64, padded."""
    encode = b64.b64encode if alphabet == "standard" else b64.urlsafe_b64encode
    return encode(prompt.encode()).decode()


@transform("base32", "Write the UTF-8 bytes as Base32.", source="RFC 4648")
def base32(prompt: str, /) -> str:
    """Return one line of Base32, padded."""
    return b64.b32encode(prompt.encode()).decode()


@transform("base85", "Write the UTF-8 bytes as Base85, in the alphabet of Git's binary patches.", source="Git")
def base85(prompt: str, /) -> str:
    """Return one line of Base85."""
    return b64.b85encode(prompt.encode()).decode()


@transform("hex", "Write each UTF-8 byte as two hexadecimal digits.", source="RFC 4648")
def hexadecimal(prompt: str, /, *, separator: str = "") -> str:
    """Return lower-case digits."""
    return separator.join(f"{byte:02x}" for byte in prompt.encode())


@transform("binary", "Write each UTF-8 byte as eight binary digits.")
def binary(prompt: str, /, *, separator: str = " ") -> str:
    """Return the digits of each byte, highest bit first."""
    return separator.join(f"{byte:08b}" for byte in prompt.encode())


@transform("octal", "Write each UTF-8 byte as three octal digits.")
def octal(prompt: str, /, *, separator: str = " ") -> str:
    """Return the digits of each byte."""
    return separator.join(f"{byte:03o}" for byte in prompt.encode())


@transform("ascii-codes", "Write each UTF-8 byte (of ASCII text: each character's code) as a decimal.", source=_YUAN)
def ascii_codes(prompt: str, /, *, separator: Annotated[str, Field(min_length=1)] = " ") -> str:
    """Return decimals without leading zeros."""
    return separator.join(map(str, prompt.encode()))


@transform("url", "Percent-encode the UTF-8 bytes.", source="RFC 3986")
def url(prompt: str, /, *, every_byte: bool = False) -> str:
    """Return the text with all but unreserved characters escaped, or with every byte escaped."""
    data = prompt.encode()
    return "".join(f"%{byte:02X}" for byte in data) if every_byte else quote_from_bytes(data, safe="")


@transform("html-entities", "Write characters as HTML character references.", source="HTML Living Standard")
def html_entities(prompt: str, /, *, every_character: bool = True) -> str:
    """Return decimal references for every character, or references only where HTML needs them."""
    return "".join(f"&#{ord(sign)};" for sign in prompt) if every_character else html.escape(prompt)


@transform("unicode-escapes", "Write each character as a JSON escape `\\uXXXX`.", source=f"RFC 8259; {_YUAN}")
def unicode_escapes(prompt: str, /, *, only_non_ascii: bool = False) -> str:
    """Return UTF-16 units in four hexadecimal digits; with `only_non_ascii` ASCII stays, but for the backslash."""
    escaped: list[str] = []
    for sign in prompt:
        if only_non_ascii and sign.isascii() and sign != "\\":
            escaped.append(sign)
            continue
        units = sign.encode("utf-16-be")
        escaped.extend(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    return "".join(escaped)


@transform(
    "morse",
    "Write letters, digits and common punctuation in Morse code; other characters are kept.",
    source=f"ITU-R M.1677-1; {_WEI}; {_YUAN}",
)
def morse(prompt: str, /, *, word_separator: str = " / ") -> str:
    """Return codes with a space between letters; case is lost."""
    return word_separator.join(" ".join(_MORSE.get(sign, sign) for sign in word.lower()) for word in prompt.split())


@transform("nato", "Spell letters with the radio spelling alphabet; other characters are kept.", source="ICAO Annex 10")
def nato(prompt: str, /, *, word_separator: str = " / ") -> str:
    """Return code words with a space between letters; case is lost."""
    return word_separator.join(
        " ".join(_NATO_WORDS.get(sign, sign) for sign in word.lower()) for word in prompt.split()
    )


@transform(
    "braille", "Write letters and digits in Braille cells, uncontracted; other characters are kept.", source="UEB"
)
def braille(prompt: str, /) -> str:
    """Return cells with the number sign before digits and the letter sign where letters follow them; case is lost."""
    cells: list[str] = []
    in_number = False
    for sign in prompt.lower():
        if (digit := _BRAILLE_DIGITS.get(sign)) is not None:
            cells.append(digit if in_number else _NUMBER_SIGN + digit)
            in_number = True
            continue
        letter = _BRAILLE_LETTERS.get(sign)
        cells.append((_LETTER_SIGN if in_number and sign in "abcdefghij" else "") + (letter or sign))
        in_number = False
    return "".join(cells)


@transform(
    "unicode-tags",
    "Write ASCII as invisible Unicode tag characters («ASCII smuggling»); other characters are kept.",
    source="Rehberger 2024; Unicode block E0000",
)
def unicode_tags(prompt: str, /, *, carrier: str = "") -> str:
    """Return the carrier text, then the tag characters."""
    return carrier + "".join(chr(0xE0000 + ord(sign)) if 0x20 <= ord(sign) < 0x7F else sign for sign in prompt)


@transform(
    "variation-selectors",
    "Write each UTF-8 byte as one of the 256 variation selectors, invisible behind a carrier character.",
    source="Butler 2025; Unicode blocks FE00 and E0100",
)
def variation_selectors(prompt: str, /, *, carrier: Annotated[str, Field(min_length=1)] = "🙂") -> str:
    """Return the carrier, then a selector for each byte: U+FE00 to U+FE0F, from byte 16 on U+E0100 and up."""
    return carrier + "".join(chr(0xFE00 + byte if byte < 16 else 0xE0100 + byte - 16) for byte in prompt.encode())
