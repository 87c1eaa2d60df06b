"""The terms of a prompt set: what its declared licence is, and whether its prompts may stand in a snapshot.

`licence` is a text that people write: an SPDX identifier (https://spdx.org/licenses), an address, a sentence. Prompts are
shared where that text says nothing but licences known to allow it; whatever restricts them, and whatever is not understood,
withholds them. Nothing is guessed from the name of a set. Not legal advice: whoever publishes decides, by `--allow`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from lrm.text import visible

_LONGEST = 300
"""Signs of a licence that are read and shown; a longer one is a document, and is not understood."""

UNKNOWN, OTHER = "unknown", "other"
"""The Hub's words for a licence that is not stated, and for one that it has no id for."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be done with a prompt set, as far as its declaration tells."""

    licence: str | None
    """As declared, in one safe line; None where nothing is."""
    spdx: str | None
    """The SPDX identifier; None where it is none, or more than one."""
    hub: str
    """The licence in the Hub's words: an id that it knows, `other`, or `unknown` where nothing is declared."""
    may_share: bool
    """Whether its prompts stand in a snapshot that was not told otherwise."""
    why: str | None
    """Why they do not, as a clause; None where they do."""
    unchanged_only: bool = False
    """Whether only the prompts themselves may be shared, and not what an attack makes of them (No Derivatives)."""

    def how(self, name: str) -> str | None:
        """Return what to do to share its prompts all the same; None where they are shared."""
        if self.may_share:
            return None
        shown = visible(name, one_line=True)
        said = "" if self.licence is not None else ", or declare its `licence`"
        return f"`--allow {shown}` if you have the right to share its prompts{said}"


@dataclass(frozen=True, slots=True)
class _Licence:
    """A licence that allows sharing."""

    spdx: str | None
    hub: str
    pattern: str
    """How people write it: casefolded, signs between words as one space, `v` before a version left out."""


# The Hub's ids: https://huggingface.co/docs/hub/repositories-licenses. Those it lacks are `other` there.
_KNOWN = (
    _Licence("Apache-2.0", "apache-2.0", r"(?:asl|apache)(?: (?:software )?license)? ?2(?:\.0)?"),
    _Licence("MIT", "mit", r"(?:mit|expat)(?: license)?(?: \(?mit\)?)?"),
    _Licence("MIT-0", OTHER, r"mit 0"),
    _Licence("BSD-2-Clause", "bsd-2-clause", r"(?:simplified bsd|bsd 2 clause)"),
    _Licence("BSD-3-Clause-Clear", "bsd-3-clause-clear", r"bsd 3 clause clear"),
    _Licence("BSD-3-Clause", "bsd-3-clause", r"(?:new bsd|modified bsd|bsd 3 clause)"),
    _Licence("0BSD", OTHER, r"0bsd"),
    _Licence(None, "bsd", r"bsd"),
    _Licence("ISC", "isc", r"isc"),
    _Licence("Zlib", "zlib", r"zlib"),
    _Licence("Unlicense", "unlicense", r"(?:the )?unlicense"),
    _Licence("WTFPL", "wtfpl", r"wtfpl"),
    _Licence("MPL-2.0", "mpl-2.0", r"(?:mpl|mozilla public license) 2(?:\.0)?"),
    _Licence("AFL-3.0", "afl-3.0", r"afl 3(?:\.0)?"),
    _Licence("Artistic-2.0", "artistic-2.0", r"artistic(?: license)? 2(?:\.0)?"),
    _Licence("BSL-1.0", "bsl-1.0", r"(?:bsl|boost software license) 1(?:\.0)?"),
    _Licence("ECL-2.0", "ecl-2.0", r"ecl 2(?:\.0)?"),
    _Licence("EUPL-1.2", "eupl-1.2", r"eupl 1\.2"),
    _Licence("MS-PL", "ms-pl", r"ms pl"),
    _Licence("NCSA", "ncsa", r"ncsa"),
    _Licence("PostgreSQL", "postgresql", r"postgresql"),
    _Licence("AGPL-3.0", "agpl-3.0", r"(?:gnu )?agpl ?3(?:\.0)?(?: (?:only|or later)|\+)?"),
    _Licence("LGPL-3.0", "lgpl-3.0", r"(?:gnu )?lgpl ?3(?:\.0)?(?: (?:only|or later)|\+)?"),
    _Licence("LGPL-2.1", "lgpl-2.1", r"(?:gnu )?lgpl ?2\.1(?: (?:only|or later)|\+)?"),
    _Licence("GPL-3.0", "gpl-3.0", r"(?:gnu )?gpl ?3(?:\.0)?(?: (?:only|or later)|\+)?"),
    _Licence("GPL-2.0", "gpl-2.0", r"(?:gnu )?gpl ?2(?:\.0)?(?: (?:only|or later)|\+)?"),
    _Licence("ODC-By-1.0", "odc-by", r"(?:odc(?: by| attribution)|open data commons (?:by|attribution))(?: license)?(?: 1(?:\.0)?)?"),
    _Licence("ODbL-1.0", "odbl", r"(?:odc )?(?:odbl|open database license)(?: 1(?:\.0)?)?"),
    _Licence("PDDL-1.0", "pddl", r"(?:odc )?pddl(?: 1(?:\.0)?)?"),
    _Licence("CDLA-Permissive-1.0", "cdla-permissive-1.0", r"cdla permissive 1(?:\.0)?"),
    _Licence("CDLA-Permissive-2.0", "cdla-permissive-2.0", r"cdla permissive(?: 2(?:\.0)?)?"),
    _Licence("CDLA-Sharing-1.0", "cdla-sharing-1.0", r"cdla sharing(?: 1(?:\.0)?)?"),
    _Licence("C-UDA-1.0", "c-uda", r"c uda(?: 1(?:\.0)?)?"),
    _Licence("etalab-2.0", "etalab-2.0", r"etalab(?: 2(?:\.0)?)?"),
    _Licence("OGL-UK-3.0", OTHER, r"(?:ogl(?: uk)?|open government license) 3(?:\.0)?"),
    _Licence("CC0-1.0", "cc0-1.0", r"(?:cc ?0|cc zero)(?: 1(?:\.0)?)?(?: universal)?"),
    _Licence(None, OTHER, r"public domain"),
)  # fmt: skip
_CC = re.compile(
    r"(?<![\w.])cc[ -]?by(?P<kind>(?: (?:nc|nd|sa))*)(?: (?P<version>[1-4]\.[05]|[1-4]))?(?: (?:international|unported|generic))?(?![\w.])"
)
_CC_ON_HUB = {
    "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0",
    "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
}  # fmt: skip
_KNOWN_PATTERNS = tuple((one, re.compile(rf"(?<![\w.]){one.pattern}(?![\w.])")) for one in _KNOWN)

