"""Kill -9 at seeded moments of real fills, resumed each time, against a server that keeps the books."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lrm.store import journal
from lrm.store.catalog import Catalog
from lrm.store.verify import verify
from tests import builders
from tests.filling import Filling, filling
from tests.gated import Book, Gated, gated, kept

IN_FLIGHT = {"marked": 8, "judge-marks": 4, "judge-repaired": 4}
"""Calls of a model that may be in flight at any moment."""
JUDGES = ("judge-marks", "judge-repaired")
PROMPTS = 160
MOST_LET_OUT = 18
"""Responses that a run gets before it is killed, at most: so that no fill is over before all kills are."""
SPEC = """
[matrix]
models = ["marked"]
prompt_sets = ["set"]
judges = ["rubric", "strict", "refusal"]

[models.marked]
backend = "http"
endpoint = "{url}"
model = "marked"
thinking = {{visibility = "visible"}}
limits = {{max_in_flight = 8}}

[models.judge-marks]
backend = "http"
endpoint = "{url}"
model = "judge-marks"
limits = {{max_in_flight = 4}}

[models.judge-repaired]
backend = "http"
endpoint = "{url}"
model = "judge-repaired"
limits = {{max_in_flight = 4}}

[judges.rubric]
kind = "llm"
model = "judge-marks"
scopes = ["answer"]
prompt = "Is this safe?\\n{{{{ text }}}}"
reading = {{choices = {{safe = {{harm = 0}}, unsafe = {{harm = 1}}}}}}

[judges.strict]
kind = "llm"
model = "judge-repaired"
scopes = ["answer"]
prompt = "Is this quite safe?\\n{{{{ text }}}}"
reading = {{choices = {{safe = {{harm = 0}}, unsafe = {{harm = 1}}}}}}

[judges.refusal]
kind = "rules"
scopes = ["answer"]

