"""Workers, spools and what crosses processes, without Ray: a worker is an ordinary object that Ray would put elsewhere."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lrm import hashing
from lrm.backends.base import Call, CallFailure, Quota, Reply
from lrm.engines.engine import Load
from lrm.errors import ModelError
from lrm.ray import cluster, spool
from lrm.ray.actors import Worker
from lrm.ray.engine import together
from lrm.ray.environment import environment_of
from lrm.ray.recover import recover
from lrm.ray.spool import Spool
from lrm.ray.wire import Failed, Item, Place, Result
from lrm.registry.declarations import Model
from lrm.registry.identity import model_id
from lrm.store import journal
from lrm.store.card import card_of
from lrm.store.catalog import Catalog
from lrm.store.live import living
from tests import builders

MODEL = Model.model_validate({"backend": "simulated", "model": "checkpoint"})
HEX = model_id(MODEL).hex()
RUN = "r20260101T000000-1-abcd"


def call(n: int = 0) -> Call:
    messages = hashing.canonical([{"role": "user", "content": f"prompt {n}"}]).decode()
    return Call(hashing.call_id(model_id(MODEL), hashing.messages_text_id(messages), 0), messages, 0)


def item(n: int = 0, *, attempts: int = 1) -> Item:
    return Item(n, "1", call(n), attempts)


def reply(n: int = 0) -> Reply:
    return Reply(builders.payload(f"Answer {n}."), cost=0.5, fingerprint="fp", sent='{"seed":1}')


def place(catalog: Catalog, *, seen: bool = True) -> Place:
    """Return the place of a run, whose workers see the catalog's disk or do not."""
    folder = catalog.spool_folder / RUN
    folder.mkdir(parents=True)
    (folder / spool.NONCE).write_text("0123456789abcdef")
    return Place(RUN, str(folder), "0123456789abcdef" if seen else "f" * 16)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "catalog.duckdb")


def test_a_failure_crosses_as_it_is() -> None:
    failure = CallFailure(
        "rate_limited", "Slow down.", retry_after_s=7.0, status=429, quota=Quota(requests=3), final=True
    )
    there = pickle.loads(pickle.dumps(Failed.of(failure))).failure()
    for name in ("kind", "message", "retry_after_s", "status", "quota", "final", "transient", "attempts"):
        assert getattr(there, name) == getattr(failure, name), name


def test_a_worker_finds_the_drivers_disk_by_what_lies_there(catalog: Catalog) -> None:
    here = place(catalog)
    assert spool.folder_on(here, "w0") == (Path(here.folder) / "w0", True)
    for other in (Place(RUN, here.folder, "another"), Place(RUN, str(catalog.path.parent / "no"), here.nonce)):
        folder, shared = spool.folder_on(other, "w0")
        assert not shared
        assert catalog.path.parent not in folder.parents


def test_what_is_kept_is_read_back_but_for_its_quota(tmp_path: Path) -> None:
    kept = Spool(tmp_path / "w0", RUN, HEX, MODEL)
    for n in range(3):
        kept.keep(item(n, attempts=n + 1), reply(n), at=1, ms=2.0)
    kept.write()
    wanted = frozenset({call(0).id.hex(), call(2).id.hex()})
    found = spool.replies_in(tmp_path / "w0", wanted)
    assert found.keys() == wanted
    there = found[call(2).id.hex()]
    assert (there.raw, there.cost, there.fingerprint, there.sent) == (reply(2).raw, 0.5, "fp", '{"seed":1}')
    assert (there.usage.input_tokens, there.usage.output_tokens) == (3, 5)
    kept.close()


def test_a_closed_segment_goes_when_the_driver_has_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1)
    kept = Spool(tmp_path, RUN, HEX, MODEL)
    first = [kept.keep(item(n), reply(n), at=1, ms=1.0) for n in range(2)]
    kept.write()
    kept.keep(item(2), reply(2), at=1, ms=1.0)
    kept.write()
    assert len(spool.segments_in(tmp_path)) == 3
    kept.confirmed(first[0], 1)
    assert len(spool.segments_in(tmp_path)) == 3
    kept.confirmed(first[1], 1)
    assert {record["call"] for path in spool.segments_in(tmp_path) for record in journal.read(path).records} == {
        call(2).id.hex()
    }
    kept.close()


async def test_a_worker_asks_hands_over_and_leaves_nothing(catalog: Catalog) -> None:
    worker = Worker("w0", place(catalog), node="node")
    assert (await worker.hello()).shared
    assert await worker.open("1", MODEL, {}) is None
    await worker.submit([item(n) for n in range(5)])
    answers: dict[int, Result] = {}
    have = 0
    while len(answers) < 5:
        batch = await worker.take(have, 0)
        have = batch.serial
        answers |= dict(batch.answers)
    assert all(isinstance(answer, Reply) for answer in answers.values())
    assert not await worker.end(have, keep=False)
    assert not (catalog.spool_folder / RUN / "w0").exists()