# Addresses of licences, as the names that stand in them.
_ADDRESSES = (
    (re.compile(r"https?://(?:www\.)?creativecommons\.org/publicdomain/zero/1\.0\S*"), " cc0 1.0 "),
    (re.compile(r"https?://(?:www\.)?creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)\S*"), r" cc \1 \2 "),
    (re.compile(r"https?://(?:www\.)?(?:opensource\.org/licenses?|spdx\.org/licenses|choosealicense\.com/licenses)/"
                r"([a-z0-9.-]+?)(?:\.html)?/?(?=[\s,;)]|$)"), r" \1 "),
    (re.compile(r"https?://(?:www\.)?apache\.org/licenses/license-2\.0\S*"), " apache 2.0 "),
    (re.compile(r"https?://(?:www\.)?opendatacommons\.org/licenses/(by|odbl|pddl)\S*"), r" odc \1 "),
)  # fmt: skip
_WORDS = (
    (re.compile(r"\blicen[cs](?:es|ed|ing|e)\b"), "license"),
    (re.compile(r"[\s_,/\u2010-\u2015\u2212-]+"), " "),
    (re.compile(r"\bcreative commons\b"), "cc"),
    (re.compile(r"\bshare ?alike\b"), "sa"),
    (re.compile(r"\bnon ?commercial\b"), "nc"),
    (re.compile(r"\bno ?deriv(?:ative)?s?(?: works)?\b"), "nd"),
    (re.compile(r"\bcc attribution\b"), "cc by"),
    (re.compile(r"\b(?:v|version|ver)\.? ?(?=\d)"), ""),
    (re.compile(r"(?<=[a-z])v(?=\d)"), ""),
)

# What withholds, whatever else the text says. `nc` is what «non-commercial» has become by then.
_FORBIDDEN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("is for non-commercial use", re.compile(
        r"(?<![a-z])nc(?![a-z])|\b(?:not?|never|without|excluding|prohibit\w*|forbid\w*)\b[^.;]{0,30}\bcommercial|"
        r"\bcommercial(?:ly| use| purposes)?\b[^.;]{0,20}\b(?:not|prohibited|forbidden|excluded|disallowed)\b|\bnon ?profit")),
    ("allows no redistribution", re.compile(
        r"\b(?:not?|never|without|prohibit\w*|forbid\w*|cannot|mustn'?t)\b[^.;]{0,40}"
        r"\b(?:re ?)?(?:distribut|shar(?:e|ing)|publish|publi[cs]ation|copy)|"
        r"\b(?:re ?)?(?:distribution|sharing)\b[^.;]{0,20}\b(?:not|prohibited|forbidden|disallowed)\b")),
    ("is for research only", re.compile(
        r"\b(?:research|academic|educational|evaluation|personal|internal)\b[^.;]{0,30}\bonly\b|"
        r"\bonly\b[^.;]{0,30}\b(?:research|academic|educational|evaluation|personal|internal)\b|"
        r"\b(?:research|academic) (?:use|purposes?|license)\b|\bintel research\b|\bh research\b")),
    ("reserves all rights", re.compile(
        r"\ball rights reserved\b|\bproprietary\b|\bconfidential\b|\bclosed\b|\bunlicense[d]\b|©|\bcopyright\b")),
)  # fmt: skip
_STATED_UNKNOWN = re.compile(
    r"\?*|unknown|none|n a|na|no|no license|tbd|todo|(?:not |un)(?:specified|stated|known|clear)|undefined|null|"
    r"license|more information needed"
)
# What may stand around a licence's name without changing what it says.
_FILLER = re.compile(
    r"\b(?:the|a|an|and|or|under|with|of|is|are|it|its|this|these|set|license|terms|released?|distributed|available|published|made|"
    r"dataset|data|code|prompts?|questions?|text|texts|rows|file|files|repository|international|unported|generic|universal|"
    r"public|spdx|both|dual|in|as|all|attribution(?: [1-4]\.[05])?)\b|[().;:&+'\"`*]"
)
_IMPORTED = re.compile(r"came with \S+ import")


