"""Secrets planted wherever there is a place for one, real `lrm` processes, one of them killed: nothing keeps or says any."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from lrm.store.catalog import Catalog
from tests.servers import Server

PLANTED = {
    "LRM_TEST_KEY": "sk-Planted0123456789abcdefKEY",
    "LRM_TEST_OTHER": "opaque+Planted/9876543210=OTHER",
    "LRM_TEST_USELESS": "Planted-in-the-environment-5544332211",
    "OPENAI_API_KEY": "sk-proj-PlantedForOpenAI-1122334455",
    "HOSTED_VLLM_API_KEY": "sk-PlantedForVllm-99887766554433",
    "HF_TOKEN": "hf_PlantedForTheHub0011223344",
    "https_proxy": "http://someone:PlantedProxy776655@127.0.0.1:9",
}
"""By environment variable."""
NO_KEY = "Bearer no-key-declared"
"""What litellm is given for a server of one's own."""
USER, PASSWORD = "Planted-user-8080", "PlantedPassword808080"

ECHOES = [
    "key-in-answer", "key-in-header", "key-in-html", "key-in-200-error", "key-in-redirect", "key-in-filter400",
    "key-in-retry-after", "key-in-500", "key-in-code", "key-in-reason", "key-not-http", "echo",
]  # fmt: skip

