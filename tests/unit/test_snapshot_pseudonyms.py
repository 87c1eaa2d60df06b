"""Pseudonyms of annotators."""

from __future__ import annotations

import re

import pytest

from lrm.snapshot.pseudonyms import is_pseudonym, pseudonym

KEY, OTHER = "key of a catalog", "key of another"


def test_a_pseudonym_is_the_same_for_ever() -> None:
    # Golden: another value would part the labels of one person in snapshots of two versions.
    assert pseudonym("Ann Example", KEY) == "annotator-id64mjrxqsyh"


def test_a_name_has_one_pseudonym_a_catalog_and_names_have_different_ones() -> None:
    names = [f"person {number}" for number in range(2_000)]
    made = [pseudonym(name, KEY) for name in names]
    assert made == [pseudonym(name, KEY) for name in names]
    assert len(set(made)) == len(names)
    assert not set(made) & {pseudonym(name, OTHER) for name in names}


@pytest.mark.parametrize(
    "name", ["Ann", "ann@example.test", "", "Zoë", "\x1b[31m", "\ud800", "x" * 10_000, "annotator-"]
)
def test_every_name_becomes_one_of_the_same_shape(name: str) -> None:
    made = pseudonym(name, KEY)
    assert re.fullmatch("annotator-[a-z2-7]{12}", made)
    assert is_pseudonym(made)
    assert name == "" or name not in made or name == "annotator-"


def test_a_pseudonym_stays_what_it_is_under_every_key() -> None:
    made = pseudonym("Ann", KEY)
    assert pseudonym(made, KEY) == pseudonym(made, OTHER) == made


@pytest.mark.parametrize(
    "name",
    ["annotator-jonathanmary", "annotator-222222222222", "annotator-aaaaaaaaaaaa", "annotator-deadbeef", "Annotator-1"],
)
def test_a_name_that_only_looks_like_a_pseudonym_is_none(name: str) -> None:
    assert not is_pseudonym(name)
    assert pseudonym(name, KEY) != name


def test_a_pseudonym_with_a_sign_more_or_in_capitals_is_none() -> None:
    made = pseudonym("Ann", KEY)
    assert [is_pseudonym(one) for one in (f"{made}\n", f"{made}a", made.upper(), f" {made}")] == [False] * 4


def test_without_a_key_there_are_no_pseudonyms() -> None:
    with pytest.raises(ValueError, match="key"):
        pseudonym("Ann", "")
