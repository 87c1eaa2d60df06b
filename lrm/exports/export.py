"""Exports by the name of their format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, assert_never, get_args

from lrm.errors import SpecError
from lrm.exports.gather import gathered
from lrm.exports.place import Written, refuse
from lrm.store.catalog import Catalog

Format = Literal["inspect", "every-eval-ever", "helm", "csv", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)


def export(
    catalog: Catalog,
    spec: str,
    form: Format,
    out: Path,
    *,
    only: Mapping[str, Sequence[str]] | None = None,
    force: bool = False,
    texts: bool = False,
    organization: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Written:
    """Write what the catalog holds of a spec or import; return what was written. Nothing is asked, and nothing changed.

    Args:
        catalog: Where it is.
        spec: The spec's name in the catalog, or an import's.
        form: The format.
        out: The file (`csv`, `jsonl`) or folder (all others) to write: whole or not at all.
        only: Globs by axis, as `gathered` takes them.
        force: Replace what is at `out`.
        texts: For `csv`: write prompts and responses too.
        organization: For `every-eval-ever`: who ran the evaluation.
        say: Is told what is being done.

    Raises:
        MissingError: The catalog knows no such spec, or nothing of it is left by `only`.
        LrmError: `out` is there already, or cannot be written.
        SpecError: An option is not one of the format's.
        CatalogError, BusyError: The catalog cannot be read.
    """
    if texts and form != "csv":
        raise SpecError("texts are chosen for csv alone", hint="the other formats hold them always")
    if organization is not None and form != "every-eval-ever":
        raise SpecError("an organization is named in every-eval-ever alone")
    refuse(out, force=force)
    with gathered(catalog, spec, only, say=say) as found:
        if say is not None:
            say(f"writing {out}")
        match form:
            case "inspect":
                from lrm.exports import inspect

                return inspect.write(found, out, force=force)
            case "every-eval-ever":
                from lrm.exports import every_eval_ever

                return every_eval_ever.write(found, out, force=force, organization=organization)
            case "helm":
                from lrm.exports import helm

                return helm.write(found, out, force=force)
            case "csv":
                from lrm.exports import rows

                return rows.write_csv(found, out, force=force, texts=texts)
            case "jsonl":
                from lrm.exports import rows

                return rows.write_jsonl(found, out, force=force)
            case _:
                assert_never(form)
