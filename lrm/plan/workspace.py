"""The workspace of a plan: the catalog attached read-only, and beside it what the catalog does not know yet.

Rows that are new get numbers above the catalog's, so that every query reads the union of the two. `lrm.store.register`
copies them over when a fill begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from lrm import hashing
from lrm.attacks.render import Renderer, open_attack
from lrm.errors import CatalogError
from lrm.judges.open import OpenJudge, open_judge
from lrm.plan import pursuits, rendering
from lrm.plan.pursuits import Against
from lrm.prompts.load import load
from lrm.prompts.prompt import Prompt
from lrm.prompts.source import Source, locate
from lrm.registry.declarations import Model, PromptSet
from lrm.registry.identity import declaration_json, model_id, model_identity
from lrm.registry.judges import RewardJudge, RulesJudge, Scope
from lrm.registry.tables import Json
from lrm.spec.lock import Lock, read_lock
from lrm.spec.matrix import Located, Matrix, Slice, named
from lrm.store.catalog import Catalog, workspace
from lrm.store.trust import Trust, suppose, trusted_snapshots

if TYPE_CHECKING:
    import duckdb

    from lrm.attacks.adaptive.open import AdaptiveAttack

TABLES = """
CREATE TABLE new_models AS SELECT * FROM cat.lrm.models LIMIT 0;
CREATE TABLE new_attacks AS SELECT * FROM cat.lrm.attacks LIMIT 0;
CREATE TABLE new_judges AS SELECT * FROM cat.lrm.judges LIMIT 0;
CREATE TABLE new_judge_scopes AS SELECT * FROM cat.lrm.judge_scopes LIMIT 0;
CREATE TABLE new_prompts AS SELECT * FROM cat.lrm.prompts LIMIT 0;
CREATE TABLE new_prompt_sets AS SELECT * FROM cat.lrm.prompt_sets LIMIT 0;
CREATE TABLE new_members AS SELECT * FROM cat.lrm.prompt_set_members LIMIT 0;
CREATE TABLE new_sources AS SELECT * FROM cat.lrm.sources LIMIT 0;
CREATE TABLE new_messages AS SELECT n, id, messages FROM cat.lrm.messages LIMIT 0;
CREATE TABLE new_renderings AS SELECT * FROM cat.lrm.renderings LIMIT 0;
CREATE TABLE slices (
    ix INTEGER, model_n INTEGER, model VARCHAR, set_n INTEGER, prompt_set VARCHAR, attack_n INTEGER, attack VARCHAR,
    replicates INTEGER, condition VARCHAR, first_replicate INTEGER DEFAULT 0
);
CREATE TABLE chosen_judges (
    judge_scope_n INTEGER, judge_n INTEGER, judge VARCHAR, scope VARCHAR, prompt_sets VARCHAR[], by_prompt BOOLEAN,
    against VARCHAR, laid_out BOOLEAN
);
CREATE TABLE wanted (
    judge_scope_n INTEGER, generation_n INTEGER, prompt_n INTEGER, against_n INTEGER, ix INTEGER, shown_prompt_n INTEGER,
    messages_n INTEGER
);
CREATE VIEW prompts AS FROM cat.lrm.prompts UNION ALL FROM new_prompts;
CREATE VIEW members AS FROM cat.lrm.prompt_set_members UNION ALL FROM new_members;
CREATE VIEW messages AS SELECT n, id, messages FROM cat.lrm.messages UNION ALL FROM new_messages;
CREATE VIEW renderings AS FROM cat.lrm.renderings UNION ALL FROM new_renderings;
CREATE VIEW calls AS FROM cat.lrm.calls;
"""


@dataclass(slots=True)
class Workspace:
    """A plan's tables, and the numbers under which the declarations of its matrix stand in them."""

    connection: duckdb.DuckDBPyConnection
    catalog: Catalog
    matrix: Matrix
    model_ids: dict[str, bytes] = field(default_factory=dict)
    """By key of the matrix's models; `model_ns` likewise, and `attack_ns` by that of its attacks."""
    model_ns: dict[str, int] = field(default_factory=dict)
    set_ns: dict[str, int] = field(default_factory=dict)
    attack_ns: dict[str, int] = field(default_factory=dict)
    renderers: dict[int, tuple[str, Renderer]] = field(default_factory=dict)
    adaptive: dict[str, AdaptiveAttack] = field(default_factory=dict)
    """Attacks with other models in them by key of the matrix's attacks; they are not in `attack_ns`, but in `against`."""
    against: dict[int, Against] = field(default_factory=dict)
    """What each attack with other models in it goes against, by its number."""
    blocks: list[int] = field(default_factory=list)
    """For each row of the table `slices`, by `ix`, the place of its slice in the matrix."""
    redeclared: dict[int, Model] = field(default_factory=dict)
    """Models of the catalog whose identity is as it was, and whose declaration is not: another price, endpoint or tag."""
    judges: dict[int, tuple[OpenJudge, Scope]] = field(default_factory=dict)
    """The chosen judges by the number of each of their scopes."""
    resolved: Lock = field(default_factory=Lock)
    """What was resolved on the way, for the lock file."""
    notes: list[str] = field(default_factory=list)
    """What could not be found out of the matrix's models, in sentences to be said."""
    trusted: str = field(default_factory=lambda: trusted_snapshots("cat.lrm"))
    """SQL of the snapshots whose results count in this plan."""
    attached: bool = True

    @property
    def asks_judges(self) -> bool:
        """Whether any chosen judge needs a model."""
        return any(not isinstance(judge.declaration, RulesJudge) for judge, _ in self.judges.values())

    @property
    def runs_here(self) -> bool:
        """Whether anything that the matrix may ask has to be loaded by lrm itself."""
        matrix = self.matrix
        each = (*matrix.models.values(), *matrix.attack_models.values(), *matrix.judge_models.values())
        return any(one.declaration.runs_here for one in each) or any(
            isinstance(judge.declaration, RewardJudge) and judge.declaration.engine == "vllm"
            for judge, _ in self.judges.values()
        )

    def attach(self) -> None:
        """Open the catalog for reading again."""
        if not self.attached:
            self.catalog.attach(self.connection, "cat")
            self.attached = True

    def detach(self) -> None:
        """Let go of the catalog, so that it can be written."""
        if self.attached:
            self.connection.execute("DETACH cat")
            self.attached = False

    def next_n(self, table: str, new_table: str) -> int:
        """Return the first number that neither the catalog nor the workspace uses."""
        found = self.connection.execute(
            f"SELECT greatest((SELECT coalesce(max(n), 0) FROM cat.lrm.{table}), (SELECT coalesce(max(n), 0) FROM {new_table})) + 1"
        ).fetchall()
        return int(found[0][0])