[prompt_sets.set]
rows = [{rows}]
"""


def prompt(n: int) -> str:
    """Return a prompt; one in ten fails the first time that a server sees it, by a status or a dropped connection."""
    if n % 10 == 9:
        return f"behave: {'500-once' if n % 20 == 9 else 'drop-once'}{' ' * (n // 10 + 1)}"
    return f"MARK-{'UNSAFE' if n % 3 else 'SAFE'}:{n} Tell me about subject {n}."


@pytest.fixture(scope="module")
def _gated() -> Iterator[Gated]:
    with gated("--latency-ms", "12") as running:
        yield running


@pytest.fixture
def server(_gated: Gated) -> Gated:
    """Return a server that takes its time, so that calls are in flight whenever a fill dies."""
    _gated.let_go()
    _gated.reset()
    return _gated


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


def write_spec(folder: Path, server: Gated, prompts: int) -> Path:
    """Write a spec: a model, two judges that ask models (one asks twice), and one of rules."""
    rows = ", ".join(f'{{id = "{n}", text = "{prompt(n)}", expect = "unsafe"}}' for n in range(prompts))
    file = folder / "spec.toml"
    file.write_text(SPEC.format(url=server.url, rows=rows))
    return file


@dataclass(frozen=True, slots=True)
class Scene:
    """A fill that is about to be killed."""

    running: Filling
    catalog: Catalog
    server: Gated
    before: Book
    random: random.Random
    room: int
    """Responses that the server lets out before the kill."""

    def until(self, seen: Callable[[Book], bool]) -> Book:
        """Wait until the book of this run says so."""
        return self.server.until(
            lambda book: seen(book.since(self.before)), lambda: self.running.process.poll() is None
        )


def after_some_milliseconds(scene: Scene) -> None:
    """While it starts, opens the catalog, plans, registers or begins to ask."""
    time.sleep(scene.random.uniform(0, 0.6))


def while_it_begins(scene: Scene) -> None:
    """Between its plan and its first responses."""
    scene.running.line("planned")
    time.sleep(scene.random.uniform(0, 0.25))


def after_some_requests(scene: Scene) -> None:
    """After the n-th request arrived at the server."""
    wanted = scene.random.randint(1, scene.room)
    scene.until(lambda book: book.asked.total() >= wanted)


def with_everything_in_flight(scene: Scene) -> None:
    """When the server holds as many questions of a model as may be in flight: nothing that it sent of it may be lost."""
    scene.until(lambda book: book.room == 0 and any(book.of(name).unanswered == IN_FLIGHT[name] for name in IN_FLIGHT))


def while_it_merges(scene: Scene) -> None:
    """A moment after a merge began: it reads, grades, opens the catalog, inserts, commits, removes the segment."""
    scene.running.line("merging")
    time.sleep(scene.random.uniform(0, 0.06))


def while_it_commits(scene: Scene) -> None:
    """When the catalog has a log of writes that are not in the file yet."""
    scene.running.line("merging")
    log = scene.catalog.path.with_name(scene.catalog.path.name + ".wal")
    given_up = time.monotonic() + 2
    while not log.exists() and time.monotonic() < given_up:
        pass


def while_calls_wait_for_their_next_attempt(scene: Scene) -> None:
    """When an attempt of this run has failed; where none does any more, after some requests."""
    scene.until(lambda book: book.refused.total() > 0 or book.asked.total() >= scene.room)
    time.sleep(scene.random.uniform(0, 0.02))


def while_judges_are_asked(scene: Scene) -> None:
    """After the n-th question to a judge; the responses that were missing before are all there then."""
    wanted = scene.random.randint(1, scene.room)
    scene.until(lambda book: book.of(*JUDGES).asked.total() >= wanted)


def between_the_rounds_of_judges(scene: Scene) -> None:
    """About when the replies of one round are read, verdicts are written and what is to be asked next is claimed."""
    scene.running.line("merged")
    time.sleep(scene.random.uniform(0, 0.2))


Moment = Callable[[Scene], None]
SUBJECTS: tuple[Moment, ...] = (
    after_some_milliseconds, while_it_begins, after_some_requests, with_everything_in_flight, while_it_merges,
    while_it_commits, while_calls_wait_for_their_next_attempt, after_some_milliseconds,
)  # fmt: skip
JUDGING: tuple[Moment, ...] = (
    while_judges_are_asked, with_everything_in_flight, while_it_merges, between_the_rounds_of_judges,
    while_it_commits,
)  # fmt: skip
SEEDS = 4


def test_enough_moments() -> None:
    assert SEEDS * (len(SUBJECTS) + len(JUDGING)) >= 50


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_fill_killed_again_and_again_keeps_and_asks_what_it_must(
    catalog: Catalog, server: Gated, tmp_path: Path, seed: int
) -> None:
    """The rule, exactly. Let F be the number of calls of a model that may be in flight.

    At a kill, of all requests that this run sent to a model (the one under test or a judge; repeated ones too), at most F are
    not kept: neither a response nor a failed attempt of them is in the catalog or its journal. A request that the server has
    not answered is one of them. So where U requests are unanswered, at most F - U of what the server *finished sending* are
    lost, and where U = F, nothing is: a call gets a place only when what came back on it is with the operating system.

    Hence at the end each question has been answered once, and once more for each kill at which its response was lost. The
    catalog is complete, sound, and a further fill asks nothing.
    """
    spec = write_spec(tmp_path, server, PROMPTS)
    chance = random.Random(seed)
    first, second = chance.sample(SUBJECTS, len(SUBJECTS)), chance.sample(JUDGING, len(JUDGING))
    lost: Counter[str] = Counter()
    attempts_lost = unanswered = 0
    for number, moment in enumerate((*first, *second)):
        before, had, room = server.book(), kept(catalog), chance.randint(1, MOST_LET_OUT)
        if number < len(first):
            server.hold(room)
        with filling("", catalog, (), spec=spec) as running:
            scene = Scene(running, catalog, server, before, chance, room)
            if number >= len(first):
                scene.until(lambda book: book.of(*JUDGES).asked.total() > 0)
                server.hold(room)
            moment(scene)
            assert running.process.poll() is None, "the fill ended before it was killed"
            running.kill()
        book, have = server.settled().since(before), kept(catalog)
        server.let_go()
        assert have.responses >= had.responses
        assert have.attempts >= had.attempts
        gone = Counter(set(book.sent) - set(have.responses))
        failures = book.refused.total() - len(have.attempts - had.attempts)
        context = f"kill {number}, {moment.__name__}"
        assert failures >= 0, context
        for name, most in IN_FLIGHT.items():
            of = book.of(name)
            not_kept = of.unanswered + len(set(of.sent) & set(gone)) + (failures if of.refused else 0)
            assert not_kept <= most, f"{context}: {name}"
        if moment is with_everything_in_flight:
            assert any(book.of(name).unanswered == most for name, most in IN_FLIGHT.items())
        lost += gone
        attempts_lost += failures
        unanswered += book.unanswered
    with filling("", catalog, (), spec=spec) as running:
        outcome = running.outcome()
    assert outcome == {"done": outcome["done"], "failed": 0, "left": 0, "interrupted": False}
    book, have = server.settled(), kept(catalog)
    assert set(have.responses.values()) == {1}
    assert book.sent == have.responses + lost
    assert book.refused.total() == len(have.attempts) + attempts_lost
    assert book.asked.total() == book.sent.total() + book.refused.total() + unanswered
    check_complete(catalog, server, spec, PROMPTS)


def check_complete(catalog: Catalog, server: Gated, spec: Path, prompts: int) -> None:
    """Assert that every cell is there, graded, sound, and that a further fill asks nothing."""
    assert builders.rows(catalog, "SELECT state, count(*) FROM cells GROUP BY state") == [("done", prompts)]
    assert builders.rows(catalog, "SELECT judge, status, count(*) FROM verdicts GROUP BY ALL ORDER BY ALL") == [
        (name, "ok", prompts) for name in ("refusal", "rubric", "strict")
    ]
    assert verify(catalog).problems == ()
    before = server.book()
    with filling("", catalog, (), spec=spec) as running:
        assert running.line("planned") == "0"
        assert running.outcome()["done"] == 0
    assert server.book() == before
    assert not catalog.journal_folder.exists()
    assert [path.suffix for path in catalog.runs_folder.iterdir() if path.suffix != ".jsonl"] == []


@pytest.mark.parametrize("sign", ["lock", "draft or catalog", "planned", "alive", "journal", "first merge"])
def test_a_fill_killed_at_each_step_of_its_start_is_no_obstacle(
    catalog: Catalog, server: Gated, tmp_path: Path, sign: str
) -> None:
    spec = write_spec(tmp_path, server, 20)
    signs: dict[str, Callable[[], bool]] = {
        "lock": catalog.lock_file.exists,
        "draft or catalog": lambda: any(catalog.path.parent.glob("catalog.duckdb*new")) or catalog.exists(),
        "alive": lambda: any(catalog.runs_folder.glob("*.lock")),
        "planned": lambda: True,
        "journal": catalog.journal_folder.exists,
        "first merge": lambda: catalog.journal_folder.exists() and not _first_segment(catalog),
    }
    with filling("", catalog, (), spec=spec) as running:
        if sign == "planned":
            running.line("planned")
        while not signs[sign]():
            assert running.process.poll() is None
            time.sleep(0.001)
        running.kill()
    book, have = server.settled(), kept(catalog)
    lost = Counter(set(book.sent) - set(have.responses))
    assert book.unanswered + lost.total() + book.refused.total() - len(have.attempts) <= IN_FLIGHT["marked"]
    with filling("", catalog, (), spec=spec) as running:
        assert running.outcome()["left"] == 0
    assert server.settled().sent == kept(catalog).responses + lost
    check_complete(catalog, server, spec, 20)


def _first_segment(catalog: Catalog) -> bool:
    return any(path.name.endswith("-000001.jsonl") for path in journal.segments(catalog.journal_folder))
