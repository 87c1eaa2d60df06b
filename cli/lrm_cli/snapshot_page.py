"""How snapshots, and what is done with them, are printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lrm_cli.output import cut, put, put_table, say
from lrm_cli.table import Cell, count, table

if TYPE_CHECKING:
    from lrm.snapshot.choice import Choice
    from lrm.snapshot.hub.publish import Published
    from lrm.snapshot.manifest import Manifest, SetTerms
    from lrm.snapshot.publishing import Outgoing
    from lrm.snapshot.pull import Pulled
    from lrm.snapshot.sizes import Harm, TableSize


def size(number: int) -> str:
    """Return a number of bytes as people read it, e.g. `12.3 MB`."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{number} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def put_sizes(tables: Sequence[TableSize]) -> None:
    """Print the tables of a snapshot with their sizes."""
    rows: list[tuple[Cell, ...]] = [
        (one.table, one.rows, one.files, size(one.bytes), f"{one.withheld:,} without text" if one.withheld else "")
        for one in tables
    ]
    total = (sum(one.rows for one in tables), sum(one.files for one in tables), sum(one.bytes for one in tables))
    rows.append(("together", total[0], total[1], size(total[2]), ""))
    put_table(table(("table", "rows", "files", "size", "withheld"), rows))


def withheld_sets(manifest: Manifest) -> list[SetTerms]:
    """Return the prompt sets whose prompts are not in a snapshot."""
    return [one for one in manifest.sets if one.withheld is not None]


def say_withheld(manifest: Manifest, choice: Choice) -> None:
    """Say what stays here and why, and how it would go."""
    for one in cut(withheld_sets(manifest), 20):
        allowed = "" if choice.of("prompts") != "all" else f" (--allow {one.name} lets them go)"
        say(f"withheld: the {count(one.prompts, 'prompt')} of {one.name}: {one.withheld}{allowed}")
    for family in ("responses", "judgements"):
        if choice.of(family) != "all":
            say(f"withheld: texts of {family}, as --texts says; {_instead(choice.of(family))}")
    if choice.annotators == "named":
        say("people who labelled stand in it by name")


def _instead(how: str) -> str:
    return "their hashes are there" if how == "hashed" else "no hashes either"


def harm_said(harm: Harm) -> str:
    """Return what strangers would read that may do harm, in words."""
    parts = []
    if harm.prompts:
        parts.append(f"{count(harm.prompts, 'prompt')} not known to be harmless")
    if harm.responses:
        parts.append(f"{count(harm.responses, 'response')} that a judge found unsafe")
    return " and ".join(parts)


def would_be(plan: Outgoing) -> str:
    """Return what publishing comes to, in words."""
    if plan.unchanged:
        return f"nothing: {plan.repo} has it all"
    new = f"{count(plan.new_files, 'file')}, {size(plan.new_bytes)}, with manifest and card"
    return (
        f"{new}, to {'' if plan.exists else 'a new repository, '}{plan.repo}, {'public' if plan.public else 'private'}"
    )


def public_said(plan: Outgoing) -> str:
    """Return that everybody will be able to read what is published, and what that is."""
    harm = harm_said(plan.harm)
    gate = f", after asking for access ({plan.gated})" if plan.gated else ""
    return f"{'becomes' if plan.becomes_public else 'is'} public{gate}" + (f": strangers read {harm}" if harm else "")


def say_outgoing(plan: Outgoing) -> None:
    """Say where a snapshot goes and who can read it there."""
    say(f"to send: {would_be(plan)}")
    if plan.others:
        say(
            f"{plan.repo} has rows that this export lacks ({count(plan.others, 'file')}): they stay, and the two are made one"
        )
    if plan.public:
        say(f"{plan.repo} {public_said(plan)}")
        if plan.harm:
            say(
                "  fewer read it with --private or --gate manual; --texts prompts=none, --texts responses=none keep texts here"
            )


def published_object(plan: Outgoing, done: Published | None, manifest: Manifest) -> dict[str, Any]:
    """Return what publishing came to, or would, for `--json`."""
    return {
        "repo": plan.repo, "url": None if done is None else done.url, "commit": None if done is None else done.commit,
        "exists": plan.exists, "public": plan.public if done is None else not done.private, "gated": plan.gated,
        "unchanged": plan.unchanged if done is None else done.unchanged,
        "uploaded": plan.new_files if done is None else len(done.uploaded),
        "bytes": plan.new_bytes if done is None else done.bytes, "others": plan.others, "harm": plan.harm,
        "tables": plan.tables, "withheld": {one.name: one.withheld for one in withheld_sets(manifest)},
        "dry_run": done is None,
    }  # fmt: skip


