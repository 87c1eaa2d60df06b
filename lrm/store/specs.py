"""Specs as the catalog knows them: by name, or by the file that they were filled from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lrm.errors import MissingError, known_names_hint

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True, slots=True)
class KnownSpec:
    """A spec or import that the catalog has something of."""

    name: str
    span: int
    """Number of what it spans now."""
    file: str | None
    """Where its file was seen last."""
    chosen_at: datetime
    """Since when it spans that, UTC."""


def known_specs(
    connection: duckdb.DuckDBPyConnection, schema: Literal["lrm", "cat.lrm"] = "lrm"
) -> dict[str, KnownSpec]:
    """Return the specs and imports of a catalog by name, in the order of their names."""
    rows = connection.execute(
        "SELECT spec, arg_max(span_n, n), arg_max(file, n), arg_max(chosen_at, n) "
        f"FROM {schema}.spec_spans GROUP BY spec ORDER BY spec"
    ).fetchall()
    return {row[0]: KnownSpec(*row) for row in rows}


def find_spec(given: str, known: Mapping[str, KnownSpec]) -> KnownSpec:
    """Return the spec that a name or a file means. Raises MissingError for one that the catalog does not know."""
    path = Path(given)
    is_file = path.suffix == ".toml" or path.is_file()
    found = known.get(given) or (known.get(path.stem) if is_file else None)
    if found is not None:
        return found
    if not is_file:
        raise MissingError(f"the catalog knows no spec or import `{given}`", hint=known_names_hint(given, known))
    if not path.is_file():
        raise MissingError(f"there is no spec at {given}", hint=known_names_hint(path.stem, known) or "check the path")
    raise MissingError(
        f"the catalog has nothing of {given} yet",
        hint=f"fill it first: `lrm matrix fill {given}`; or name another --catalog",
    )
