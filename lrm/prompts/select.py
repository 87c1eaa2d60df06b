"""Which prompts of a set are used: filter, then sample, then limit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from lrm import hashing
from lrm.errors import SpecError, known_names_hint
from lrm.prompts.prompt import Prompt
from lrm.prompts.values import column_names, json_safe, pick, shown
from lrm.registry.declarations import FilterValue, PromptSet, Sample, Selection
from lrm.spec.matrix import Located

_GLOB = re.compile(r"[*?\[]")
_FIELDS = ("id", "text", "category", "expect", "system")


def select(prompts: list[Prompt], selection: Selection, located: Located[PromptSet]) -> list[Prompt]:
    """Return the chosen prompts in order: what passes every filter, of that the sample, of that the first `limit`.

    A sample of more than there are takes them all. Raises SpecError for a filter on a column that there is not, and for
    one that keeps nothing.
    """
    chosen = prompts
    if selection.filter:
        chosen = _filtered(prompts, selection.filter, located)
    if selection.sample is not None:
        chosen = _sampled(chosen, selection.sample, by_key=_has_own_ids(located.declaration))
    return chosen if selection.limit is None else chosen[: selection.limit]


# --- filter -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    prompt: Prompt

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Return the metadata; parsed once, and only where a filter looks at it."""
        parsed: dict[str, Any] = json.loads(self.prompt.meta)
        return parsed


_Reader = Callable[[_Candidate], object]


def _filtered(prompts: list[Prompt], wanted: dict[str, FilterValue], located: Located[PromptSet]) -> list[Prompt]:
    left = [_Candidate(prompt) for prompt in prompts]
    for name, value in wanted.items():
        read = _reader(name, left, located)
        kept = [candidate for candidate in left if _matches(read(candidate), value)]
        if not kept:
            raise SpecError(
                f"the filter keeps no prompt: of {len(left)} none has {name} = {json.dumps(value, ensure_ascii=False)}",
                file=located.file,
                line=located.line,
                key=f"filter.{name}",
                hint=_values_hint(name, [read(candidate) for candidate in left], value),
            )
        left = kept
    return [candidate.prompt for candidate in left]


def _reader(name: str, candidates: list[_Candidate], located: Located[PromptSet]) -> _Reader:
    """Return what reads the column `name` off a prompt: a field of the prompt, or its metadata."""
    in_meta = any(pick(candidate.meta, name)[0] for candidate in candidates)
    if name in _FIELDS and (_is_mapped(name, located.declaration) or not in_meta):
        return lambda candidate: _field(candidate.prompt, name)
    if in_meta:
        return lambda candidate: pick(candidate.meta, name)[1]
    columns = located.declaration.columns.model_dump(exclude_none=True)
    role = next((key for key, column in columns.items() if name == column or name in _names(column)), None)
    if role in _FIELDS and located.declaration.rows is None:
        hint = f"this column is read as `{role}`: write filter = {{ {role} = … }}"
    else:
        known = {*_FIELDS, *(found for candidate in candidates for found in column_names(candidate.meta))}
        hint = known_names_hint(name, [shown(column)[1:-1] for column in known])
    raise SpecError(
        f"there is no column `{name}` to filter by",
        file=located.file,
        line=located.line,
        key=f"filter.{name}",
        hint=hint,
    )


def _names(column: object) -> list[str]:
    return column if isinstance(column, list) else [str(column)]


def _is_mapped(name: str, declaration: PromptSet) -> bool:
    """Return whether the declaration says where this field of a prompt comes from."""
    if declaration.rows is not None or getattr(declaration.columns, name) is not None:
        return True
    return getattr(declaration, name, None) is not None if name in {"expect", "system"} else False


def _field(prompt: Prompt, name: str) -> object:
    if name == "id":
        return prompt.key
    if name == "category":
        return list(prompt.category)
    value: object = getattr(prompt, name)
    return value


def _matches(found: object, wanted: FilterValue) -> bool:
    if isinstance(wanted, list):
        return any(_matches(found, value) for value in wanted)
    if isinstance(found, list):
        return any(_matches(value, wanted) for value in found)
    wanted = json_safe(wanted)  # as metadata keeps it: integers beyond 2**53 - 1 are text
    if isinstance(wanted, str):
        return isinstance(found, str) and (
            found == wanted or (bool(_GLOB.search(wanted)) and fnmatchcase(found, wanted))
        )
    if isinstance(wanted, bool) or isinstance(found, bool):
        return isinstance(found, bool) and found is wanted
    return isinstance(found, int | float) and found == wanted


def _values_hint(name: str, found: list[object], wanted: FilterValue) -> str | None:
    values = [part for value in found for part in (value if isinstance(value, list) else [value])]
    texts = {value for value in values if isinstance(value, str)}
    asked = wanted if isinstance(wanted, list) else [wanted]
    if any(
        not isinstance(value, str) and str(value).casefold() in {text.casefold() for text in texts} for value in asked
    ):
        return f"`{name}` holds text, not numbers or truth values: put the value in quotes"
    if any(isinstance(value, str) and value in {json.dumps(part) for part in values if not isinstance(part, str)}
           for value in asked):  # fmt: skip
        return f"`{name}` holds numbers or truth values, not text: take the quotes away"
    # A column of long texts would be quoted at length: its values help nobody.
    if name == "text" or not texts or max(map(len, texts)) > 60:
        return None
    return known_names_hint(str(asked[0]), [shown(text)[1:-1] for text in texts])


# --- sample -----------------------------------------------------------------------------------------------------------


def _sampled(prompts: list[Prompt], sample: Sample, *, by_key: bool) -> list[Prompt]:
    """Return the `n` prompts of lowest rank, in their order.

    A rank is a hash of the seed and the row's id, so that an edited row stays in; where ids are only row numbers, a
    hash of the seed and what the row holds, so that the order of the file has no say.
    """
    if sample.n >= len(prompts):
        return prompts
    ranked = sorted(range(len(prompts)), key=lambda index: _rank(prompts[index], sample.seed, by_key=by_key))
    return [prompts[index] for index in sorted(ranked[: sample.n])]


def _rank(prompt: Prompt, seed: int, *, by_key: bool) -> bytes:
    content = prompt.key.encode() if by_key else hashing.canonical({**prompt.fields(), "key": None})
    return hashlib.sha256(f"{seed}\n".encode() + content).digest()


def _has_own_ids(declaration: PromptSet) -> bool:
    if declaration.rows is not None:
        return all(row.id is not None for row in declaration.rows)
    return declaration.columns.id is not None