def _temporary() -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory(prefix="lrm-plan-")
    except OSError as error:
        raise CatalogError(
            f"no temporary folder can be made: {error.strerror or error}",
            hint="free some disk space, or name a folder that may be written in TMPDIR",
        ) from error


@contextmanager
def bare(catalog: Catalog) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a workspace's tables over a catalog, with nothing new in them. Raises BusyError when it stays locked."""
    with _temporary() as temp:
        connection = workspace(Path(temp))
        try:
            catalog.attach(connection, "cat")
            connection.execute(TABLES)
            yield connection
        finally:
            connection.close()


@contextmanager
def opened(
    catalog: Catalog,
    matrix: Matrix,
    pins: Lock,
    *,
    say: Callable[[str], None] | None = None,
    trust: Trust | None = None,
) -> Iterator[Workspace]:
    """Open a workspace for a matrix: declarations numbered, prompts loaded and rendered where the catalog lacks them.

    `say` is told of what takes long. With `trust` the plan is made as if only these publishers' results counted.
    Raises SpecError for a prompt set or artifact that cannot be used, MissingError for a publisher of whom nothing was pulled,
    BusyError when the catalog stays locked.
    """
    with bare(catalog) as connection:
        space = Workspace(connection, catalog, matrix)
        if trust is not None:
            space.trusted = suppose(connection, trust)
        _pin_models(space, pins, say)
        _add_models(space)
        _add_attacks(space, pins)
        _add_prompt_sets(space, pins)
        add_judges(space)
        _add_slices(space)
        rendering.render_missing(connection, space.renderers)
        if space.against:
            pursuits.leave_open(connection, space.against)
        yield space


def _pin_models(space: Workspace, pins: Lock, say: Callable[[str], None] | None = None) -> None:
    """Find out what the files of models that run here are: part of their ids."""
    matrix = space.matrix
    models = (*matrix.models.values(), *matrix.judge_models.values(), *matrix.attack_models.values())
    if not any(one.declaration.runs_here and one.declaration.pins is None for one in models):
        return
    from lrm.spec.pinned import pin_models

    found = pin_models(matrix, pins, say=say)
    space.matrix = found.matrix
    space.resolved.models |= found.models
    space.notes += found.notes


def _known(space: Workspace, table: str) -> dict[bytes, int]:
    return dict(space.connection.execute(f"SELECT id, n FROM cat.lrm.{table}").fetchall())


