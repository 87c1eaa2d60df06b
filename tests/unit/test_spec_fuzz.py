"""Thousands of broken specs and declarations: what comes out of them is a matrix or an error for the user, nothing else."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lrm.errors import MissingError, SpecError
from lrm.registry.layers import Registry, packaged
from lrm.spec.resolve import resolve

SPEC = """\
description = "a bit of everything"
extends = "base"

[matrix]
models = ["sim-*", "mine"]
prompt_sets = ["starter", "own"]
attacks = ["none", "rot13", "wrap"]
replicates = 2
judges = ["strict", {use = "refusal", scopes = ["thinking", "answer"]}]

[[matrix.include]]
models = ["sim-hidden"]
attacks = ["leetspeak"]
replicates = 4

[[matrix.exclude]]
model = "mine"
attack = ["rot13"]

[models.mine]
backend = "http"
model = "m"
endpoint = "http://127.0.0.1:8000/v1"
thinking = {visibility = "visible", switch = {enable_thinking = true}}
extra_body = {a = [1, {b = 2.5}]}
[models.mine.sampling]
temperature = 0.6
stop = ["a"]

[prompt_sets.own]
expect = "unsafe"
[[prompt_sets.own.rows]]
text = "x"
category = ["a", "b"]
meta = {n = 1}
[[prompt_sets.own.rows]]
messages = [{role = "user", content = '''y'''}]

[attacks.wrap]
steps = [{transform = "template", text = "a {prompt}"}]
conversation = [{role = "user", content = "{prompt}"}]

[judges.strict]
kind = "rules"
harm = {full_refusal = 0, compliance = 1.0}

[overrides.models."*".sampling]
temperature = 0
[overrides.prompt_sets.starter]
filter = {expect = "unsafe"}
sample = {n = 20, seed = 1}
"""
BASE = '[matrix]\nmodels = ["sim-hidden"]\nprompt_sets = ["starter"]\n[overrides.attacks."*"]\nsystem = "s"\n'
DECLARATIONS = {
    "models/sim-x.toml": (packaged() / "models/sim-hidden.toml").read_text("utf-8"),
    "prompt_sets/starter.toml": 'expect = "unsafe"\n[columns]\ntext = "t"\n[hub]\nrepo = "a/b"\nrevision = "c"\n',
    "attacks/rot13.toml": 'steps = [{transform = "rot13"}]\n[artifact]\nfile = "x"\noriginal = "o"\nattacked = "a"\n',
    "judges/refusal.toml": 'kind = "rules"\nscopes = ["answer"]\nharm = {compliance = 1}\n',
}
VALUES = [
    "0", "-1", "1e999", "nan", "true", '""', '"x"', '"*"', "[]", "[[]]", "{}", "[{}]", "{a = 1}", "1979-05-27", "07:32:00",
    "9007199254740992", "9" * 5000, "0x" + "f" * 300, '"\\u0000"', '"\\u001b[31m"', '"""\n"""', "[" * 70 + "]" * 70,
    "[" * 3000 + "]" * 3000, '["none", 1]', '{use = "x"}', "5", '"[a"', '"' + "x" * 70_000 + '"', ".".join("ab"), "'../x'",
]  # fmt: skip
BITS = [b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b'"', b"'", b"[", b"]", b"{", b"}", b"=", b".", b"#",
        b"\n", b"[x]\n", b"[[x]]\n", b"unknown = 1\n", b'"""', b"\\", b"*", "\u202e\U0001f600".encode(), b"9" * 4400]  # fmt: skip
Mutation = Callable[[random.Random, bytes], bytes]


def drop_bytes(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text))
    return text[:at] + text[at + rng.randint(1, 8) :]


def insert_bytes(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(BITS) + text[at:]


def flip_a_byte(rng: random.Random, text: bytes) -> bytes:
    at = rng.randrange(len(text))
    return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]


def change_lines(rng: random.Random, text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case _:
            lines.insert(
                first, rng.choice([b"unknown = 1\n", b"[unknown]\n", b"[[matrix.exclude]]\n", b"x.y.z = {}\n"])
            )
    return b"".join(lines)


def change_a_value(rng: random.Random, text: bytes) -> bytes:
    spots = list(re.finditer(rb"(?<== )[^\n]+|(?<=[\[ ])\"[^\"\n]*\"|(?<= )[0-9.]+(?=[,}\n])", text))
    spot = rng.choice(spots)
    return text[: spot.start()] + rng.choice(VALUES).encode() + text[spot.end() :]


def change_a_key(rng: random.Random, text: bytes) -> bytes:
    spot = rng.choice(list(re.finditer(rb"(?<![a-z_])[a-z_]++(?= =)|(?<=[.\[])[a-z_-]++(?=[.\]])", text)))
    keys = [b"unknown", b'""', b'"a.b"', b'"*"', b"models", b"rows", b"file", spot[0] * 2, spot[0][:-1] or b"x"]
    return text[: spot.start()] + rng.choice(keys) + text[spot.end() :]


MUTATIONS: list[Mutation] = [drop_bytes, insert_bytes, flip_a_byte, change_lines, change_a_value, change_a_key]
MUTATIONS += [change_a_value, change_a_key]  # these get past the parser, to what is ours


def mutants(seed: int, text: str, count: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    for _ in range(count):
        mutant = text.encode()
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            mutant = rng.choice(MUTATIONS)(rng, mutant) if mutant.strip() else mutant
        yield mutant


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    for name, text in {"spec.toml": SPEC, "base.toml": BASE, **DECLARATIONS}.items():
        path = tmp_path / (f"registry/{name}" if "/" in name else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


def outcome(workplace: Path, mutant: bytes) -> str | None:
    """Resolve the spec; return the error's text, None for a matrix."""
    try:
        resolve(workplace / "spec.toml", Registry([workplace / "registry", packaged()]))
    except SpecError as error:
        look_at(error, workplace, mutant)
        return str(error)
    except MissingError as error:
        return str(error)
    return None


def look_at(error: SpecError, workplace: Path, mutant: bytes) -> None:
    assert error.file is not None, mutant
    assert Path(error.file).is_relative_to(workplace), mutant
    assert error.line is None or 1 <= error.line <= mutant.count(b"\n") + 60, mutant
    assert error.line is not None or "no such file" in error.message, mutant
    assert "\x1b" not in str(error), mutant
    assert len(str(error)) < 5000, mutant


def test_the_unchanged_spec_resolves(workplace: Path) -> None:
    assert outcome(workplace, b"") is None


@pytest.mark.parametrize(
    ("name", "count"),
    [("spec.toml", 1500), ("base.toml", 300), *((f"registry/{name}", 250) for name in DECLARATIONS)],
)
def test_a_broken_file_gives_an_error_for_the_user(workplace: Path, name: str, count: int) -> None:
    path = workplace / name
    text = path.read_text("utf-8")
    errors = set()
    for mutant in mutants(len(name), text, count):
        path.write_bytes(mutant)
        errors.add(outcome(workplace, mutant))
    assert len(errors) > count // 12, "the mutants hardly reach anything"
