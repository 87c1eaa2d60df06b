"""On which line each key and array element of a TOML document stands; `tomllib` keeps no positions."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

Keys = tuple[str | int, ...]

# Unrolled loops: each string is read once. Possessive quantifiers would say it shorter, and are wrong in early releases of
# Python 3.11.
_STRING = re.compile(
    r'"""[^"\\]*(?:(?:\\[\s\S]|"(?!""))[^"\\]*)*"""(?:"{0,2})'
    r"|'''[^']*(?:'(?!'')[^']*)*'''(?:'{0,2})"
    r'|"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
    r"|'[^'\n]*'"
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BLANKS = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"[ \t\n]*(?:#[^\n]*[ \t\n]*)*")
_SCALAR = re.compile(r"[^,\]}#\n]+")


def positions(text: str, *, depth: int | None = None) -> Mapping[Keys, int]:
    """Return the line, from 1, of every key and array element of a valid TOML document.

    A path is the keys and indices that lead to the value. A table that has a header stands where its first header stands; one that
    only dotted keys or deeper headers make stands where the first of them stands. Paths longer than `depth` are left out. What it
    returns for an invalid document is unspecified; a ValueError is possible.
    """
    return _Scanner(text.replace("\r\n", "\n"), depth).document()


class _Scanner:
    def __init__(self, text: str, depth: int | None) -> None:
        self.text = text
        self.depth = depth
        self.at = 0
        self.line = 1
        self.counted_to = 0
        self.found: dict[Keys, int] = {}
        self.headed: set[Keys] = set()
        self.lengths: dict[Keys, int] = {}

    def document(self) -> Mapping[Keys, int]:
        table: Keys = ()
        while self.skip(_BETWEEN) < len(self.text):
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.assignment(table)
        return self.found

    def skip(self, pattern: re.Pattern[str]) -> int:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at character {self.at}")
        self.at = match.end()
        return self.at

    def step(self, sign: str) -> bool:
        """Skip blanks, then `sign` if it is next; return whether it was."""
        self.skip(_BLANKS)
        if self.text.startswith(sign, self.at):
            self.at += len(sign)
            return True
        return False

    def note(self, path: Keys, *, again: bool = False) -> None:
        if self.depth is not None and len(path) > self.depth:
            return
        self.line += self.text.count("\n", self.counted_to, self.at)
        self.counted_to = self.at
        if again:
            self.found[path] = self.line
        else:
            self.found.setdefault(path, self.line)

    def key(self) -> list[str]:
        """Read a key, dotted or not."""
        parts: list[str] = []
        while True:
            self.skip(_BLANKS)
            start = self.at
            if self.text[start : start + 1] in ('"', "'"):
                self.skip(_STRING)
                parts.append(tomllib.loads("k=" + self.text[start : self.at])["k"])
            else:
                self.skip(_BARE_KEY)
                parts.append(self.text[start : self.at])
            if not self.step("."):
                return parts

    def within(self, path: Keys, part: str) -> Keys:
        """Return the path of a key; where it names an array of tables, of that array's last element."""
        path = (*path, part)
        return (*path, self.lengths[path] - 1) if path in self.lengths else path

    def header(self) -> Keys:
        array = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if array else 1
        *parents, last = self.key()
        end_of_key = self.at
        self.at = start
        path: Keys = ()
        for part in parents:
            path = self.within(path, part)
            self.note(path)
        if array:
            path = (*path, last)
            self.note(path)
            self.lengths[path] = self.lengths.get(path, 0) + 1
            path = (*path, self.lengths[path] - 1)
            self.note(path)
        else:
            path = (*path, last)
            self.note(path, again=path not in self.headed)
            self.headed.add(path)
        self.at = end_of_key
        self.step("]]" if array else "]")
        return path

    def assignment(self, table: Keys) -> None:
        self.skip(_BLANKS)
        start = self.at
        parts = self.key()
        end_of_key = self.at
        self.at = start
        path = table
        for part in parts:
            path = self.within(path, part)
            self.note(path)
            if self.depth is not None and len(path) > self.depth:
                break
        self.at = end_of_key
        if not self.step("="):
            raise ValueError(f"not TOML at character {self.at}")
        self.skip(_BLANKS)
        self.value(path)

    def value(self, path: Keys) -> None:
        match self.text[self.at : self.at + 1]:
            case "[":
                self.at += 1
                index = 0
                while self.skip(_BETWEEN) < len(self.text) and self.text[self.at] != "]":
                    self.note((*path, index))
                    self.value((*path, index))
                    index += 1
                    self.skip(_BETWEEN)
                    self.step(",")
                self.at += 1
            case "{":
                self.at += 1
                while self.skip(_BETWEEN) < len(self.text) and self.text[self.at] != "}":
                    self.assignment(path)
                    self.skip(_BETWEEN)
                    self.step(",")
                self.at += 1
            case '"' | "'":
                self.skip(_STRING)
            case _:
                self.skip(_SCALAR)
