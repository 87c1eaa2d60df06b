"""The head of a snapshot's card: the YAML by which the Hub knows its configs, licence, tags and size.

Format: https://huggingface.co/docs/hub/datasets-manual-configuration and https://huggingface.co/docs/hub/datasets-cards. It is
written here, in the part of YAML 1.1 and 1.2 that all readers take in the same way: plain words, and double-quoted texts in
ASCII, so that no text can end a value, a line or the head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lrm.snapshot.manifest import Manifest
from lrm.snapshot.tables import TABLES
from lrm.snapshot.terms import OTHER, UNKNOWN, read_licence
from lrm.text import visible

DEFAULT = "cells"
"""The config that a reader sees first: one row a cell, small, and never empty where there is anything."""
GATED_LONGEST = 2_000
"""Signs of the text that is shown to who asks for access."""
_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"), (10_000_000_000, "1B<n<10B"),
)  # fmt: skip
_TAGS = ("lrm-snapshot", "ai-safety", "red-teaming", "refusal", "llm-evaluation", "reasoning", "reasoning-traces")
_PLAIN = re.compile(r"[a-z][a-z0-9_.-]*")
_WORDS_WITH_MEANING = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

Scalar = str | bool
Value = Scalar | Sequence[Scalar] | Sequence[Mapping[str, "Value"]]


def head(manifest: Manifest, title: str, *, simulated: bool, imported: bool, gated: str | None = None) -> str:
    """Return the head, `---` lines and all. `gated` is what is shown to who asks for access, where it has to be asked for."""
    fields: dict[str, Value] = {
        "pretty_name": visible(title, one_line=True),
        **_licence(manifest),
        "tags": _tags(manifest, simulated=simulated, imported=imported),
        "size_categories": [_size(manifest.counts.get("cells", 0))],
        "configs": _configs(manifest),
        "viewer": True,
    }
    if gated is not None:
        fields["extra_gated_prompt"] = visible(gated)[:GATED_LONGEST]
    return "\n".join(["---", *_lines(fields), "---", ""])


def prompts_inside(manifest: Manifest) -> tuple[str, ...]:
    """Return the licences of the sets whose prompts are in the snapshot, one a set; empty text for none declared."""
    if manifest.texts.get("prompts", "all") != "all":
        return ()
    return tuple(one.licence or "" for one in manifest.sets if one.withheld is None)


def _licence(manifest: Manifest) -> dict[str, Value]:
    """Return the licence in the Hub's words: that of all prompts inside, or `other` where it is not one."""
    found = {(read.hub, read.spdx) for read in map(read_licence, prompts_inside(manifest))}
    if len(found) == 1:
        hub, spdx = found.pop()
        if hub == OTHER:
            return {"license": OTHER, "license_name": spdx.lower() if spdx is not None else "see-card"}
        return {"license": hub}
    return {"license": OTHER, "license_name": "several-see-card"} if found else {"license": UNKNOWN}


def _tags(manifest: Manifest, *, simulated: bool, imported: bool) -> list[str]:
    tags = [*_TAGS]
    tags += ["simulated"] if simulated else []
    tags += ["imported"] if imported else []
    # The Hub puts its own warning before a dataset with this tag. A snapshot without texts has nothing to warn of.
    shown = any(manifest.texts.get(family, "all") == "all" for family in ("prompts", "responses", "judgements"))
    return [*tags, "not-for-all-audiences"] if shown else tags


def _size(cells: int) -> str:
    return next((name for above, name in _SIZES if cells < above), "n>1T" if cells >= 10**12 else "10B<n<100B")


def _configs(manifest: Manifest) -> list[dict[str, Value]]:
    filled = [table.name for table in TABLES if manifest.of(table.name)]
    first = DEFAULT if DEFAULT in filled else next(iter(filled), None)
    return [
        {
            "config_name": name,
            "data_files": [{"split": "train", "path": f"data/{name}/*.parquet"}],
            **({"default": True} if name == first else {}),
        }
        for name in sorted(filled, key=lambda name: name != first)
    ]


def _lines(fields: Mapping[str, Value], indent: str = "") -> list[str]:
    lines: list[str] = []
    for name, value in fields.items():
        if isinstance(value, str | bool):
            lines.append(f"{indent}{name}: {_scalar(value)}")
            continue
        if not value:
            lines.append(f"{indent}{name}: []")
            continue
        lines.append(f"{indent}{name}:")
        for part in value:
            if isinstance(part, str | bool):
                lines.append(f"{indent}- {_scalar(part)}")
            else:
                first, *rest = _lines(part, f"{indent}  ")
                lines += [f"{indent}- {first.lstrip()}", *rest]
    return lines


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if _PLAIN.fullmatch(value) and value not in _WORDS_WITH_MEANING:
        return value
    return f'"{"".join(map(_sign, value))}"'


def _sign(sign: str) -> str:
    """Return a sign as it stands in a double-quoted text (YAML 1.2.2, 5.7)."""
    code = ord(sign)
    if sign in '"\\':
        return f"\\{sign}"
    if 0x20 <= code < 0x7F:
        return sign
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