def terms_of(declaration: Mapping[str, object], *, imported: bool = False) -> Terms:
    """Return the terms of a prompt set from its declaration, as the catalog keeps it in `lrm.prompt_sets.declaration`.

    Withheld are sets that are gated; those whose licence is non-commercial, for research only, or allows no redistribution;
    those whose licence is in words that are not understood; and those without one that are not known to be the user's own:
    a data set of the Hub, a file with an `origin`, a set with a homepage or a citation, and what came with an import.
    Prompts that a user wrote in a declaration or lies in a file of theirs, with no sign of another maker, are theirs to share.

    `imported`: the set came with `lrm import`; told too by the description that an import gives its sets.
    """
    found = read_licence(declaration.get("licence"))
    if declaration.get("gated"):
        also = "" if found.why is None else f", and {found.why}"
        return _withheld(found, f"access to it has to be asked for (gated){also}")
    if found.licence is not None:
        return found
    if imported or _IMPORTED.fullmatch(str(declaration.get("description") or "")):
        return _withheld(found, "it came with imported data, and no licence is declared")
    if declaration.get("hub"):
        return _withheld(found, "it is a data set of the Hub, and no licence is declared")
    if any(declaration.get(name) for name in ("origin", "homepage", "citation")):
        return _withheld(found, "it names a source, and no licence is declared")
    return found


def read_licence(text: object) -> Terms:
    """Return what a licence says by itself. Without one: `unknown`, and shared; `terms_of` looks at whose the set is."""
    raw = text if isinstance(text, str) else ""
    shown = visible(raw.strip(), one_line=True).strip()
    licence = None if not shown else shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
    words = _normal(raw[: 2 * _LONGEST])
    if licence is None:
        return Terms(None, None, UNKNOWN, may_share=True, why=None)
    if _STATED_UNKNOWN.fullmatch(words):
        return _withheld(Terms(licence, None, UNKNOWN, may_share=True, why=None), "its licence is said to be unknown")
    found, rest, unchanged = _known(words)
    spdx = found[0][0] if len(found) == 1 else None
    hub = found[0][1] if len(found) == 1 else OTHER
    result = Terms(licence, spdx, hub, may_share=True, why=None, unchanged_only=unchanged)
    for what, pattern in _FORBIDDEN:
        if pattern.search(words):
            return _withheld(result, f"its licence {what}")
    if not found or _FILLER.sub("", rest).strip() or len(raw) > _LONGEST:
        return _withheld(
            Terms(licence, None, OTHER, may_share=True, why=None),
            "its licence is not one that lrm knows to allow sharing",
        )
    return result


def _withheld(terms: Terms, why: str) -> Terms:
    return Terms(terms.licence, terms.spdx, terms.hub, may_share=False, why=why, unchanged_only=terms.unchanged_only)


def _normal(text: str) -> str:
    """Return a text in one case, one spelling and one kind of space; addresses of licences as their names."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    for pattern, name in (*_ADDRESSES, *_WORDS):
        folded = pattern.sub(name, folded)
    return folded.strip(" .;:")


def _known(words: str) -> tuple[tuple[tuple[str | None, str], ...], str, bool]:
    """Return the licences in a text as (SPDX, the Hub's id), the text without them, and whether one is No Derivatives."""
    found: dict[tuple[str | None, str], None] = {}
    unchanged = False

    def take(match: re.Match[str]) -> str:
        nonlocal unchanged
        parts = match["kind"].split()
        unchanged = unchanged or "nd" in parts
        version = match["version"]
        name = "-".join(("cc", "by", *sorted(parts)))
        if version is None:
            found[None, "cc"] = None
        else:
            exact = f"{name}-{version if '.' in version else version + '.0'}"
            found[exact.upper(), exact if exact in _CC_ON_HUB else OTHER] = None
        return " "

    rest = _CC.sub(take, words)
    for licence, pattern in _KNOWN_PATTERNS:
        rest, number = pattern.subn(" ", rest)
        if number:
            found[licence.spdx, licence.hub] = None
    return tuple(found), rest, unchanged
