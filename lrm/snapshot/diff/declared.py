"""Declarations that differ between two snapshots, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import duckdb

How = Literal["only_a", "only_b", "another", "described"]
"""`another`: one name, two identities; `described`: the same thing, with other words about it."""
MAX_FIELDS = 20


@dataclass(frozen=True, slots=True)
class Changed:
    """A declaration that is not the same on both sides."""

    kind: str
    name: str
    how: How
    fields: tuple[tuple[str, str, str], ...] = ()
    """Name of a field, with its value in A and in B as JSON; of `another`, those that identity is made of."""


def changed_declarations(connection: duckdb.DuckDBPyConnection) -> tuple[Changed, ...]:
    """Return the declarations in `a_declarations` and `b_declarations` that are not the same."""
    rows = connection.execute(
        """
        SELECT kind, coalesce(a.name, b.name), id, a.identity, a.declaration, b.identity, b.declaration
        FROM a_declarations a FULL JOIN b_declarations b USING (kind, id)
        WHERE a.declaration IS DISTINCT FROM b.declaration ORDER BY ALL
        """
    ).fetchall()
    alone: dict[tuple[str, str], tuple[list[Any], list[Any]]] = {}
    found = []
    for kind, name, _, identity_a, declared_a, identity_b, declared_b in rows:
        if declared_a is not None and declared_b is not None:
            found.append(Changed(kind, name, "described", _fields(declared_a, declared_b)))
            continue
        sides = alone.setdefault((kind, name), ([], []))
        if declared_a is not None:
            sides[0].append(identity_a or declared_a)
        else:
            sides[1].append(identity_b or declared_b)
    for (kind, name), (in_a, in_b) in alone.items():
        if len(in_a) == 1 and len(in_b) == 1:
            found.append(Changed(kind, name, "another", _fields(in_a[0], in_b[0])))
        else:
            found += [Changed(kind, name, "only_a")] * len(in_a) + [Changed(kind, name, "only_b")] * len(in_b)
    return tuple(sorted(found, key=lambda one: (one.kind, one.name, one.how)))


def _fields(first: str, second: str) -> tuple[tuple[str, str, str], ...]:
    a, b = _flat(json.loads(first)), _flat(json.loads(second))
    return tuple(
        (name, a.get(name, ""), b.get(name, "")) for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)
    )[:MAX_FIELDS]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {prefix: json.dumps(value, ensure_ascii=False, sort_keys=True)}
    found: dict[str, str] = {}
    for name, part in value.items():
        found |= _flat(part, f"{prefix}.{name}" if prefix else str(name))
    return found