def _add_models(space: Workspace) -> None:
    stored = space.connection.execute("SELECT id, n, declaration FROM cat.lrm.models").fetchall()
    known = {found: n for found, n, _ in stored}
    declared = {n: declaration for _, n, declaration in stored}
    n = max(known.values(), default=0)
    for name, located in space.matrix.models.items():
        model = located.declaration
        identity = model_identity(model)
        found = hashing.digest("i1", identity)
        space.model_ids[name] = found
        if found not in known:
            n += 1
            known[found] = n
            space.connection.execute(
                "INSERT INTO new_models VALUES (?, ?, ?, ?, ?, ?, ?)",
                [n, found, located.name, canonical(identity), declaration_json(model),
                 model.thinking.visibility, model.backend == "simulated"],
            )  # fmt: skip
        elif known[found] not in space.model_ns.values() and declared.get(known[found]) != declaration_json(model):
            space.redeclared[known[found]] = model
        space.model_ns[name] = known[found]


def _add_attacks(space: Workspace, pins: Lock) -> None:
    known = _known(space, "attacks")
    n = max(known.values(), default=0)
    for name, located in space.matrix.attacks.items():
        pin = pins.attacks.get(located.name)
        renderer = open_attack(located, pinned_sha256=pin.sha256 if pin else None)
        if located.declaration.adaptive is not None:
            from lrm.attacks.adaptive.open import open_adaptive

            space.adaptive[name] = open_adaptive(renderer, space.matrix.attack_models)
            continue
        if renderer.sha256 is not None:
            space.resolved.add_attack(located.name, renderer.sha256)
        if renderer.id not in known:
            n += 1
            known[renderer.id] = n
            space.connection.execute(
                "INSERT INTO new_attacks VALUES (?, ?, ?, ?, ?)",
                [n, renderer.id, located.name, canonical(renderer.identity), declaration_json(located.declaration)],
            )
        space.attack_ns[name] = known[renderer.id]
        space.renderers[known[renderer.id]] = (name, renderer)


def _add_prompt_sets(space: Workspace, pins: Lock) -> None:
    remembered = dict(space.connection.execute("SELECT id, set_n FROM cat.lrm.sources").fetchall())
    known = _known(space, "prompt_sets")
    for name, located in space.matrix.prompt_sets.items():
        source = locate(located, pinned=pins.prompt_sets.get(name))
        if source.kind != "rows":
            space.resolved.add_prompt_set(name, sha256=source.sha256, revision=source.revision)
        if source.id not in remembered:
            remembered[source.id] = _read_set(space, located, source, known)
        space.set_ns[name] = remembered[source.id]


def _read_set(space: Workspace, located: Located[PromptSet], source: Source, known: dict[bytes, int]) -> int:
    prompts = load(source, located)
    ids = [prompt.id() for prompt in prompts]
    set_id = hashing.digest("s1", {"prompts": [hashing.show("p1", one) for one in ids]})
    if set_id not in known:
        known[set_id] = space.next_n("prompt_sets", "new_prompt_sets")
        _insert_set(space, known[set_id], set_id, located, prompts, ids)
    space.connection.execute(
        "INSERT INTO new_sources VALUES (?, ?, ?, ?, ?)",
        [source.id, known[set_id], canonical(source.identity), source.sha256, source.revision],
    )
    return known[set_id]


def _insert_set(
    space: Workspace,
    n: int,
    set_id: bytes,
    located: Located[PromptSet],
    prompts: Sequence[Prompt],
    ids: Sequence[bytes],
) -> None:
    space.connection.execute(
        "INSERT INTO new_prompt_sets VALUES (?, ?, ?, ?, ?)",
        [n, set_id, located.name, set_declaration(located.declaration), len(prompts)],
    )
    space.connection.register("incoming_prompts", rendering.prompt_table(prompts, ids))
    first = space.next_n("prompts", "new_prompts")
    space.connection.execute(
        """
        INSERT INTO new_prompts
            SELECT ? + row_number() OVER (ORDER BY ordinal) - 1, id, key, text, system, turns, category, expect, meta
            FROM (SELECT DISTINCT ON (id) * FROM incoming_prompts ORDER BY id, ordinal) p
            WHERE NOT EXISTS (SELECT 1 FROM prompts k WHERE k.id = p.id)
        """,
        [first],
    )
    space.connection.execute(
        "INSERT INTO new_members SELECT ?, p.ordinal, k.n FROM incoming_prompts p JOIN prompts k ON k.id = p.id", [n]
    )
    space.connection.unregister("incoming_prompts")


def set_declaration(declaration: PromptSet) -> str:
    """Return a prompt set's declaration for the catalog: without inline rows, which stand in `prompts`."""
    return declaration_json(declaration.model_copy(update={"rows": None}))