@pytest.mark.parametrize("taken", [False, True], ids=["not taken", "taken and not confirmed"])
async def test_a_worker_keeps_what_the_driver_may_not_have(catalog: Catalog, taken: bool) -> None:
    worker = Worker("w0", place(catalog), node="node")
    await worker.open("1", MODEL, {})
    await worker.submit([item()])
    await worker._bell.wait()
    if taken:
        await worker.take(0, 0)
    assert await worker.end(0, keep=False)
    assert len(spool.replies_in(catalog.spool_folder, frozenset({call().id.hex()}))) == 1


async def test_a_worker_says_what_keeps_it_from_asking(catalog: Catalog) -> None:
    worker = Worker("w0", place(catalog), node="node")
    declared = {"backend": "http", "model": "m", "endpoint": "http://127.0.0.1:9/v1", "api_key_env": "LRM_NOT_SET"}
    refused = await worker.open("1", Model.model_validate(declared), {})
    assert refused is not None
    assert "LRM_NOT_SET" in refused.message
    await worker.end(0, keep=False)


async def test_a_call_that_was_cancelled_before_it_came_is_not_asked(catalog: Catalog) -> None:
    worker = Worker("w0", place(catalog), node="node")
    await worker.open("1", MODEL, {})
    await worker.cancel([0])
    await worker.submit([item(0), item(1)])
    batch = await worker.take(0, 0)
    assert [ticket for ticket, _ in batch.answers] == [1]
    await worker.end(batch.serial, keep=False)


def test_spools_of_dead_runs_become_journals(catalog: Catalog) -> None:
    folder = Path(place(catalog).folder)
    for name in ("w0", "w1"):
        kept = Spool(folder / name / HEX[:16], RUN, HEX, MODEL)
        kept.keep(item(int(name[1])), reply(), at=1, ms=1.0)
        kept.write()
    journal.Journal(catalog.journal_folder, RUN, {HEX: card_of(MODEL.model, MODEL)})
    said: list[str] = []
    with living(catalog, RUN):
        assert recover(catalog, said.append) == 0
    assert recover(catalog, said.append) == 2
    found = journal.segments(catalog.journal_folder)
    assert [path.name for path in found] == [f"{RUN}-{n:06d}.jsonl" for n in (1, 2, 3)]
    assert {record["call"] for path in found for record in journal.read(path).records} == {
        call(0).id.hex(),
        call(1).id.hex(),
    }
    assert not catalog.spool_folder.exists()
    assert said == []


def test_spools_on_other_disks_are_named_and_stay(catalog: Catalog) -> None:
    folder = Path(place(catalog).folder)
    (folder / spool.NODES).write_text('{"node": "n", "host": "far", "folder": "/there"}\n{"cut')
    said: list[str] = []
    assert recover(catalog, said.append) == 0
    assert "far" in said[0]
    assert (folder / spool.NODES).exists()


def test_only_what_a_model_needs_of_the_environment_leaves_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MY_KEY", "OPENAI_API_KEY", "OPENAI_ORGANIZATION", "ANTHROPIC_API_KEY", "HF_TOKEN", "HF_HOME"):
        monkeypatch.setenv(name, name.lower())
    declared = {
        "MY_KEY": {"backend": "http", "model": "m", "endpoint": "http://h/v1", "api_key_env": "MY_KEY"},
        "OPENAI_API_KEY OPENAI_ORGANIZATION": {"backend": "litellm", "model": "openai/gpt"},
        "": {"backend": "http", "model": "m", "endpoint": "http://h/v1"},
    }
    for names, fields in declared.items():
        sent = environment_of(Model.model_validate(fields))
        assert sent == {name: name.lower() for name in names.split()}
    engine = environment_of(Model.model_validate({"backend": "vllm", "model": "folder"}))
    assert "HF_TOKEN" in engine
    assert not engine.keys() & {"HF_HOME", "OPENAI_API_KEY", "MY_KEY"}


@pytest.mark.parametrize("address", ["nonsense", "http://h:1", "h:port", "ray://", ":1"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ModelError, match="is no address of a Ray cluster"):
        cluster._reach(address)


def test_a_cluster_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="can be reached") as caught:
        cluster._reach("ray://127.0.0.1:9")
    assert "ray start --head" in str(caught.value.hint)


def test_loads_are_summed_and_shares_are_averaged() -> None:
    both = together([Load(running=1, cache=0.5, output_tokens=10), Load(running=2, cache=1.0, output_tokens=5)])
    assert (both.running, both.cache, both.output_tokens, both.waiting) == (3, 0.75, 15, None)
    assert together([]) == Load()


def test_ray_is_imported_by_nobody_who_does_not_start_one() -> None:
    modules = "lrm.run.fill, lrm.run.session, lrm.ray.executor, lrm.ray.actors, lrm.ray.recover, lrm_cli.main"
    code = f"import sys, {modules}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
