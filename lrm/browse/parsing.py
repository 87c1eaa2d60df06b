"""The filter language of lists of samples, read into a tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import assert_never

from lrm import regex
from lrm.browse.axes import SCOPES
from lrm.browse.columns import COLUMNS, Column
from lrm.browse.nodes import ABSENT, All, Compare, Either, Flag, Has, Node, Not, Op, Said, Test, Where
from lrm.errors import SpecError, known_names_hint, nearest
from lrm.text import without_surrogates

MOST_SIGNS = 10_000
MOST_TESTS = 100
MOST_DEPTH = 50
"""What a filter may be at most: its signs, its tests, and how deep its parentheses and `not`s go."""

FLAGS: dict[str, str] = {
    "unsafe": "the judge that was chosen, else any, says unsafe",
    "safe": "at least one judge that counts says safe, and none says unsafe",
    "judged": "at least one verdict that counts says something",
    "disagree": "judges of the same part are split over harm",
    "agree": "several judges of the same part agree on harm",
    "done": "there is a response",
    "missing": "nobody has asked for it yet, or it is being asked",
    "failed": "it was asked for and nothing came",
    "blocked": "the provider refused to answer",
    "labelled": "people or imports gave at least one label",
    "unlabelled": "nobody gave a label",
}
"""Words that stand alone."""
PREFIXES: dict[str, str] = {
    "text:": "the prompt's text contains the words, or matches the /regex/",
    "thinking_text:": "the thinking contains them",
    "answer_text:": "the answer contains them",
    "thinking:": "a judge of the thinking says unsafe or safe, has this status, or gives this label",
    "answer:": "the same of a judge of the answer",
    "both:": "the same of a judge of both together",
    "judge:": "the judge NAME or NAME.SCOPE looked and said something; with = or !=: what it said; with < or >: its score",
}
FIELDS: dict[str, str] = {**{name: one.about for name, one in COLUMNS.items()}, **FLAGS, **PREFIXES}
"""Everything that a filter can name, with one line on each."""


_TOKENS = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<open>\() | (?P<close>\))
  | (?P<op><=|>=|!=|!~|=|<|>|~)
  | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
  | (?P<regex>/(?:[^/\\]|\\.)+/)
  | (?P<word>(?:text|thinking_text|answer_text):(?=["'/])|[^\s()=<>~!"']+)
    """,
    re.VERBOSE | re.DOTALL,
)
_PREFIXED = re.compile(r"(text|thinking_text|answer_text|thinking|answer|both|judge):(.*)", re.DOTALL)
_NUMBER = re.compile(r"(-?\$?)(\d+(?:\.\d*)?|\.\d+)(ms|min|[smhkKM%]?)")
_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "k": 1e3, "K": 1e3, "M": 1e6, "%": 0.01}
_TEXTS: dict[str, Where] = {"text": "text", "thinking_text": "thinking_text", "answer_text": "answer_text"}
_ORDERED = ("<", "<=", ">", ">=")


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int
    """Position in the filter, from 1."""
    joined: bool = False
    """Whether nothing stands between it and what is before it."""


