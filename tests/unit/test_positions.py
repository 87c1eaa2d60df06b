"""Positions: the same paths as tomllib reads, each on the line where a reader would look for it."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrm.registry.positions import Keys, positions


def paths(value: Any, at: Keys = ()) -> set[Keys]:
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: set[Keys] = set()
    for key, item in items:
        found |= {(*at, key)} | paths(item, (*at, key))
    return found


EVERYTHING = '''\
# a comment with "quotes", [brackets] and = signs
title = "x # no comment" # a comment
"quoted key" = 1
'literal.key' = 2
"\\u00e9" = 3
a.b . "c d" = {x = 1, y.z = [1, {w = "}"}]}

[table] # header
text = """
first # no comment
[not.a.table]
quotes: "" and four at the end \\""""
literal = \'\'\'
it's = 'here'
\'\'\'
list = [
    1, # one
    [2, 3],

    "four, ]", {five = 5},
]

[[rows]]
id = 1
[rows.meta]
deep.key = true
[[rows]]
id = 2
[[rows.parts]]
n = 1
[[rows.parts]]
n = 2

[late.child]
k = 1
[late]
j = 2
empty = {}
nothing = []
date = 1979-05-27 07:32:00
float = 6.02e23
'''


def test_every_construct_is_on_its_line() -> None:
    found = positions(EVERYTHING)
    assert set(found) == paths(tomllib.loads(EVERYTHING))
    lines = EVERYTHING.splitlines()

    def line_of(start: str, nth: int = 1) -> int:
        return [number for number, line in enumerate(lines, start=1) if line.strip().startswith(start)][nth - 1]

    assert found["title",] == 2
    assert found["quoted key",] == 3
    assert found["literal.key",] == 4
    assert found["é",] == 5
    assert found["a", "b", "c d", "y", "z", 1, "w"] == 6
    assert found["table",] == line_of("[table]")
    assert found["table", "literal"] == line_of("literal =")
    assert found["table", "list", 0] == line_of("1, # one")
    assert found["table", "list", 1, 1] == line_of("[2, 3]")
    assert found["table", "list", 2] == line_of('"four')
    assert found["table", "list", 3, "five"] == line_of('"four')
    assert found["rows",] == line_of("[[rows]]")
    assert found["rows", 1] == line_of("[[rows]]", 2)
    assert found["rows", 0, "meta", "deep", "key"] == line_of("deep.key")
    assert found["rows", 1, "parts", 1, "n"] == line_of("n = 2")
    assert found["late",] == line_of("[late]")
    assert found["late", "child"] == line_of("[late.child]")
    assert found["late", "float"] == line_of("float")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_line_endings_do_not_matter(ending: str) -> None:
    text = EVERYTHING.replace("\n", ending)
    assert positions(text) == positions(EVERYTHING)


def test_the_depth_bounds_what_is_kept() -> None:
    assert set(positions("a.b.c.d = {e = 1}\n[x.y.z]\nw = 1", depth=2)) == {("a",), ("a", "b"), ("x",), ("x", "y")}


# Documents are written from values, in a style that hypothesis chooses for each key and value.
WORDS = st.text(alphabet="ab-_1é \"'\\#=[]{}.,\t", max_size=6)
SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(alphabet="ab \"'\\#=[]{}.,\n\té😀", max_size=12),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(WORDS, VALUES, max_size=6)


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


class Writer:
    """Writes a document and notes on which line it put each value."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[Keys, int] = {}

    def put(self, text: str) -> None:
        self.text += text

    def note(self, path: Keys) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def key(self, name: str) -> str:
        bare = name != "" and all(sign in "ab-_1" for sign in name)
        literal = "'" not in name
        styles = [quoted(name)] + [name] * bare + [f"'{name}'"] * literal
        return str(self.draw(st.sampled_from(styles)))

    def gap(self) -> str:
        return str(self.draw(st.sampled_from(["", " ", "\n", " # ] }\n\n\t"])))

    def value(self, value: Any, at: Keys) -> None:
        if isinstance(value, dict):
            self.put("{")
            for number, (name, item) in enumerate(value.items()):
                self.put(", " if number else " ")
                self.note((*at, name))
                self.put(f"{self.key(name)} = ")
                self.value(item, (*at, name))
            self.put("}")
        elif isinstance(value, list):
            self.put("[")
            for number, item in enumerate(value):
                self.put(("," if number else "") + self.gap())
                self.note((*at, number))
                self.value(item, (*at, number))
            self.put(self.gap() + "]")
        elif isinstance(value, str):
            styles = [quoted(value)]
            multi = value.replace("\\", "\\\\").replace('"""', '""\\"')
            styles.append(f'"""\n{multi[:-1]}\\""""' if multi.endswith('"') else f'"""\n{multi}"""')
            if "'" not in value:
                styles.append(f"'''\n{value}'''")
                styles += [f"'{value}'"] * ("\n" not in value)
            self.put(self.draw(st.sampled_from(styles)))
        else:
            self.put(str(value).lower() if isinstance(value, bool) else repr(value))

    def document(self, data: dict[str, Any]) -> None:
        tables = {name: item for name, item in data.items() if isinstance(item, dict) and self.draw(st.booleans())}
        arrays = {
            name: item
            for name, item in data.items()
            if isinstance(item, list)
            and item
            and all(isinstance(row, dict) for row in item)
            and self.draw(st.booleans())
        }
        for name, item in data.items():
            if name not in tables and name not in arrays:
                self.note((name,))
                self.put(self.key(name) + " = ")
                self.value(item, (name,))
                self.put("\n")
        for name, table in tables.items():
            self.note((name,))
            self.put(f"[{self.key(name)}]\n")
            self.rows(table, (name,))
        for name, rows in arrays.items():
            for number, row in enumerate(rows):
                self.note((name,))
                self.note((name, number))
                self.put(f"[[ {self.key(name)} ]] # row\n")
                self.rows(row, (name, number))

    def rows(self, table: dict[str, Any], at: Keys) -> None:
        for name, item in table.items():
            self.note((*at, name))
            self.put(f"{self.key(name)} = ")
            self.value(item, (*at, name))
            self.put("\n")


@given(st.data(), DOCUMENTS)
@settings(max_examples=200, deadline=None)
def test_written_documents_are_read_back_with_their_lines(data: st.DataObject, document: dict[str, Any]) -> None:
    writer = Writer(data.draw)
    writer.document(document)
    assert tomllib.loads(writer.text) == document
    assert dict(positions(writer.text)) == writer.lines
