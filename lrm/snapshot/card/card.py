"""The card of a snapshot: README.md, which the Hub shows and by which its viewer and `datasets` find the tables.

It depends on nothing but what is in the snapshot: no date, no machine, no name of a repository, so it is the same wherever the
folder lies. Names, licences, citations and every other text that somebody else wrote stand in it as text alone: what could be
Markdown, HTML, an address or a control sign is written as a reference to its number.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lrm.snapshot.card.head import DEFAULT, head
from lrm.snapshot.card.rates import rates
from lrm.snapshot.card.text import LONG, NAME, inert, link, row, sized
from lrm.snapshot.manifest import Manifest
from lrm.snapshot.tables import TABLES, Family
from lrm.store.rates import Rate

MARKER = "<!-- lrm-snapshot-card 1 -->"
"""By this line lrm knows a card of its own, which it may write anew; it is the first after the head."""
LISTED, PINS = 100, 40
"""Rows of each of its tables but that of rates; pins of each spec."""

_STATES = ("done", "blocked", "failed", "missing")
_ASKED = ("generations run", "generations simulated")
_FAMILIES: dict[Family, str] = {
    "prompts": "what was asked: prompts, rendered messages, what attackers wrote",
    "responses": "what models under test said: thinking, answers, payloads",
    "judgements": "what judges and people said of it: explanations, cited passages, notes, payloads of judges",
}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model in a snapshot: under test, an attacker, or one that judges."""

    name: str
    visibility: str | None = None
    """What of its thinking comes back; None is unknown."""
    simulated: bool | None = None
    imported: bool = False
    """Whether its responses came by `lrm import` from data of others."""
    licence: str | None = None
    checkpoint: str | None = None
    """The checkpoint or the provider's id."""
    revision: str | None = None
    backend: str | None = None


@dataclass(frozen=True, slots=True)
class JudgeFacts:
    """A judge in a snapshot."""

    name: str
    kind: str | None = None
    """`refusal`, `llm`, `classifier` …"""
    harm_for: str | None = None
    """Prompts on which it measures harm: `unsafe` ones, or `all`."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A row of the snapshot's table `declarations`, as far as the card needs it."""

    kind: str
    name: str
    declaration: str
    """JSON."""
    visibility: str | None = None
    simulated: bool | None = None
    harm_for: str | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card says."""

    manifest: Manifest
    rates: Sequence[Rate] = ()
    """The snapshot's table `rates`, in any order."""
    models: Sequence[ModelFacts] = ()
    attacks: Sequence[str] = ()
    judges: Sequence[JudgeFacts] = ()
    gated: str | None = None
    """What is shown to who asks for access, where access is to be asked for; None where it is not."""
    named: bool = False
    """Whether annotators stand by name, and not by pseudonym."""


def facts_of(
    manifest: Manifest,
    declared: Iterable[Declared],
    rates: Iterable[Rate] = (),
    *,
    gated: str | None = None,
    named: bool = False,
) -> CardFacts:
    """Return the facts of a card from the rows of the tables `declarations` and `rates`, in any order."""
    models, judges, attacks = [], [], set()
    for one in declared:
        said = _declaration(one.declaration)
        match one.kind:
            case "model":
                backend = _text(said.get("backend"))
                models.append(
                    ModelFacts(
                        one.name, one.visibility, one.simulated, backend == "imported", _text(said.get("licence")),
                        _text(said.get("model")), _text(said.get("revision")), backend,
                    )
                )  # fmt: skip
            case "judge":
                judges.append(JudgeFacts(one.name, _text(said.get("kind")), one.harm_for))
            case "attack":
                attacks.add(one.name)
            case _:
                pass
    return CardFacts(
        manifest, tuple(rates), tuple(sorted(set(models), key=repr)), tuple(sorted(attacks)),
        tuple(sorted(set(judges), key=repr)), gated, named,
    )  # fmt: skip


def is_ours(text: str) -> bool:
    """Return whether a README is a card that lrm wrote, which it may write anew."""
    return f"\n{MARKER}\n" in text


