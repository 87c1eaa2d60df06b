"""Licences of prompt sets: which prompts leave the house."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrm.registry.prompt_sets import PromptSet
from lrm.snapshot.terms import read_licence, terms_of

REGISTRY = Path(__file__).parents[2] / "registry" / "prompt_sets"
WITHHELD = {"sorry-bench", "wildguardtest-adversarial", "wildguardtest-vanilla", "wildjailbreak-eval"}
OWN = {"rows": [{"text": "a placeholder"}]}


@pytest.mark.parametrize("path", sorted(REGISTRY.glob("*.toml")), ids=lambda path: path.stem)
def test_of_the_registry_only_gated_sets_are_withheld(path: Path) -> None:
    declared = tomllib.loads(path.read_text(encoding="utf-8"))
    terms = terms_of(PromptSet.model_validate(declared).model_dump(mode="json", exclude_none=True))
    assert terms.may_share == (path.stem not in WITHHELD)
    assert ("gated" in (terms.why or "")) == (path.stem in WITHHELD)
    assert terms.licence == declared["licence"]
    assert terms.hub in {"mit", "apache-2.0", "cc-by-4.0", "odc-by"} or path.stem == "sorry-bench"


def test_sorry_bench_is_withheld_by_its_licence_too() -> None:
    declared = tomllib.loads((REGISTRY / "sorry-bench.toml").read_text(encoding="utf-8"))
    terms = terms_of({name: value for name, value in declared.items() if name != "gated"})
    assert (terms.may_share, terms.hub) == (False, "other")
    assert "redistribution" in (terms.why or "")


@pytest.mark.parametrize(
    ("licence", "spdx", "hub"),
    [
        ("MIT", "MIT", "mit"),
        ("mit", "MIT", "mit"),
        ("The MIT License (MIT)", "MIT", "mit"),
        ("MIT License\n", "MIT", "mit"),
        ("https://opensource.org/licenses/MIT", "MIT", "mit"),
        ("Apache License, Version 2.0", "Apache-2.0", "apache-2.0"),
        ("apache2", "Apache-2.0", "apache-2.0"),
        ("http://www.apache.org/licenses/LICENSE-2.0", "Apache-2.0", "apache-2.0"),
        ("BSD-3-Clause", "BSD-3-Clause", "bsd-3-clause"),
        ("GPLv3", "GPL-3.0", "gpl-3.0"),
        ("LGPL-2.1-or-later", "LGPL-2.1", "lgpl-2.1"),
        ("ODC-BY", "ODC-By-1.0", "odc-by"),
        ("ODC-By-1.0", "ODC-By-1.0", "odc-by"),
        ("cc0", "CC0-1.0", "cc0-1.0"),
        ("Creative Commons Zero v1.0 Universal", "CC0-1.0", "cc0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", "cc0-1.0"),
        ("CC-BY-4.0", "CC-BY-4.0", "cc-by-4.0"),
        ("cc by 4.0", "CC-BY-4.0", "cc-by-4.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0", "cc-by-sa-4.0"),
        ("Creative Commons Attribution 4.0 International License", "CC-BY-4.0", "cc-by-4.0"),
        ("Attribution 4.0 International (CC BY 4.0)", "CC-BY-4.0", "cc-by-4.0"),
        ("Creative Commons Attribution-ShareAlike 4.0", "CC-BY-SA-4.0", "cc-by-sa-4.0"),
        ("https://creativecommons.org/licenses/by/4.0/legalcode", "CC-BY-4.0", "cc-by-4.0"),
        ("CC-BY-1.0", "CC-BY-1.0", "other"),
        ("CC BY", None, "cc"),
        ("Released under CC BY-SA 4.0.", "CC-BY-SA-4.0", "cc-by-sa-4.0"),
        ("CC-BY-4.0 (data), MIT (code)", None, "other"),
        ("Apache-2.0 OR MIT", None, "other"),
        ("public domain", None, "other"),
    ],
)
def test_licences_that_allow_sharing(licence: str, spdx: str | None, hub: str) -> None:
    terms = terms_of({"licence": licence, "hub": {"repo": "a/b"}})
    assert (terms.may_share, terms.why, terms.spdx, terms.hub) == (True, None, spdx, hub)


@pytest.mark.parametrize(
    ("licence", "why", "hub"),
    [
        ("CC-BY-NC-4.0", "non-commercial", "cc-by-nc-4.0"),
        ("cc by-nc-sa 4.0", "non-commercial", "cc-by-nc-sa-4.0"),
        ("CC BY-NC-ND 3.0", "non-commercial", "cc-by-nc-nd-3.0"),
        ("Creative Commons Attribution-NonCommercial 4.0 International", "non-commercial", "cc-by-nc-4.0"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "non-commercial", "cc-by-nc-4.0"),
        ("CC‑BY‑NC‑4.0", "non-commercial", "cc-by-nc-4.0"),  # with typographic hyphens
        ("noncommercial", "non-commercial", "other"),
        ("Commercial use is not permitted", "non-commercial", "other"),
        ("not for commercial use", "non-commercial", "other"),
        ("MIT, but no redistribution", "redistribution", "mit"),
        ("Do not share", "redistribution", "other"),
        ("may NOT be redistributed", "redistribution", "other"),
        ("Research use only", "research", "other"),
        ("only for academic purposes", "research", "other"),
        ("for research purposes", "research", "other"),
        ("All rights reserved", "reserves", "other"),
        ("proprietary", "reserves", "other"),
        ("unlicensed", "reserves", "other"),
        ("unknown", "unknown", "unknown"),
        ("none", "unknown", "unknown"),
        ("N/A", "unknown", "unknown"),
        ("other", "not one", "other"),
        ("MIT students' set: ask them first", "not one", "other"),
        ("OpenRAIL", "not one", "other"),
        ("see the paper", "not one", "other"),
        ("MIT " + "and so on " * 200, "not one", "other"),
        ("Nur für die Forschung", "not one", "other"),
        ("submit", "not one", "other"),
    ],
)
def test_licences_that_withhold_even_own_rows(licence: str, why: str, hub: str) -> None:
    terms = terms_of({"licence": licence, **OWN})
    assert (terms.may_share, terms.hub) == (False, hub)
    assert why in (terms.why or "")
    assert terms.how("mine") == "`--allow mine` if you have the right to share its prompts"


def test_no_derivatives_is_shared_unchanged_only() -> None:
    terms = terms_of({"licence": "CC-BY-ND-4.0"})
    assert (terms.may_share, terms.unchanged_only, terms.hub) == (True, True, "cc-by-nd-4.0")
    assert not terms_of({"licence": "CC-BY-SA-4.0"}).unchanged_only


@pytest.mark.parametrize(
    ("declaration", "shared", "why"),
    [
        ({}, True, None),
        ({"description": "my own prompts"}, True, None),
        ({"file": "mine.csv"}, True, None),
        ({"standin": [{"n": 3}]}, True, None),
        ({"licence": ""}, True, None),
        ({"licence": 7}, True, None),
        ({"hub": {"repo": "somebody/prompts"}}, False, "it is a data set of the Hub, and no licence is declared"),
        ({"file": "theirs.csv", "origin": {"repository": "r", "path": "p"}}, False, "it names a source, and no licence is declared"),
        ({"file": "theirs.csv", "homepage": "https://example.org"}, False, "it names a source, and no licence is declared"),
        ({"citation": "Somebody 2024"}, False, "it names a source, and no licence is declared"),
        ({"description": "came with xstest import"}, False, "it came with imported data, and no licence is declared"),
        ({"gated": "ask for it"}, False, "access to it has to be asked for (gated)"),
        ({"gated": "ask for it", "licence": "MIT"}, False, "access to it has to be asked for (gated)"),
        ({"gated": "ask", "licence": "CC-BY-NC-4.0"}, False,
         "access to it has to be asked for (gated), and its licence is for non-commercial use"),
    ],
)  # fmt: skip
def test_without_a_licence_it_counts_whose_the_prompts_are(
    declaration: dict[str, object], shared: bool, why: str | None
) -> None:
    terms = terms_of(declaration)
    assert (terms.may_share, terms.why) == (shared, why)
    assert shared or "`--allow theirs`" in (terms.how("theirs") or "")


def test_an_import_that_its_caller_knows_is_withheld_whatever_its_description_says() -> None:
    assert not terms_of({"description": "mine"}, imported=True).may_share
    assert terms_of({"licence": "MIT"}, imported=True).may_share


def test_a_set_without_a_licence_can_be_given_one() -> None:
    assert "`licence`" in (terms_of({"hub": {"repo": "a/b"}}).how("b") or "")
    assert terms_of({}).how("b") is None


@given(st.text(max_size=400))
def test_any_text_is_read_and_shown_in_one_safe_line(text: str) -> None:
    terms = read_licence(text)
    assert terms.licence is None or terms.licence.isprintable() or "\n" not in terms.licence
    assert len(terms.licence or "") <= 300
    assert "\x1b" not in (terms.licence or "")
    assert (terms.why is None) == terms.may_share


@given(
    st.sampled_from(["MIT", "CC-BY-4.0", "Apache-2.0"]),
    st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=8, max_size=20),
)
def test_a_word_that_is_not_understood_beside_a_licence_withholds(licence: str, word: str) -> None:
    known = {
        "distributed",
        "available",
        "published",
        "repository",
        "international",
        "universal",
        "questions",
        "attribution",
        "unported",
        "unlicense",
        "postgresql",
    }
    assert word in known or not read_licence(f"{licence}, {word}").may_share
