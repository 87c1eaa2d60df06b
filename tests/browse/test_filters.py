"""The filter language: what it reads, what it refuses and how, and that nothing of it reaches the SQL but by value."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lrm.browse.axes import Slice
from lrm.browse.columns import COLUMNS
from lrm.browse.filters import FIELDS, compiled, parse, printed
from lrm.browse.nodes import All, Compare, Either, Flag, Has, Node, Not, Said
from lrm.browse.parsing import FLAGS, MOST_DEPTH, MOST_SIGNS, MOST_TESTS
from lrm.browse.places import SamplesPlace
from lrm.browse.reader import Reader
from lrm.browse.samples import open_samples
from lrm.errors import SpecError
from tests.browse import sampled


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    found = Reader(sampled.filled(tmp_path_factory.mktemp("filled")))
    yield found
    found.close()


def rows(reader: Reader, where: str) -> set[tuple[int, ...]]:
    samples = open_samples(reader, SamplesPlace(Slice("mixed"), where))
    try:
        with reader.kept() as connection:
            return set(
                connection.execute(
                    f"SELECT part, prompt_n, replicate FROM memory.main.{samples._parts.name}"
                ).fetchall()
            )
    finally:
        samples.close()


READ: list[tuple[str, Node | None]] = [
    ("", None),
    ("  ", None),
    ("unsafe", Flag("unsafe")),
    ("unsafe and seconds > 3", All((Flag("unsafe"), Compare("seconds", ">", 3.0)))),
    ("unsafe seconds>3s", All((Flag("unsafe"), Compare("seconds", ">", 3.0)))),
    ('model ~ "qwen" and not done', All((Compare("model", "~", "qwen"), Not(Flag("done"))))),
    ("judge:refusal.answer = compliance", Said("refusal", "answer", "=", "compliance")),
    ("judge:a.b = x", Said("a.b", None, "=", "x")),
    ('judge:"my judge".thinking > 0.5', Said("my judge", "thinking", ">", 0.5)),
    ("thinking:unsafe and answer:safe", All((Said(None, "thinking", "=", "unsafe"), Said(None, "answer", "=", "safe")))),
    ("a or b and c", Either((Has("words", "a"), All((Has("words", "b"), Has("words", "c")))))),
    ("(a or b) c", All((Either((Has("words", "a"), Has("words", "b"))), Has("words", "c")))),
    ("NOT NOT Unsafe", Not(Not(Flag("unsafe")))),
    ('text:"two words"', Has("text", "two words")),
    ("thinking_text:/a b/", Has("thinking_text", "a b", regex=True)),
    ("answer_text:word", Has("answer_text", "word")),
    (r'"say \"so\""', Has("words", 'say "so"')),
    (r"/a\/b/", Has("words", "a/b", regex=True)),
    ("model = /^m/", Compare("model", "~", "^m", regex=True)),
    ("model != /^m/", Compare("model", "!~", "^m", regex=True)),
    ("thinking_tokens >= 2k", Compare("thinking_tokens", ">=", 2000.0)),
    ("seconds < 200ms", Compare("seconds", "<", 0.2)),
    ("seconds < 1.5min", Compare("seconds", "<", 90.0)),
    ("cost > $0.01", Compare("cost", ">", 0.01)),
    ("expect = absent", Compare("expect", "=", None)),
    ('model = "none"', Compare("model", "=", "none")),
]  # fmt: skip


@pytest.mark.parametrize(("text", "node"), READ)
def test_a_filter_is_read(text: str, node: Node | None) -> None:
    assert parse(text) == node


WRONG = [
    ("modle = x", 1, "model"),
    ("unsafe and secnds > 3", 12, "seconds"),
    ("state = dne", 9, "done"),
    ("expect = usafe", 10, "unsafe"),
    ("thinkng:unsafe", 1, "thinking:"),
    ("seconds > soon", 11, "3s"),
    ("seconds ~ 3", 9, "seconds > 3"),
    ("model < x", 7, "= !="),
    ("model =", 7, "model ="),
    ("(unsafe", 1, ")"),
    ("unsafe)", 7, "("),
    ("unsafe and", 11, "unsafe and seconds > 3"),
    ("and unsafe", 1, "between"),
    ('text:"open', 6, '"'),
    ("text:", 1, "text:"),
    ("judge: = x", 1, "judge:refusal"),
    ("seconds", 1, "seconds ="),
    ("/(/", 1, "re2"),
    ("thinking:/x/", 10, "thinking:unsafe"),
    ("a ! b", 3, "operators"),
    ("unsafe = maybe", 10, "unsafe = true"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "at", "hint"), WRONG, ids=[one[0] for one in WRONG])
def test_a_fault_is_told_with_its_position_and_what_to_write(text: str, at: int, hint: str) -> None:
    with pytest.raises(SpecError) as fault:
        compiled(text)
    assert f"in the filter, at {at}:" in fault.value.message
    assert hint in (fault.value.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5_000,
        "not " * 2_000,
        "(" * 60 + "a" + ")" * 60,
        "a " * 500,
        "x" * (MOST_SIGNS + 1),
        "(" * (MOST_DEPTH + 2),
    ],
)
def test_what_is_too_large_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="in the filter, at"):
        compiled(text)


PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [*FIELDS, "and", "or", "not", "(", ")", "=", "!=", "<", ">=", "~", "!~", "absent", '"', "'", "/", "\\", "3s", "2k",
         "judge:x.answer", "/[/", "/a+/", ";", "--", "$f0", "?", "{", "}", "\x00", "\ud800"]
    ),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14).map(" ".join) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = compiled(text)
    except SpecError as fault:
        told = fault.message
    else:
        told = "in the filter, at "
        assert all(isinstance(value, str | float | bool) for value in found.values.values())
    assert told.startswith("in the filter, at ")


WORDS = st.text(min_size=1, max_size=8).filter(lambda text: not any("\ud800" <= sign <= "\udfff" for sign in text))
NUMBERS = st.integers(0, 10**9).map(float) | st.sampled_from([0.5, 0.25, 1234.125])
TEXT_COLUMNS = [name for name, one in COLUMNS.items() if one.kind == "text" and not one.known]
NUMBER_COLUMNS = [name for name, one in COLUMNS.items() if one.kind == "number"]
TESTS: st.SearchStrategy[Node] = st.one_of(
    st.sampled_from(sorted(FLAGS)).map(Flag),
    st.builds(Has, st.sampled_from(["text", "thinking_text", "answer_text", "words"]), WORDS),
    st.builds(Has, st.sampled_from(["text", "words"]), st.sampled_from(["a+", "a/b", r"\d", "[/]x"]), st.just(True)),
    st.builds(Compare, st.sampled_from(TEXT_COLUMNS), st.sampled_from(["=", "!=", "~", "!~"]), WORDS),
    st.builds(Compare, st.sampled_from(NUMBER_COLUMNS), st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), NUMBERS),
    st.builds(Compare, st.sampled_from(sorted(COLUMNS)), st.sampled_from(["=", "!="]), st.none()),
    st.builds(Said, st.none(), st.sampled_from(["thinking", "answer", "both"]), st.just("="),
              st.sampled_from(["unsafe", "safe", "ok", "x y"])),
    st.builds(Said, st.sampled_from(["refusal", "keywords-gcg", "it's; DROP", "a.b"]),
              st.sampled_from([None, "answer"]), st.sampled_from(["=", "!="]), WORDS | st.none()),
)  # fmt: skip


def joined(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(children, min_size=2, max_size=3).map(tuple)
    return st.one_of(children.map(Not), several.map(All), several.map(Either))


NODES = st.recursive(TESTS, joined, max_leaves=8)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(NODES)
def test_a_printed_filter_says_the_same(node: Node) -> None:
    assert parse(printed(node)) == node


INJECTIONS = [
    "'; DROP TABLE memory.main.x; --",
    "') OR TRUE --",
    '" OR 1=1',
    "$f1",
    "%",
    "_",
    "\\",
    "{sql}",
    "x' || 'y",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_a_value_is_never_sql(reader: Reader, text: str) -> None:
    node = All((Has("words", text), Not(Has("thinking_text", text)), Compare("model", "=", text)))
    condition = compiled(printed(node))
    assert text == "$f1" or text not in condition.sql
    assert text in condition.values.values()
    assert rows(reader, printed(node)) == set()
    assert rows(reader, printed(Compare("model", "!=", text))) == rows(reader, "")
    assert rows(reader, printed(Said(None, "answer", "=", text))) == set()


SIMPLE = [
    "unsafe", "safe", "judged", "disagree", "agree", "done", "failed", "missing", "blocked", "labelled", "seconds > 2",
    "cost < 0.01", "thinking_tokens = absent", "expect = unsafe", "replicate = 1", "model ~ hidden", "attack = none", "thinking:unsafe",
    "answer:safe", "answer:unsafe", "thinking:unparsed", "judge:refusal.answer = compliance", "judge:refusal.thinking != compliance",
    'text:"how"', "score > 0.5", "judges >= 2", "thinking_text:the",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(25))
def test_de_morgan_holds_on_real_data(reader: Reader, seed: int) -> None:
    chance = random.Random(seed)
    parts = chance.sample(SIMPLE, 3)
    if chance.random() < 0.5:
        parts[0] = f"not ({parts[0]} and {chance.choice(SIMPLE)})"
    a, b, c = parts
    everything = rows(reader, "")
    both, neither = rows(reader, f"({a}) and ({b})"), rows(reader, f"not ({a}) or not ({b})")
    assert neither == rows(reader, f"not (({a}) and ({b}))") == everything - both
    either = rows(reader, f"({a}) or ({b})")
    assert rows(reader, f"not ({a}) and not ({b})") == rows(reader, f"not (({a}) or ({b}))") == everything - either
    assert either == rows(reader, a) | rows(reader, b)
    assert rows(reader, f"not ({c})") == everything - rows(reader, c)


def test_everything_has_a_line(reader: Reader) -> None:
    assert {*COLUMNS, *FLAGS} <= set(FIELDS)
    assert all(len(about) > 10 and "\n" not in about for about in FIELDS.values())


def test_many_tests_are_fine_up_to_the_limit(reader: Reader) -> None:
    assert rows(reader, " or ".join(f"seconds = {n}" for n in range(MOST_TESTS))) <= rows(reader, "seconds >= 0")