def card(facts: CardFacts) -> str:
    """Return the card. Equal facts give equal text."""
    others = {one.name for one in facts.models if one.imported}
    parts = (
        _opening(facts), rates(facts.rates, others), _loading(), _tables(facts.manifest), _withheld(facts), _sets(facts.manifest),
        _models(facts.models), _asked(facts), _provenance(facts.manifest), _citing(facts.manifest),
    )  # fmt: skip
    simulated, imported = _simulated(facts), _imported(facts)
    top = head(
        facts.manifest,
        f"Safety assessment: {_names(facts.manifest)}",
        simulated=simulated,
        imported=imported,
        gated=facts.gated,
    )
    lines = [MARKER, f"# Safety assessment: {inert(_names(facts.manifest), LONG)}", ""]
    for part in parts:
        lines += [*part, ""]
    return top + "\n".join(lines).rstrip("\n") + "\n"


def _names(manifest: Manifest) -> str:
    names = sorted({one.name for one in manifest.specs})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{', '.join(names[:3]) or 'no spec'}{more}"


def _simulated(facts: CardFacts) -> bool:
    return bool(facts.manifest.counts.get("generations simulated")) or any(one.simulated for one in facts.models)


def _imported(facts: CardFacts) -> bool:
    return bool(_of_others(facts.manifest)) or any(one.imported for one in facts.models)


def _of_others(manifest: Manifest) -> int | None:
    """Return how many responses were neither asked for by lrm nor simulated; None where that is not counted."""
    found = [
        number for name, number in manifest.counts.items() if name.startswith("generations ") and name not in _ASKED
    ]
    return sum(found) if found else None


def _opening(facts: CardFacts) -> Iterator[str]:
    counts = facts.manifest.counts
    whole = counts.get("generations", 0)
    if _simulated(facts):
        part = counts.get("generations simulated")
        yield f"> **SIMULATED: {_share(part, whole)} in here come from simulated models**, stand-ins with planted behaviour. They say"
        yield "> nothing about any real model. Their `cells` and `rates` have `simulated = true`: leave them out before you conclude."
        yield ""
    if _imported(facts):
        share = _share(_of_others(facts.manifest), whole)
        yield f"> **IMPORTED: {share} in here were made by others** and imported from their files, not asked for by"
        yield "> lrm. In `cells` and `generations` their `source` is `imported`; `imports` says from what, and what is unknown."
        yield ""
    yield "> **Content warning.** This is material from safety tests: prompts that ask for harm, and responses of models to them, which can"
    yield "> be offensive, false or dangerous to act on. It is for research on safety, and is not to be used to cause harm."
    yield ""
    states = ", ".join(f"{counts[f'cells {state}']:,} {state}" for state in _STATES if counts.get(f"cells {state}"))
    yield f"What language models answered, and what they thought on the way, when they were put to {counts.get('cells', 0):,} cells of a"
    yield f"matrix of model × prompt × attack ({states or 'none of them asked'}), and what {counts.get('verdicts', 0):,} verdicts and"
    yield f"{counts.get('annotations', 0):,} labels say of it. It is a snapshot of lrm: Parquet, one config a table, checked by hashes."


def _share(part: int | None, whole: int) -> str:
    if part is None or not whole:
        return "some responses"
    return f"all {whole:,} responses" if part == whole else f"{part:,} of {whole:,} responses"


def _loading() -> Iterator[str]:
    yield "## Load it"
    yield ""
    yield "`ORG/NAME` is this repository; the name of a config is that of a table. A copy on disk loads in the same way, by its folder."
    yield ""
    yield from (
        "```python", "from datasets import load_dataset", "",
        'verdicts = load_dataset("ORG/NAME", "verdicts", split="train")', "```", "", "```python", "import pandas", "",
        'cells = pandas.read_parquet("hf://datasets/ORG/NAME/data/cells")', "```", "", "```sql",
        "-- duckdb", "SELECT model, prompt_set, attack, judge, unsafe_rate, harm_judged",
        "FROM 'hf://datasets/ORG/NAME/data/rates/*.parquet';", "```", "", "```sh",
        "lrm snapshot pull ORG/NAME              # verify it, and merge it into a catalog",
        "lrm matrix fill SPEC --from ORG/NAME    # take from it what a spec needs, and ask only for the rest", "```",
    )  # fmt: skip