def _fault(message: str, at: int, hint: str | None = None) -> SpecError:
    return SpecError(f"in the filter, at {at}: {message}", hint=hint)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, joined = 0, False
    while at < len(text):
        match = _TOKENS.match(text, at)
        if match is None:
            sign = text[at]
            if sign in "\"'":
                raise _fault(f"the text that begins with {sign} has no end", at + 1, f"close it with another {sign}")
            raise _fault(f"`{sign}` means nothing here", at + 1, "operators are = != < <= > >= ~ !~")
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(_Token(kind, match[0], at + 1, joined))
        joined = kind != "space"
        at = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[_Token], end: int) -> None:
        self.tokens = tokens
        self.next = 0
        self.end = end
        self.tests = 0

    def peek(self) -> _Token | None:
        return self.tokens[self.next] if self.next < len(self.tokens) else None

    def take(self) -> _Token:
        token = self.peek()
        if token is None:
            raise _fault("the filter ends where a test is expected", self.end, "for example: unsafe and seconds > 3")
        self.next += 1
        return token

    def said(self, word: str) -> bool:
        token = self.peek()
        if token is not None and token.kind == "word" and token.text.lower() == word:
            self.next += 1
            return True
        return False

    def any(self, depth: int) -> Node:
        parts = [self.all(depth)]
        while self.said("or"):
            parts.append(self.all(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def all(self, depth: int) -> Node:
        parts = [self.negated(depth)]
        while True:
            token = self.peek()
            if self.said("and"):
                parts.append(self.negated(depth))
            elif token is None or token.kind == "close" or token.text.lower() == "or":
                break
            else:
                parts.append(self.negated(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def negated(self, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise _fault(
                f"more than {MOST_DEPTH} parentheses and `not`s inside each other", self.take().at, "write it flatter"
            )
        if self.said("not"):
            return Not(self.negated(depth + 1))
        token = self.take()
        if token.kind != "open":
            self.tests += 1
            if self.tests > MOST_TESTS:
                raise _fault(f"more than {MOST_TESTS} tests", token.at, "name several values by a /regex/")
            return self.test(token)
        inner = self.any(depth + 1)
        closing = self.peek()
        if closing is None or closing.kind != "close":
            raise _fault("this parenthesis is not closed", token.at, "add `)`")
        self.next += 1
        return inner

    def test(self, token: _Token) -> Test:
        following = self.peek()
        compared = following is not None and following.kind == "op"
        if token.kind == "quoted" and not compared:
            return Has("words", _unquoted(token))
        if token.kind == "regex" and not compared:
            return Has("words", _regex(token), regex=True)
        if token.kind != "word":
            raise _fault(f"`{_cut(token.text)}` stands where a test is expected", token.at, _hint(""))
        prefixed = _PREFIXED.fullmatch(token.text)
        if prefixed is not None:
            return self.prefixed(token, prefixed[1], prefixed[2])
        if compared:
            return self.comparison(token)
        name = token.text.lower()
        if name in FLAGS:
            return Flag(name)
        if name in {"and", "or"}:
            raise _fault(f"`{token.text}` stands where a test is expected", token.at, "put it between two tests")
        if name in COLUMNS:
            raise _fault(f"`{token.text}` is compared with nothing", token.at, f"for example: {name} = VALUE")
        prefix, colon, _ = token.text.partition(":")
        close = get_close_matches(f"{prefix}:", PREFIXES, n=1, cutoff=0.8) if colon else []
        if close:
            raise _fault(f"`{_cut(prefix)}:` means nothing", token.at, f"did you mean `{close[0]}`?")
        return Has("words", token.text)

    def prefixed(self, token: _Token, prefix: str, rest: str) -> Test:
        following = self.peek()
        if prefix == "judge":
            return self.judge(token, rest)
        value = _Token("word", rest, token.at + len(prefix) + 1)
        if not rest:
            if following is None or not following.joined or following.kind not in {"quoted", "regex", "word"}:
                raise _fault(f"`{prefix}:` is followed by nothing", token.at, f'for example: {prefix}:"words"')
            value = self.take()
        elif rest.startswith("/") and rest.endswith("/") and len(rest) > 2:
            value = _Token("regex", rest, value.at)
        where = _TEXTS.get(prefix)
        if where is not None:
            return Has(where, _regex(value), regex=True) if value.kind == "regex" else Has(where, _unquoted(value))
        if value.kind == "regex":
            raise _fault("a verdict is no text to search", value.at, f"for example: {prefix}:unsafe")
        return Said(None, prefix, "=", _unquoted(value), token.at)

    def judge(self, token: _Token, rest: str) -> Test:
        name = rest
        if not name:
            following = self.peek()
            if following is None or following.kind != "quoted" or not following.joined:
                raise _fault("`judge:` names no judge", token.at, "for example: judge:refusal.answer = compliance")
            name = _unquoted(self.take())
            after = self.peek()
            if after is not None and after.kind == "word" and after.joined and after.text.startswith("."):
                name += self.take().text
        before, dot, scope = name.rpartition(".")
        judge, found = (before, scope) if dot and scope in SCOPES and before else (name, None)
        operator = self.peek()
        if operator is None or operator.kind != "op":
            return Said(judge, found, at=token.at)
        op, value, is_regex = self.value(self.take())
        if is_regex or op in {"~", "!~"}:
            raise _fault("what a judge says is compared with = or !=, its score with < or >", operator.at)
        if op in _ORDERED:
            return Said(judge, found, op, _number(value), token.at)
        return Said(judge, found, op, None if value.kind == "absent" else _unquoted(value), token.at)

    def comparison(self, token: _Token) -> Test:
        column = COLUMNS.get(token.text.lower())
        if column is None:
            raise _fault(f"there is no column `{_cut(token.text)}`", token.at, known_names_hint(token.text, COLUMNS))
        operator = self.take()
        op, value, is_regex = self.value(operator)
        if value.kind == "absent":
            if op not in {"=", "!="}:
                raise _fault(f"`{ABSENT}` is compared with = or !=", value.at, f"{column.name} = {ABSENT}")
            return Compare(column.name, op, None)
        match column.kind:
            case "number":
                if op in {"~", "!~"} or is_regex:
                    raise _fault(f"`{column.name}` is a number", operator.at, f"for example: {column.name} > 3")
                return Compare(column.name, op, _number(value))
            case "flag":
                if op not in {"=", "!="} or value.text.lower() not in {"true", "false", "yes", "no"}:
                    raise _fault(f"`{column.name}` is true or false", value.at, f"{column.name} = true")
                return Compare(column.name, op, "true" if value.text.lower() in {"true", "yes"} else "false")
            case "text":
                return self.of_text(column, op, operator, value, is_regex=is_regex)
            case _:
                assert_never(column.kind)

    @staticmethod
    def of_text(column: Column, op: Op, operator: _Token, value: _Token, *, is_regex: bool) -> Compare:
        if op in _ORDERED and column.name != "received":
            raise _fault(f"`{column.name}` has no order", operator.at, "compare it with = != ~ or !~")
        if is_regex:
            if op in _ORDERED:
                raise _fault("a /regex/ is compared with = != ~ or !~", value.at)
            return Compare(column.name, "~" if op in {"=", "~"} else "!~", _regex(value), regex=True)
        text = _unquoted(value)
        if op in {"=", "!="} and column.known and text not in column.known:
            raise _fault(f"`{column.name}` is never `{_cut(text)}`", value.at, known_names_hint(text, column.known))
        return Compare(column.name, op, text)

    def value(self, operator: _Token) -> tuple[Op, _Token, bool]:
        ops: dict[str, Op] = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "~": "~", "!~": "!~"}
        value = self.peek()
        if value is None or value.kind not in {"word", "quoted", "regex"}:
            raise _fault(f"`{operator.text}` is followed by no value", operator.at, 'for example: model = "name"')
        self.next += 1
        if value.kind == "word" and value.text.lower() == ABSENT:
            value = _Token("absent", value.text, value.at)
        return ops[operator.text], value, value.kind == "regex"


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _hint(name: str) -> str:
    guess = nearest(name, FIELDS) if name else None
    return f"did you mean `{guess}`?" if guess else "for example: unsafe and seconds > 3"


def _unquoted(token: _Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL) if token.kind == "quoted" else token.text


def _regex(token: _Token) -> str:
    pattern = token.text[1:-1].replace("\\/", "/")
    wrong = regex.fault(pattern)
    if wrong is not None:
        raise _fault(wrong, token.at, "https://github.com/google/re2/wiki/Syntax")
    return pattern


def _number(token: _Token) -> float:
    found = _NUMBER.fullmatch(_unquoted(token))
    if found is None:
        raise _fault(f"`{_cut(token.text)}` is no number", token.at, "for example 3, 0.5, 200ms, 3s, 2min, 2k, $0.01")
    sign = -1.0 if found[1].startswith("-") else 1.0
    number = sign * float(found[2]) * (60.0 if found[3] == "m" else _UNITS[found[3]])
    if number in {float("inf"), float("-inf")}:
        raise _fault(f"`{_cut(token.text)}` is too large a number", token.at)
    return number


def parse(text: str) -> Node | None:
    """Return what a filter says; None for an empty one. Raises SpecError with the position, from 1."""
    text = without_surrogates(text)
    if len(text) > MOST_SIGNS:
        raise _fault(f"it has more than {MOST_SIGNS:,} signs", MOST_SIGNS + 1, "name several values by a /regex/")
    tokens = _tokens(text)
    if not tokens:
        return None
    parser = _Parser(tokens, len(text) + 1)
    node = parser.any(0)
    left = parser.peek()
    if left is not None:
        raise _fault(f"`{_cut(left.text)}` is left over", left.at, "is a `(` missing?")
    return node
