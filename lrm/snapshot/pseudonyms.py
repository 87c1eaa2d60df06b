"""Pseudonyms of annotators: what stands in a snapshot in place of a person's name.

A pseudonym is `annotator-` and twelve signs of base32: 50 bits of HMAC-SHA256 (RFC 2104) of the name under a key that never
leaves the catalog, and 10 bits by which a pseudonym is known from a name that only looks like one. So a name has one
pseudonym in all snapshots of a catalog, another in those of another, and cannot be found by trying names without the key.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

PREFIX = "annotator-"
_DRAWN, _CHECK = 10, 2
_SHAPE = re.compile(f"{PREFIX}[a-z2-7]{{{_DRAWN + _CHECK}}}")


def pseudonym(annotator: str, key: str) -> str:
    """Return the annotator's pseudonym under a catalog's key.

    A name that is a pseudonym already, as those of a pulled snapshot are, stays as it is: what is published again is the
    same row. Which annotators need one is for the caller to say: machines and published data keep their names.

    Raises ValueError for an empty key, under which everybody could make the same pseudonyms.
    """
    if not key:
        raise ValueError("pseudonyms need a key")
    if is_pseudonym(annotator):
        return annotator
    drawn = hmac.digest(key.encode(), annotator.encode("utf-8", "surrogatepass"), "sha256")
    signs = _signs(drawn, _DRAWN)
    return f"{PREFIX}{signs}{_check(signs)}"


def is_pseudonym(annotator: str) -> bool:
    """Return whether a name was made by `pseudonym`. One in 1,024 of other names of the same shape is taken for one."""
    if _SHAPE.fullmatch(annotator) is None:
        return False
    signs = annotator.removeprefix(PREFIX)
    return signs[_DRAWN:] == _check(signs[:_DRAWN])


def _check(signs: str) -> str:
    return _signs(hashlib.sha256(f"{PREFIX}{signs}".encode()).digest(), _CHECK)


def _signs(digest: bytes, number: int) -> str:
    return base64.b32encode(digest).decode().lower()[:number]
