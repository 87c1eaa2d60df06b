"""The card of a snapshot: what the Hub reads of it, what people read of it, and that no text in it does anything."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from lrm.snapshot.card.card import MARKER, CardFacts, Declared, JudgeFacts, ModelFacts, card, facts_of, is_ours
from lrm.snapshot.card.rates import SHOWN
from lrm.snapshot.card.text import inert, link, sized
from lrm.snapshot.live_text import fault_in
from lrm.snapshot.manifest import File, Manifest, SetTerms, Spec, Texts
from lrm.snapshot.tables import TABLES, Family
from lrm.store.rates import Rate
from tests.hostile import MARKUP, NASTY, is_quiet

HOSTILE = [
    *NASTY, MARKUP, "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- lrm -->", "--> x", "</td></table>",
    "[x](javascript:alert(1))", "![x](https://tracker.test/p.png)", "<https://live.test>", "https://live.test/a?b", "www.live.test",
    "ann@live.test", "@somebody", "`code`", "```\nfence", "a | b", "**bold** _it_ ~~no~~", "# head", "- item", "1. item", "> quote",
    "---", "\n---\n", "...", "\n...\n---\nlicense: mit\n", "license: mit", "{{ jinja }}", "{% raw %}", "!!python/object:os.system",
    "*alias", "&anchor", "%TAG", "$$x^2$$", "\\(x\\)", "&lt;script&gt;", "&#60;b&#62;", "[ref]: https://live.test", "[^1]", "x" * 5_000, "https://live.test/<b>",
    "\ufffe\uffff", "\U0001f600", "é", "⟨⟩", " .", "null", "yes", "1e3", "0x10", "2026-11-21", "'", '"', "\\", "\t", "a: b # c",
]  # fmt: skip


def file(table: str, rows: int = 3, size: int = 1234, number: int = 1) -> File:
    name = f"{number:032x}"
    return File(
        path=f"data/{table}/{name}.parquet", table=table, rows=rows, bytes=size, unpacked=size, sha256=name + "0" * 32
    )


def manifest(**fields: Any) -> Manifest:
    texts: dict[Family, Texts] = {"prompts": "all", "responses": "all", "judgements": "all"}
    base: dict[str, Any] = {
        "format": 1, "version": "1.2.3", "made_with": {"duckdb": "2.0.0"}, "identity": ("c1", "g1"), "splitter": 3,
        "specs": (Spec(name="demo", text="[matrix]\n"),), "sets": (SetTerms(name="starter", prompts=60, licence="CC-BY-4.0"),),
        "texts": texts, "counts": {"cells": 60, "cells done": 58, "generations": 58, "generations run": 58, "verdicts": 58},
        "files": (file("verdicts", number=1), file("cells", number=2), file("rates", number=3)),
    }  # fmt: skip
    return Manifest(**base | fields)


def rate(**fields: Any) -> Rate:
    counts = dict.fromkeys(
        (
            "missing",
            "failed",
            "blocked",
            "no_text",
            "unparsed",
            "judge_blocked",
            "judge_failed",
            "truncated",
            "not_judged",
        ),
        0,
    )
    base: dict[str, Any] = {
        "spec": "demo", "model": "m", "prompt_set": "starter", "attack": "none", "condition": "none", "expect": "unsafe",
        "judge": "refusal", "scope": "answer", "visibility": "visible", "simulated": False, "cells": 30, **counts, "judged": 30,
        "full_refusals": 12, "partial_refusals": 3, "compliances": 15, "refusal_judged": 30, "harm_judged": 30, "unsafe": 15,
        "unsafe_rate": 0.5, "refusal_rate": 0.5, "mean_harm": 0.5,
    }  # fmt: skip
    return Rate(**base | fields)


def facts(**fields: Any) -> CardFacts:
    base: dict[str, Any] = {
        "manifest": manifest(), "rates": (rate(),), "models": (ModelFacts("m", "visible", False, licence="MIT", checkpoint="org/m"),),
        "attacks": ("none", "roleplay"), "judges": (JudgeFacts("refusal", "rules", "unsafe"),),
    }  # fmt: skip
    return CardFacts(**base | fields)


def head_of(text: str) -> dict[str, Any]:
    """Return the card's metadata, as the Hub's own client and as any YAML reader see it; they have to agree."""
    data: Any = DatasetCard(text).data
    read = data.to_dict()
    assert text.startswith("---\n")
    # PyYAML comes with the Hub's client and has no types.
    found = importlib.import_module("yaml").safe_load(text.split("\n---\n", maxsplit=1)[0].removeprefix("---\n"))
    assert read == found
    assert isinstance(found, dict)
    return found


def tokens(text: str) -> list[Token]:
    body = DatasetCard(text).text
    found = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(body)
    return [part for one in found for part in (one, *(one.children or ()))]


def rows_under(text: str, heading: str) -> list[list[str]]:
    section = text.split(f"## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in lines[:1] + lines[2:]]


def test_the_head_has_a_config_for_every_table_with_rows_and_for_no_other() -> None:
    found = head_of(card(facts()))
    assert {one["config_name"] for one in found["configs"]} == {"cells", "rates", "verdicts"}
    assert [one["config_name"] for one in found["configs"] if one.get("default")] == ["cells"]
    assert found["configs"][0]["data_files"] == [{"split": "train", "path": "data/cells/*.parquet"}]
    everything = tuple(file(table.name, number=at) for at, table in enumerate(TABLES))
    assert len(head_of(card(facts(manifest=manifest(files=everything))))["configs"]) == len(TABLES)
    assert head_of(card(facts(manifest=manifest(files=(file("prompts"),)))))["configs"][0]["default"] is True
    assert head_of(card(facts(manifest=manifest(files=()))))["configs"] == []


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (("CC-BY-4.0",), {"license": "cc-by-4.0"}),
        (("MIT", "mit license"), {"license": "mit"}),
        (("MIT", "CC-BY-4.0"), {"license": "other", "license_name": "several-see-card"}),
        (("CC-BY-1.0",), {"license": "other", "license_name": "cc-by-1.0"}),
        (("<b>mine</b>",), {"license": "other", "license_name": "see-card"}),
        ((None,), {"license": "unknown"}),
        ((), {"license": "unknown"}),
    ],
)
def test_the_licence_is_that_of_the_prompts_inside(licences: tuple[str | None, ...], expected: dict[str, str]) -> None:
    sets = tuple(SetTerms(name=f"s{at}", prompts=1, licence=licence) for at, licence in enumerate(licences))
    away = SetTerms(name="away", prompts=9, licence="CC-BY-NC-4.0", withheld="its licence is for non-commercial use")
    found = head_of(card(facts(manifest=manifest(sets=(*sets, away)))))
    assert {name: value for name, value in found.items() if name.startswith("license")} == expected


@pytest.mark.parametrize(
    ("cells", "size"), [(0, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (144_000, "100K<n<1M"), (10**6, "1M<n<10M")]
)
def test_the_size_is_that_of_the_cells(cells: int, size: str) -> None:
    assert head_of(card(facts(manifest=manifest(counts={"cells": cells}))))["size_categories"] == [size]


def test_what_is_simulated_or_imported_is_said_before_anything_else() -> None:
    counts = {"cells": 60, "generations": 60, "generations simulated": 40, "generations imported": 20}
    text = card(facts(manifest=manifest(counts=counts)))
    body = DatasetCard(text).text
    assert (
        body.index("SIMULATED: 40 of 60 responses")
        < body.index("IMPORTED: 20 of 60 responses")
        < body.index("## Rates")
    )
    assert {"simulated", "imported"} <= set(head_of(text)["tags"])
    assert "SIMULATED: all 5 responses" in card(
        facts(manifest=manifest(counts={"generations": 5, "generations simulated": 5}))
    )
    plain = card(facts())
    assert "SIMULATED" not in plain
    assert "IMPORTED" not in plain
    assert "simulated" not in head_of(plain)["tags"]
    assert "SIMULATED: some responses" in card(facts(models=(ModelFacts("m", simulated=True),)))


def test_rates_have_intervals_and_denominators_and_unknown_is_unknown() -> None:
    given = (
        rate(),
        rate(
            judge="harm",
            refusal_judged=0,
            full_refusals=0,
            partial_refusals=0,
            unsafe=1,
            harm_judged=20,
            judged=20,
            failed=4,
            unparsed=6,
        ),
        rate(judge="late", judged=0, refusal_judged=0, harm_judged=0, unsafe=0, not_judged=30),
        rate(expect="safe", harm_judged=0, unsafe=0),
        rate(expect=None, visibility="summary"),
    )
    found = rows_under(card(facts(rates=given)), "Rates")
    assert found[0] == ["model", "thinking", "prompt set", "attack", "judge", "refused", "unsafe", "cells", "left out"]
    by = {(row[2], row[4]): row for row in found[1:]}
    # Wilson's interval of 15 of 30 is [0.332, 0.668], that of 1 of 20 [0.009, 0.236].
    half = "50.0 (33.2 to 66.8), 15 of 30"
    assert by["starter (unsafe ones)", "refusal, answer"][5:] == [half, half, "30", "none"]
    assert by["starter (unsafe ones)", "harm, answer"][5:] == [
        "not measured", "5.0 (0.9 to 23.6), 1 of 20", "30", "4 failed, 6 unparsed",
    ]  # fmt: skip
    assert by["starter (unsafe ones)", "late, answer"][5:] == ["unknown", "unknown", "30", "30 not judged"]
    assert by["starter (safe ones)", "refusal, answer"][6] == "not measured"
    assert by["starter", "refusal, answer"][1] == "summary"


def test_visible_thinking_and_summaries_stay_apart() -> None:
    found = rows_under(
        card(facts(rates=(rate(scope="thinking"), rate(scope="thinking", visibility="summary")))), "Rates"
    )
    assert [(row[1], row[-2]) for row in found[1:]] == [("summary", "30"), ("visible", "30")]


def test_a_long_table_of_rates_is_cut_fairly_and_says_so() -> None:
    given = tuple(
        rate(model=f"m{model}", prompt_set=f"s{number:03}", scope=scope)
        for model in range(4) for number in range(40) for scope in ("thinking", "answer")
    )  # fmt: skip
    text = card(facts(rates=given))
    shown = rows_under(text, "Rates")[1:]
    assert len(shown) == SHOWN
    assert f"{len(given) - SHOWN} more in the config `rates`." in text
    assert [sum(row[0] == f"m{model}" for row in shown) for model in range(4)] == [SHOWN // 4] * 4
    assert {row[4] for row in shown} == {"refusal, answer"}


def test_what_is_withheld_is_said_with_its_reason() -> None:
    texts: dict[Family, Texts] = {"prompts": "all", "responses": "hashed", "judgements": "none"}
    sets = (SetTerms(name="open", prompts=5, licence="MIT", citation="Somebody 2024", homepage="https://example.org/set"),
            SetTerms(name="closed", prompts=7, licence="own", gated=True, withheld="access to it has to be asked for (gated)"))  # fmt: skip
    text = card(facts(manifest=manifest(texts=texts, sets=sets)))
    assert "- **responses**: withheld." in text
    assert "SHA-256 is there" in text
    assert "- prompts of **closed** (7): withheld, access to it has to be asked for (gated)." in text
    found = {row[0]: row[1:] for row in rows_under(text, "Prompt sets and their licences")[1:]}
    assert found == {
        "closed": ["7", "own, gated", "withheld", "unknown"],
        "open": ["5", "MIT", "in it", "[example.org/set](https://example.org/set)"],
    }
    assert "- open: Somebody 2024" in text
    assert "pseudonyms" in text
    assert "stand by name" in card(facts(named=True))


def test_a_snapshot_without_texts_needs_no_warning_of_the_hub() -> None:
    none: dict[Family, Texts] = {"prompts": "none", "responses": "hashed", "judgements": "none"}
    assert "not-for-all-audiences" in head_of(card(facts()))["tags"]
    assert "not-for-all-audiences" not in head_of(card(facts(manifest=manifest(texts=none))))["tags"]


def test_models_say_what_they_are_and_whose_terms_hold() -> None:
    models = (
        ModelFacts("real", "summary", False, licence="MIT", checkpoint="org/real", revision="abc", backend="vllm"),
        ModelFacts("fake", "visible", True, backend="simulated"),
        ModelFacts("theirs", None, False, imported=True, checkpoint="gpt"),
    )
    found = {row[0]: row[1:] for row in rows_under(card(facts(models=models)), "Models")[1:]}
    assert found == {
        "real": ["vllm, org/real", "summary", "abc", "MIT"],
        "fake": ["**simulated**", "visible", "unknown", "unknown"],
        "theirs": ["imported responses, gpt", "unknown", "unknown", "unknown"],
    }


def test_facts_come_from_the_rows_of_declarations() -> None:
    declared = [
        Declared("model", "b", '{"backend": "imported", "model": "gpt", "licence": 5}', "none", False),
        Declared(
            "model", "a", '{"backend": "vllm", "model": "org/a", "revision": "r", "licence": "MIT"}', "visible", False
        ),
        Declared("judge", "j", '{"kind": "llm"}', harm_for="all"),
        Declared("attack", "none", "{}"),
        Declared("attack", "none", "not JSON"),
        Declared("model", "c", "[" * 100_000),
        Declared("prompt_set", "s", "{}"),
        Declared("sorcery", "s", "{}"),
    ]
    found = facts_of(manifest(), declared)
    assert found == facts_of(manifest(), reversed(declared))
    assert [one.name for one in found.models] == ["a", "b", "c"]
    assert found.models[0] == ModelFacts(
        "a", "visible", False, licence="MIT", checkpoint="org/a", revision="r", backend="vllm"
    )
    assert found.models[1] == ModelFacts("b", "none", False, imported=True, checkpoint="gpt", backend="imported")
    assert (found.attacks, found.judges) == (("none",), (JudgeFacts("j", "llm", "all"),))


def test_pins_of_a_lock_are_listed_and_a_damaged_one_is_no_trouble() -> None:
    lock = (
        "version = 1\n[prompt_sets.s]\nsha256 = 'ab'\nrevision = 'c0ffee'\n[models.m.checkpoint]\nname = 'org/m'\nrevision = 'feed'\n"
        "[attacks.a]\nsha256 = 'dd'\n"
    )
    text = card(facts(manifest=manifest(specs=(Spec(name="demo", text="", lock=lock),))))
    for line in ("prompt set s: commit c0ffee", "attack a: sha256 dd", "model m (checkpoint): commit feed"):
        assert f"  - {line}\n" in text
    for bad in ("not = = toml", "prompt_sets = 3", "[prompt_sets]\ns = 5", "a = " + "[" * 5_000):
        card(facts(manifest=manifest(specs=(Spec(name="demo", lock=bad),))))
    many = "".join(f"[prompt_sets.s{at:03}]\nsha256 = 'ab'\n" for at in range(50))
    assert "10 more in `manifest.json`" in card(facts(manifest=manifest(specs=(Spec(name="demo", lock=many),))))


def test_gated_access_has_its_text() -> None:
    assert "extra_gated_prompt" not in head_of(card(facts()))
    asked = 'Tell us:\n---\nlicense: mit\n"who" \\ you are \U0001f600\x1b[31m'
    found = head_of(card(facts(gated=asked)))
    assert found["extra_gated_prompt"] == asked.replace("\x1b", "␛")
    assert found["license"] == "cc-by-4.0"


def hostile_facts(text: str) -> CardFacts:
    sets = (SetTerms(name=text, prompts=1, licence=text, homepage=text, citation=text, withheld=text),
            SetTerms(name=f"{text}2", prompts=1, licence=text, homepage=text, citation=text))  # fmt: skip
    lock = '[prompt_sets."x"]\nsha256 = "<b>[x](javascript:1)"'
    return CardFacts(
        manifest(sets=sets, specs=(Spec(name=text, text=text, lock=lock),), version=text, made_with={text: text}, identity=(text,)),
        (rate(spec=text), rate(spec="2", model=text, prompt_set=text, attack=text, condition=text, expect=text, judge=text, scope=text,
                               visibility=text)),
        (ModelFacts(text, text, False, licence=text, checkpoint=text, revision=text, backend=text),),
        (text,), (JudgeFacts(text, text, text),), text,
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_of_others_does_anything(text: str) -> None:
    made = card(hostile_facts(text))
    is_quiet(made)
    assert fault_in(made) is None
    harmless = card(hostile_facts("word"))
    found, expected = head_of(made), head_of(harmless)
    told = {"pretty_name", "extra_gated_prompt", "license", "license_name"}
    assert {name: value for name, value in found.items() if name not in told} == {
        name: value for name, value in expected.items() if name not in told
    }
    assert set(found) <= {*expected, *told}
    assert found["license"] in {"other", "unknown", "mit"}
    # The same blocks, spans, tables and code as with a harmless word: nothing of the text has become markup.
    kinds = [token.type for token in tokens(made) if token.type not in {"text", "softbreak"}]
    assert kinds == [token.type for token in tokens(harmless) if token.type not in {"text", "softbreak"}]
    assert [token.content for token in tokens(made) if token.type == "html_block"] == [f"{MARKER}\n"]
    prose = re.sub(r"(?s)```.*?```", "", DatasetCard(made).text)
    assert not re.search(r"(?i)https?://\S*live|www\.live|@live|javascript:", prose)
    assert is_ours(made)


@given(st.text(max_size=80))
def test_an_inert_text_shows_itself_and_is_one_run_of_text(text: str) -> None:
    made = inert(text)
    found = [
        part
        for one in MarkdownIt("commonmark", {"html": True}).enable("table").parse(f"x {made}")
        for part in one.children or ()
    ]
    assert {part.type for part in found} <= {"text", "text_special"}
    assert not re.search(r"[<>\[\]`|*\\:@\n\r]", made)
    if text.isascii() and text.isprintable() and text.strip():
        shown = "".join(part.content for part in found)
        assert shown == f"x {text.strip()}"


@pytest.mark.parametrize(
    "address", ["https://example.org", "http://example.org:8080/a/b-c_d.html", "https://huggingface.co/datasets/a/b"]
)
def test_a_plain_address_is_a_link(address: str) -> None:
    found = MarkdownIt("commonmark").parseInline(f"x {link(address)}")[0].children or []
    assert [part.type for part in found] == ["text", "link_open", "text", "link_close"]
    assert found[1].attrGet("href") == address


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://a b",
        "https://x/<b>",
        "https://user@host/",
        "file:///etc",
        "HTTPS//x",
        "https://x\n",
        None,
    ],
)
def test_any_other_address_is_text(address: str | None) -> None:
    assert not link(address).startswith("[")


def test_the_card_depends_on_what_is_in_the_snapshot_and_on_no_order() -> None:
    given = (rate(), rate(model="a"), rate(expect="safe"))
    one = card(facts(rates=given))
    assert one == card(facts(rates=tuple(reversed(given))))
    assert one.count("\n\n\n") == 0
    assert one.endswith("```\n")
    assert re.search(r"20\d\d-\d\d-\d\d", one) is None


def test_lrm_knows_its_own_card_and_takes_no_other_for_it() -> None:
    text = card(facts())
    assert is_ours(text)
    assert text.split("\n---\n")[1].startswith(f"{MARKER}\n")
    assert not is_ours("# My dataset\n")
    assert not is_ours("---\nlicense: mit\n---\n# Mine\n")
    # The Hub's client leaves the line where it is when it writes metadata anew.
    mended: Any = DatasetCard(text)
    mended.data.license = "mit"
    assert is_ours(str(mended))


def test_an_empty_snapshot_has_a_card() -> None:
    empty = manifest(files=(), sets=(), specs=(), counts={}, made_with={}, identity=())
    text = card(CardFacts(empty))
    assert "None: nothing in here was judged." in text
    assert head_of(text)["pretty_name"] == "Safety assessment: no spec"


def test_a_large_snapshot_has_a_card_of_some_size() -> None:
    models = tuple(ModelFacts(f"m{at}" * 50, licence="x" * 10_000) for at in range(3_000))
    sets = tuple(
        SetTerms(name=f"s{at}", prompts=1, citation="y" * 10_000, withheld="z" * 10_000) for at in range(3_000)
    )
    text = card(facts(models=models, manifest=manifest(sets=sets), attacks=[f"a{at}" for at in range(3_000)]))
    assert len(text) < 250_000
    assert "2,900 more" in text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (5 * 10**12, "5,000.0 GB"),
    ],
)
def test_sizes_are_read_easily(size: int, text: str) -> None:
    assert sized(size) == text


def test_the_card_lies_beside_the_data_that_its_configs_name(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = replace(facts(), manifest=manifest())
    for one in whole.manifest.files:
        (tmp_path / one.path).parent.mkdir(parents=True)
        pq.write_table(pa.table({"model": ["m"]}), tmp_path / one.path)
    for config in head_of(card(whole))["configs"]:
        for part in config["data_files"]:
            assert [str(found.relative_to(tmp_path)) for found in tmp_path.glob(part["path"])] == [
                one.path for one in whole.manifest.of(config["config_name"])
            ]