def pulled_object(pulled: Pulled) -> dict[str, Any]:
    """Return what a pull came to, for `--json`."""
    merged = pulled.merged
    loaded = None if merged is None else merged.loaded
    counts = {
        name: 0 if loaded is None else getattr(loaded, field)
        for name, field in (
            ("responses", "generations"), ("calls", "calls"), ("verdicts", "verdicts"), ("labels", "annotations"),
            ("prompts", "prompts"), ("other_responses", "rivals"), ("other_verdicts", "other_verdicts"),
            ("waiting", "waiting"), ("without_text", "withheld"),
        )
    }  # fmt: skip
    return {
        "name": pulled.origin.name, "publisher": pulled.origin.publisher, "commit": pulled.origin.commit,
        "specs": pulled.specs, "changed_specs": () if merged is None else merged.specs, "merged_before": pulled.before,
        "trusted": None if merged is None else merged.trusted, **counts,
        "withheld": [{"prompt_set": one.name, "prompts": one.prompts, "why": one.withheld, "homepage": one.homepage}
                     for one in pulled.withheld],
    }  # fmt: skip


PULLED = (
    "name", "publisher", "commit", "specs", "changed_specs", "merged_before", "trusted", "responses", "calls", "verdicts",
    "labels", "prompts", "other_responses", "other_verdicts", "waiting", "without_text", "withheld",
)  # fmt: skip


def put_pulled(pulled: Pulled) -> None:
    """Print what was new on stdout, and what to know about it on stderr."""
    label = pulled.origin.label
    if pulled.merged is None:
        put(f"{label}: nothing new, it was merged {pulled.before:%Y-%m-%d %H:%M} UTC")
        return
    new = pulled.merged.loaded
    specs = f" of {', '.join(pulled.specs)}" if pulled.specs else ""
    put(
        f"{label}: {count(new.generations, 'new response')}{specs} for {count(new.calls, 'call')} without one, "
        f"{count(new.verdicts, 'new verdict')}, {count(new.annotations, 'new label')}, {count(new.prompts, 'new prompt')}"
    )
    if pulled.merged.specs:
        put(f"specs that span more now, or otherwise: {', '.join(pulled.merged.specs)}")
    if new.rivals:
        say(f"{count(new.rivals, 'response')} to calls that had another one: kept beside the first")
    if new.other_verdicts:
        say(
            f"{count(new.other_verdicts, 'verdict')} that judges gave otherwise: kept beside the earlier one, which counts"
        )
    if new.withheld:
        say(f"{count(new.withheld, 'response')} without their text: they cannot be taken")
    say_waiting(pulled)
    if not pulled.merged.trusted:
        whose = pulled.origin.publisher or pulled.origin.name
        say(f"its responses fill no cell: {whose} is not trusted; `lrm matrix fill SPEC --trust {whose}` changes that")


def say_waiting(pulled: Pulled) -> None:
    """Say which responses wait for prompts that are withheld, and how to get those."""
    if pulled.merged is None or not pulled.merged.loaded.waiting:
        return
    waiting = pulled.merged.loaded.waiting
    one = waiting == 1
    say(f"{count(waiting, 'response')} {'waits' if one else 'wait'} for prompts that are withheld:")
    for terms in cut(pulled.withheld, 20):
        place = f"; {terms.homepage}" if terms.homepage else ""
        say(f"  {terms.name} ({count(terms.prompts, 'prompt')}): {terms.withheld}{place}")
    name = pulled.origin.name
    if pulled.files:
        spec = f"{pulled.files[0]}.toml" if len(pulled.files) == 1 else "SPEC"
        say(
            f"  `lrm matrix fill {spec} --from {name}` reads the sets that the spec names from their source, where you have"
        )
        say("  access to them, and takes what waits")
    if len(pulled.files) < len(pulled.specs):
        say(
            f"  what was imported: import the same data here with `lrm import`, then `lrm snapshot pull {name}` takes what waits"
        )


def put_list(rows: Iterable[Sequence[Cell]], headings: Sequence[str]) -> None:
    """Print a list, cut like others."""
    put_table(table(headings, cut(list(rows))))