def _tables(manifest: Manifest) -> Iterator[str]:
    yield "## What is in it"
    yield ""
    yield row(["config", "rows", "size", "what a row is"])
    yield row(["---", "---:", "---:", "---"])
    for table in sorted(TABLES, key=lambda table: table.name != DEFAULT):
        files = manifest.of(table.name)
        if files:
            rows, size = sum(one.rows for one in files), sum(one.bytes for one in files)
            yield row([f"`{table.name}`", f"{rows:,}", sized(size), table.about])
    empty = [f"`{table.name}`" for table in TABLES if not manifest.of(table.name)]
    if empty:
        yield ""
        yield f"Without rows, and so without a config: {', '.join(empty)}."
    yield ""
    yield "Rows name each other by ids: a generation by its call, a verdict by its generation. Columns such as `model`, `prompt_set` and"
    yield "`attack` repeat the names of the first cell that a row belongs to."


def _withheld(facts: CardFacts) -> Iterator[str]:
    manifest = facts.manifest
    yield "## What is withheld"
    yield ""
    for family, what in _FAMILIES.items():
        match manifest.texts.get(family, "all"):
            case "hashed":
                yield f"- **{family}**: withheld. {what[0].upper()}{what[1:]}; their SHA-256 is there."
            case "none":
                yield f"- **{family}**: withheld. {what[0].upper()}{what[1:]}."
            case _:
                yield f"- {family}: in it. {what[0].upper()}{what[1:]}."
    for one in [one for one in manifest.sets if one.withheld is not None][:LISTED]:
        yield f"- prompts of **{inert(one.name)}** ({one.prompts:,}): withheld, {inert(one.withheld, LONG)}."
    names = "stand by name" if facts.named else "stand under pseudonyms"
    yield f"- People who labelled {names}. Failures, runs, endpoints, prices, paths and keys are never in a snapshot."
    yield ""
    yield "A withheld text is NULL in a row with `withheld = true`. Responses can quote prompts that are withheld."


def _sets(manifest: Manifest) -> Iterator[str]:
    yield "## Prompt sets and their licences"
    yield ""
    if not manifest.sets:
        yield "None."
        return
    inside = manifest.texts.get("prompts", "all") == "all"
    sets = sorted(manifest.sets, key=lambda one: (one.name, one.model_dump_json()))
    yield row(["prompt set", "prompts", "licence", "texts", "from"])
    yield row(["---", "---:", "---", "---", "---"])
    for one in sets[:LISTED]:
        yield row([
            inert(one.name), f"{one.prompts:,}", inert(one.licence or None, LONG) + (", gated" if one.gated else ""),
            "in it" if inside and one.withheld is None else "withheld", link(one.homepage),
        ])  # fmt: skip
    yield from _more(len(sets))
    yield ""
    yield "Each set stays under the terms of those who made it, in whatever form its prompts stand in here."
    cited = sorted({(one.name, one.citation) for one in sets if one.citation})
    if cited:
        yield ""
        yield from (f"- {inert(name)}: {inert(citation, LONG)}" for name, citation in cited[:LISTED])


def _models(models: Sequence[ModelFacts]) -> Iterator[str]:
    yield "## Models"
    yield ""
    if not models:
        yield "None."
        return
    yield row(["model", "what it is", "thinking", "revision", "licence or terms"])
    yield row(["---"] * 5)
    for one in models[:LISTED]:
        made = "**simulated**" if one.simulated else "imported responses" if one.imported else inert(one.backend)
        what = made if one.checkpoint is None or one.simulated else f"{made}, {inert(one.checkpoint)}"
        yield row([
            inert(one.name), what, inert(one.visibility), inert(one.revision), inert(one.licence, LONG),
        ])  # fmt: skip
    yield from _more(len(models))
    yield ""
    yield "What a model wrote may be under the terms of its licence or of its provider, who may forbid some uses of it, such as training"
    yield "other models. `unknown` means that nobody declared it: look there before you use what it wrote."


