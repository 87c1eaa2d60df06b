"""Which models share a provider's limits, without litellm and without showing a key; and how many connections fit."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

import pytest

from lrm.backends.open_files import MARGIN, allow_in_flight
from lrm.backends.pool import Pool, pool_of
from lrm.registry.declarations import Model

VARIABLES = (
    "OPENAI_API_KEY",
    "OPENAI_API_BASE",
    "OPENAI_BASE_URL",
    "AZURE_API_BASE",
    "AZURE_API_KEY",
    "GEMINI_API_KEY",
)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "GOOGLE_API_KEY", "KEY_A", "KEY_B", "KEY_A_TOO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KEY_A", "sk-planted-a")
    monkeypatch.setenv("KEY_A_TOO", " sk-planted-a\n")
    monkeypatch.setenv("KEY_B", "sk-planted-b")


def pool(name: str, endpoint: str | None = None, **fields: Any) -> Pool:
    backend = fields.pop("backend", "http" if endpoint and "/" not in name else "litellm")
    return pool_of(Model.model_validate({"backend": backend, "model": name, "endpoint": endpoint, **fields}))


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (("m", "http://127.0.0.1:8000/v1"), "http://127.0.0.1:8000"),
        (("m", "https://user:secret@api.example.org/v1?api-version=1"), "https://api.example.org"),
        (("m", "http://[::1]:8000/v1"), "http://[::1]:8000"),
        (("openai/gpt-4o",), "openai"),
        (("gpt-4o",), "openai"),
        (("o3-mini",), "openai"),
        (("claude-sonnet-4-5",), "anthropic"),
        (("nobody-knows",), "nobody-knows"),
        (("openrouter/deepseek/deepseek-r1",), "openrouter"),
        (("hosted_vllm/q", "http://10.0.0.7:8000/v1"), "hosted_vllm http://10.0.0.7:8000"),
    ],
)
def test_a_pool_is_called_by_its_server_or_provider(made: tuple[str, ...], name: str) -> None:
    assert pool(*made).name == name


def test_models_of_one_server_and_key_share_a_pool() -> None:
    url = "https://api.example.org/v1"
    one = pool("one", url, api_key_env="KEY_A")
    assert one == pool("two", "https://api.example.org/other/", api_key_env="KEY_A_TOO", limits={"max_in_flight": 7})
    assert hash(one) == hash(pool("one", url, api_key_env="KEY_A"))
    assert (
        len({one, pool("one", url, api_key_env="KEY_B"), pool("one", url), pool("one", "http://api.example.org")}) == 4
    )
    assert pool("one", url, api_key_env="NOT_SET").key == pool("one", url).key == ""


def test_a_providers_own_key_tells_its_pools_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    none = pool("openai/gpt-4o")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-own")
    own = pool("openai/gpt-4o")
    assert own == pool("openai/o3") == pool("gpt-4o-mini")
    assert len({none, own, pool("openai/gpt-4o", api_key_env="KEY_A"), pool("mistral/m")}) == 4
    local = "http://127.0.0.1:8000/v1"
    assert pool("openai/q", local).key == "", "the provider's own key is not sent to other servers"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example.org/v1")
    assert pool("openai/gpt-4o").name == "openai https://gateway.example.org"


def test_a_simulated_model_has_a_pool_of_its_own() -> None:
    pools = {pool("a", backend="simulated", simulation={"seed": seed}) for seed in (1, 1, 2)}
    assert len(pools | {pool("b", backend="simulated", simulation={"seed": 1})}) == 3


def test_no_pool_shows_a_key_and_no_other_process_makes_the_same_digest() -> None:
    made = pool("m", "http://h/v1", api_key_env="KEY_A")
    assert "planted" not in repr(made)
    script = """
import sys
from lrm.backends.pool import pool_of
from lrm.registry.declarations import Model
made = pool_of(Model(backend="http", model="m", endpoint="http://h/v1", api_key_env="KEY_A"))
pool_of(Model(backend="litellm", model="openai/gpt-4o"))
print(made.key, bool({"litellm", "aiohttp", "asyncio"} & set(sys.modules)))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    key, heavy = ran.stdout.split()
    assert (len(key), heavy) == (len(made.key), "False")
    assert key != made.key


# --- connections ------------------------------------------------------------------------------------------------------

LIMITED = """
import json, resource, sys
from lrm.backends.open_files import allow_in_flight
soft, hard, calls = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
allowed = allow_in_flight(calls)
print(json.dumps([allowed, resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""


def limited(soft: int, hard: int, calls: int) -> tuple[int, int, int]:
    command = [sys.executable, "-c", LIMITED, str(soft), str(hard), str(calls)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    allowed, (soft, hard) = json.loads(ran.stdout)
    return allowed, soft, hard


def test_the_limit_of_open_files_is_raised_to_what_the_calls_need() -> None:
    allowed, soft, hard = limited(300, 4000, 2000)
    assert allowed == 2000
    assert 2000 + MARGIN <= soft <= hard == 4000


def test_where_the_hard_limit_is_lower_fewer_calls_may_be_in_flight() -> None:
    allowed, soft, hard = limited(300, 1000, 2000)
    assert soft == hard == 1000
    assert 600 < allowed <= 1000 - MARGIN
    assert limited(100, 100, 5)[0] == 1


def test_a_limit_that_is_high_enough_stays() -> None:
    assert limited(900, 1000, 10) == (10, 900, 1000)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert allow_in_flight(1) == 1
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