def add_judges(space: Workspace) -> None:
    """Number the matrix's judges and their scopes, in the table `chosen_judges` and in `space.judges`.

    A judge's model that runs here and has no pins gets those of the spec's lock.
    """
    if any(one.declaration.runs_here and one.declaration.pins is None for one in space.matrix.judge_models.values()):
        _pin_models(space, read_lock(space.matrix.file))
    matrix = space.matrix
    known = _known(space, "judges")
    scopes = {
        (judge_n, scope): n
        for n, judge_n, scope in space.connection.execute(
            "SELECT n, judge_n, scope FROM cat.lrm.judge_scopes"
        ).fetchall()
    }
    n = max(known.values(), default=0)
    for chosen in matrix.judges:
        judge = open_judge(chosen.judge, matrix.judge_models, matrix.panel_members)
        if judge.id not in known:
            n += 1
            known[judge.id] = n
            space.connection.execute(
                "INSERT INTO new_judges VALUES (?, ?, ?, ?, ?, ?)",
                [
                    n,
                    judge.id,
                    judge.name,
                    canonical(judge.identity),
                    declaration_json(judge.declaration),
                    judge.harm_for,
                ],
            )
        for scope in chosen.scopes:
            key = (known[judge.id], scope)
            if key not in scopes:
                scopes[key] = max(scopes.values(), default=0) + 1
                space.connection.execute("INSERT INTO new_judge_scopes VALUES (?, ?, ?)", [scopes[key], *key])
            space.judges[scopes[key]] = (judge, scope)
            sets = None if chosen.prompt_sets is None else list(chosen.prompt_sets)
            space.connection.execute(
                "INSERT INTO chosen_judges VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    scopes[key], known[judge.id], judge.name, scope, sets, judge.looks_at_prompt, judge.against,
                    sets is not None or not isinstance(judge.declaration, RulesJudge),
                ],
            )  # fmt: skip
    _note_redeclared(space)


def _note_redeclared(space: Workspace) -> None:
    """Find the models of judges and attacks that the catalog knows under another declaration."""
    asked = {model_id(model): model for attack in space.adaptive.values() for model in attack.models}
    asked |= {
        model_id(model): model for judge, _ in space.judges.values() if judge.asking for model in judge.asking.models
    }
    if not asked:
        return
    rows = space.connection.execute("SELECT id, n, declaration FROM cat.lrm.models").fetchall()
    for found, n, declaration in rows:
        if found in asked and n not in space.model_ns.values() and declaration != declaration_json(asked[found]):
            space.redeclared[n] = asked[found]


def _add_slices(space: Workspace) -> None:
    # Lists and unnest instead of Arrow: importing pyarrow would cost a plan with nothing missing a third of its time.
    known: dict[bytes, int] = {}
    if space.adaptive:
        added = space.connection.execute("SELECT id, n FROM new_attacks").fetchall()
        known = {**_known(space, "attacks"), **dict(added)}
    laid = [one for place, block in enumerate(space.matrix.slices) for one in _laid(space, place, block, known)]
    slices = [block for _, block, _, _ in laid]
    space.blocks = [place for place, _, _, _ in laid]
    space.connection.execute(
        """
        INSERT INTO slices
            SELECT unnest($ix), unnest($model_n), unnest($model), unnest($set_n), unnest($prompt_set), unnest($attack_n),
                unnest($attack), unnest($replicates), unnest($condition), unnest($first_replicate)
        """,
        {
            "ix": list(range(len(slices))),
            "model_n": [space.model_ns[one.model] for one in slices],
            "model": [named(one.model) for one in slices],
            "set_n": [space.set_ns[one.prompt_set] for one in slices],
            "prompt_set": [one.prompt_set for one in slices],
            "attack_n": [attack_n for _, _, attack_n, _ in laid],
            "attack": [named(one.attack) for one in slices],
            "replicates": [one.replicates for one in slices],
            "condition": [one.condition for one in slices],
            "first_replicate": [first for _, _, _, first in laid],
        },
    )


def _laid(space: Workspace, place: int, block: Slice, known: dict[bytes, int]) -> Iterator[tuple[int, Slice, int, int]]:
    """Yield (its place in the matrix, slice, attack number, first replicate) of each row of `slices` that a slice becomes.

    `known`: the numbers of attacks by id, to which new ones are added.
    """
    attack = space.adaptive.get(block.attack)
    if attack is None:
        yield place, block, space.attack_ns[block.attack], 0
        return
    for replicate in range(block.replicates):
        attack_n = pursuits.number_against(space, attack, block.model, replicate, known)
        yield place, replace(block, replicates=1), attack_n, replicate


def models_of(space: Workspace) -> dict[int, Model]:
    """Return the declaration under each model number; of two names for one identity, the first."""
    found: dict[int, Model] = {}
    for name, n in space.model_ns.items():
        found.setdefault(n, space.matrix.models[name].declaration)
    return found


def canonical(identity: Json) -> str:
    """Return an identity as the canonical JSON text that the catalog keeps, so that its id can be derived again."""
    return hashing.canonical(identity).decode()