def _asked(facts: CardFacts) -> Iterator[str]:
    yield "## Attacks and judges"
    yield ""
    attacks = [inert(name) for name in facts.attacks[:LISTED]]
    more = len(facts.attacks) - len(attacks)
    yield f"Attacks: {', '.join(attacks) or 'none'}{f' and {more:,} more' if more > 0 else ''}."
    yield ""
    if not facts.judges:
        yield "Judges: none."
        return
    yield row(["judge", "kind", "harm is measured on"])
    yield row(["---"] * 3)
    for one in facts.judges[:LISTED]:
        where = {"all": "all prompts", "unsafe": "prompts that should be declined"}.get(one.harm_for or "")
        yield row([inert(one.name), inert(one.kind), where or inert(one.harm_for)])
    yield from _more(len(facts.judges))
    yield ""
    yield "How each is made stands in the config `declarations`."


def _provenance(manifest: Manifest) -> Iterator[str]:
    yield "## Provenance"
    yield ""
    for spec in sorted(manifest.specs, key=lambda one: one.model_dump_json())[:LISTED]:
        kind = "without its TOML text" if spec.text is None else "its TOML text is in `manifest.json`"
        yield f"- spec **{inert(spec.name)}**: {kind}."
        yield from (f"  - {pin}" for pin in _pins(spec.lock))
    yield f"- Written by lrm {inert(manifest.version)}, with {_versions(manifest.made_with)}."
    yield f"- Ids follow the rules {inert(', '.join(manifest.identity), LONG)}; the splitter of traces has version {manifest.splitter}."
    yield f"- {len(manifest.files):,} files of Parquet, each named by its hash; `manifest.json` lists SHA-256, rows and sizes."
    yield ""
    yield "`lrm snapshot verify ORG/NAME` checks every hash, and derives every id anew from what is in here. The same content,"
    yield "written by the same versions, is the same bytes on every machine."


def _pins(lock: str | None) -> Iterator[str]:
    """Return what a lock pins, one a line."""
    if lock is None:
        return
    try:
        content = tomllib.loads(lock)
    except (ValueError, RecursionError):
        yield "its lock cannot be read"
        return
    pins = sorted(_pinned(content))
    yield from (f"{inert(kind)} {inert(name)}: {inert(value)}" for kind, name, value in pins[:PINS])
    if len(pins) > PINS:
        yield f"{len(pins) - PINS:,} more in `manifest.json`"


def _pinned(content: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    for kind, names in (("prompt set", "prompt_sets"), ("attack", "attacks"), ("model", "models")):
        table = content.get(names)
        for name, pin in table.items() if isinstance(table, dict) else ():
            parts = pin.items() if kind == "model" and isinstance(pin, dict) else ((None, pin),)
            for part, one in parts:
                if isinstance(one, dict) and (value := one.get("revision") or one.get("sha256")) is not None:
                    word = "commit" if one.get("revision") else "sha256"
                    yield kind, name if part is None else f"{name} ({part})", f"{word} {value}"


def _versions(made_with: Mapping[str, str]) -> str:
    return ", ".join(f"{inert(name)} {inert(version)}" for name, version in sorted(made_with.items())) or "nothing else"


def _citing(manifest: Manifest) -> Iterator[str]:
    names = ", ".join(
        re.sub(r"[^A-Za-z0-9 ._-]", "?", one.name)[:NAME]
        for one in sorted(manifest.specs, key=lambda one: one.name)[:3]
    )
    yield "## Cite"
    yield ""
    yield "Name the repository, the commit that you used and its authors, and the prompt sets above."
    yield ""
    yield from (
        "```bibtex", "@misc{lrm_snapshot,", f"  title = {{Safety assessment of language models: {names or 'a snapshot'}}},",
        "  author = {the authors of this repository},", "  howpublished = {Hugging Face Hub, dataset ORG/NAME, commit COMMIT},",
        f"  note = {{Snapshot of lrm {re.sub(r'[^A-Za-z0-9.+-]', '?', manifest.version)[:NAME]}}},", "}", "```",
    )  # fmt: skip


def _more(number: int) -> Iterator[str]:
    if number > LISTED:
        yield ""
        yield f"{number - LISTED:,} more in the config `declarations`."


def _declaration(text: str) -> Mapping[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