SPEC = """
[matrix]
models = ["plain", "opaque", "through-litellm", "special", "refused"]
prompt_sets = ["p"]
judges = ["refusal"]

[models.plain]
backend = "http"
endpoint = "{url}"
model = "ok"
api_key_env = "LRM_TEST_KEY"
limits = {{max_attempts = 2}}

[models.opaque]
backend = "http"
endpoint = "{url}"
model = "ok"
api_key_env = "LRM_TEST_OTHER"
sampling = {{temperature = 0.5}}
limits = {{max_attempts = 1}}

[models.through-litellm]
backend = "litellm"
endpoint = "{url}"
model = "hosted_vllm/ok"
api_key_env = "LRM_TEST_KEY"
limits = {{max_attempts = 1}}
price = {{input = 1, output = 1}}

[models.special]
backend = "{backend}"
endpoint = "{endpoint}"
model = "{model}"
sampling = {{temperature = 0.25}}
limits = {{max_attempts = 1}}
extra_body = {extra}

[models.refused]
backend = "http"
endpoint = "{url}"
model = "always+key-in-401"
api_key_env = "LRM_TEST_KEY"
limits = {{max_attempts = 1}}

[prompt_sets.p]
rows = [
{rows}
]
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with a spec, in which `lrm` runs."""

    folder: Path
    server: Server

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.folder / "catalog.duckdb")

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_proxy"))}
        return {**kept, **PLANTED, "LRM_CATALOG": str(self.catalog.path), "LRM_LOG_TEXTS": "1"}

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start `lrm WORDS…`."""
        command = [sys.executable, "-c", "from lrm_cli.main import main; main()", *words]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(), cwd=self.folder
        )

    def lrm(self, *words: str, codes: tuple[int, ...] = (0,)) -> bytes:
        """Run `lrm WORDS…` and return all that it says."""
        with self.start(*words) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode in codes, (words, process.returncode, err.decode()[-2000:])
        leaks(out + err, f"what `lrm {' '.join(words)}` says")
        return out

    def write(self, *, backend: str = "http", userinfo: str = "", extra: str = "{}", last: str = "refused") -> None:
        """Write the spec: `special` is a model of this backend; the last one is refused, or never answered."""
        rows = [f'    {{id = "{name}", text = "behave: {name} # 1"}},' for name in (*ECHOES, "ok")]
        text = SPEC.format(
            url=self.server.url,
            rows="\n".join(rows),
            backend=backend,
            model="ok" if backend == "http" else "hosted_vllm/ok",
            endpoint=self.server.url.replace("://", f"://{userinfo}"),
            extra=extra,
        )
        if last == "hanging":
            text = text.replace("refused", "hanging").replace("key-in-401", "hang")
        (self.folder / "spec.toml").write_text(text, encoding="utf-8")

    def fill_all(self, *words: str) -> None:
        """Fill, and fail if a secret is in what it says or leaves."""
        self.lrm(*words, codes=(1,))
        files_leak(self)
        assert tables_leak(self) > 100


@pytest.fixture
def bench(tmp_path: Path, server: Server) -> Bench:
    return Bench(tmp_path, server)


def needles() -> Iterator[tuple[str, bytes]]:
    """Yield each secret under its name, in every form that it may take on its way."""
    proxy = "PlantedProxy776655"
    for name, secret in {**PLANTED, "https_proxy": proxy, "password": PASSWORD}.items():
        yield name, secret.encode()
        yield f"{name}, quoted", quote(secret, safe="").encode()
        yield f"{name}, in JSON", json.dumps(secret)[1:-1].encode()
        yield f"{name}, in base64", base64.b64encode(secret.encode()).rstrip(b"=")[:-1]
    yield "user and password, in base64", base64.b64encode(f"{USER}:{PASSWORD}".encode()).rstrip(b"=")


def leaks(text: bytes, where: str) -> None:
    """Fail if a secret is in a text."""
    found = [(name, text[max(0, text.index(secret) - 80) :][:160]) for name, secret in needles() if secret in text]
    assert not found, (where, found)


def files_leak(bench: Bench) -> list[str]:
    """Fail if a secret is in any file but the spec; return the files that were looked at."""
    looked = []
    for path in sorted(bench.folder.rglob("*")):
        if path.is_file() and path.name != "spec.toml":
            leaks(path.read_bytes(), str(path.relative_to(bench.folder)))
            looked.append(str(path.relative_to(bench.folder)))
    return looked


def tables_leak(bench: Bench) -> int:
    """Fail if a secret is in any column of any table, as text; return how many rows were looked at."""
    rows = 0
    with duckdb.connect(str(bench.catalog.path), read_only=True) as connection:
        tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
        for schema, table in tables:
            for row in connection.execute(f'FROM "{schema}"."{table}"').fetchall():
                rows += 1
                leaks("\0".join(map(str, row)).encode(), f"table {table}")
                leaks(b"\0".join(value for value in row if isinstance(value, bytes)), f"table {table}")
    return rows


def test_a_whole_fill_keeps_and_says_no_secret(bench: Bench) -> None:
    bench.write(backend="litellm")
    bench.lrm("matrix", "plan", "spec.toml")
    bench.lrm("matrix", "plan", "spec.toml", "--json")
    bench.fill_all("--debug", "matrix", "fill", "spec.toml")
    asked = bench.server.count()["by_key"]
    # The test is worth nothing if the secrets were not on their way: each declared one, and no other, was sent.
    assert asked.keys() - {""} == {f"Bearer {PLANTED[name]}" for name in ("LRM_TEST_KEY", "LRM_TEST_OTHER")} | {NO_KEY}
    assert [path for path in files_leak(bench) if path.endswith(".log.jsonl")]
    for words in (
        ["matrix", "status"],
        ["matrix", "status", "--json"],
        ["matrix", "why", "plain/p:ok/none/0", "--spec", "spec.toml"],
        ["matrix", "ps"],
        ["matrix", "ps", "--json"],
        ["registry", "show", "models/plain"],
        ["doctor"],
        ["catalog", "sql", "FROM attempts"],
        ["catalog", "sql", "FROM lrm.models", "--json"],
    ):
        bench.lrm(*words, codes=(0, 1, 2))
    bench.fill_all("--debug", "matrix", "fill", "spec.toml", "--json")


@pytest.mark.parametrize("backend", ["http", "litellm"])
def test_a_password_in_an_endpoint_is_kept_and_said_nowhere(bench: Bench, backend: str) -> None:
    bench.write(backend=backend, userinfo=f"{USER}:{PASSWORD}@")
    bench.fill_all("matrix", "fill", "spec.toml")
    sent = [key for key in bench.server.count()["by_key"] if key.startswith("Basic ")]
    assert bool(sent) == (backend == "http")  # litellm sends its own stand-in for a key


def test_a_key_in_the_body_is_refused_or_kept_nowhere(bench: Bench) -> None:
    bench.write(extra=f'{{access_token = "{PASSWORD}"}}')
    bench.lrm("matrix", "fill", "spec.toml", codes=(1, 2))
    files_leak(bench)


def test_what_a_killed_fill_leaves_holds_no_secret(bench: Bench) -> None:
    bench.write(last="hanging")
    folder = bench.catalog.journal_folder
    with bench.start("matrix", "fill", "spec.toml") as process:
        try:
            for _ in range(6000):
                assert process.poll() is None
                if any(path.stat().st_size > 2000 for path in folder.glob("*")) and bench.server.total() > 20:
                    break
                time.sleep(0.005)
            said = bench.start("matrix", "ps", "--json").communicate(timeout=60)
        finally:
            process.kill()
        out, err = process.communicate(timeout=60)
    leaks(out + err + b"".join(said), "what it and `ps` said")
    looked = files_leak(bench)
    assert [name for name in looked if name.startswith("catalog.duckdb.runs/")]
    assert [name for name in looked if "journal" in name]
    bench.lrm("matrix", "status", codes=(0, 1, 2))
    bench.lrm("matrix", "ps")
    files_leak(bench)
    tables_leak(bench)


@pytest.mark.parametrize("words", [["matrix", "plan"], ["matrix", "fill"], ["registry", "check"]])
def test_a_spec_that_is_wrong_is_told_of_without_its_secrets(bench: Bench, words: list[str]) -> None:
    bench.write(userinfo=f"{USER}:{PASSWORD}@")
    spec = bench.folder / "spec.toml"
    text = spec.read_text(encoding="utf-8")
    for wrong in (
        text.replace('model = "always', 'modell = "always'),
        text.replace(f"{PASSWORD}@127.0.0.1", f"{PASSWORD}@no host"),
        text.replace('endpoint = "http://Planted', 'endpoint = "ftp://Planted'),
    ):
        assert wrong != text
        spec.write_text(wrong, encoding="utf-8")
        bench.lrm(*words, *(["spec.toml"] if words[0] == "matrix" else []), codes=(0, 2))
        bench.lrm(*words, *(["spec.toml"] if words[0] == "matrix" else []), "--json", codes=(0, 2))
