"""`lrm report`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lrm_cli import exits, options
from lrm_cli.command import Command
from lrm_cli.output import put, put_json, say

FORMATS = ("html", "md", "latex", "csv", "json")
"""As `lrm.report.write` has them; written out, so that help loads nothing of it."""


@click.command(
    "report",
    cls=Command,
    examples=(
        "lrm report specs/quickstart.toml",
        "lrm report r1-sim --against r1-safety --out r1-sim-report",
        "lrm report specs/r1.toml --format latex --format csv --section safety --section thinking",
    ),
    keys=("spec", "folder", "files", "findings"),
)
@click.argument("spec", shell_complete=options.complete_files)
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(FORMATS), help="What to write; default: all. Repeatable."
)
@click.option(
    "--against", multiple=True, metavar="REFERENCE",
    help="Published numbers to set beside ours, in place of those the spec names. Repeatable.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="The folder to write; default: SPEC-report here."
)
@click.option(
    "--section", "sections", multiple=True, metavar="NAME", help="Only these, e.g. safety or thinking. Repeatable."
)
@options.catalog_option
@options.registry_option
@options.json_option
def command(
    spec: str,
    formats: tuple[str, ...],
    against: tuple[str, ...],
    out: Path | None,
    sections: tuple[str, ...],
    catalog_file: str | None,
    registry_folders: tuple[Path, ...],
    as_json: bool,
) -> int:
    """Write tables and plots with intervals, next to the published numbers.

    SPEC is a spec's file, or the name of a spec or import in the catalog, and counts as it was last filled. Reads the catalog alone
    and asks no model. Writes report.html, one page that needs nothing else, report.md, report.tex, report.json, and each table and plot
    on its own in tables/ and plots/.
    """
    from lrm.report.build import build
    from lrm.report.write import FORMATS as KNOWN
    from lrm.report.write import folder_name, write
    from lrm.store.specs import find_spec, known_specs

    catalog = options.open_catalog(catalog_file)
    registry = options.open_registry(registry_folders)
    with catalog.reading() as connection:
        name = find_spec(spec, known_specs(connection)).name
    file = Path(spec) if Path(spec).suffix == ".toml" and Path(spec).is_file() else None
    report = build(catalog, name, file=file, against=against or None, registry=registry, only=sections, say=_counting)
    _counting("")
    folder = out or Path(folder_name(name))
    written = write(report, folder, [form for form in KNOWN if not formats or form in formats])
    findings = [finding for section in report.sections for finding in section.findings]
    if as_json:
        put_json({"spec": name, "folder": folder, "files": written, "findings": findings})
        return exits.OK
    for one in written:
        put(f"{folder / one.path}  {one.what}")
    for section in report.sections:
        if section.key == "notice":
            for text in section.text:
                say(text)
    return exits.OK


def _counting(part: str) -> None:
    """Tell who waits at a terminal which part is being counted: one line that grows, ended by an empty part."""
    if sys.stderr.isatty():
        click.echo(f"{part} … " if part else "counted", nl=not part, err=True)
