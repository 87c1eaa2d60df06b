"""P5 in a real terminal: a catalog whose every text is hostile, through every view, with every key of it pressed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from lrm.store.catalog import Catalog
from lrm_tui.actions import VIEWS, Action, of
from tests.hostile import ALL, LIVE, NASTY, hostile_catalog
from tests.terminal import Terminal

OURS = re.compile(
    rb"\x1b(?:\[[0-9:;?<>=$ ]*[A-Za-z]|[78=>]|\([B0]|P\$q[^\x1b]*\x1b\\|P=[^\x1b]*\x1b\\|_G[^\x1b]*\x1b\\"
    rb"|\]22;[a-z]+|\]52;c;[A-Za-z0-9+/=]*)"
)
"""What Textual's driver writes; the last is a copy, which is asked for by a key."""
KEYS = {
    "slash": b"/", "question_mark": b"?", "colon": b":", "greater_than_sign": b">", "less_than_sign": b"<", "full_stop": b".",
    "exclamation_mark": b"!", "plus": b"+", "equals_sign": b"=", "minus": b"-", "escape": b"\x1b", "enter": b"\r",
    "space": b" ", "tab": b"\t", "shift+tab": b"\x1b[Z", "pagedown": b"\x1b[6~", "pageup": b"\x1b[5~", "home": b"\x1b[H",
    "end": b"\x1b[F", "up": b"\x1b[A", "down": b"\x1b[B", "left": b"\x1b[D", "right": b"\x1b[C", "f5": b"\x1b[15~",
    "f1": b"\x1bOP",
}  # fmt: skip
LEAVING = {"any.quit"}
MODEL = "m"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a catalog whose every text is hostile."""
    return hostile_catalog(tmp_path_factory.mktemp("hostile"))


def spoken(key: str) -> bytes:
    """Return what a terminal sends for a key."""
    if key.startswith("ctrl+"):
        return bytes([ord(key[5:].upper()) - 64])
    return KEYS.get(key) or key.encode()


def words_of(view: str, catalog: Path) -> list[str]:  # noqa: PLR0911 -- one for each view
    """Return the words that open a view of something in the catalog."""
    with Catalog(catalog).reading() as connection:
        generation = connection.execute("SELECT 'g1:' || lower(hex(id)) FROM lrm.generations ORDER BY n").fetchall()[0][
            0
        ]
        ran = connection.execute("SELECT id FROM lrm.runs").fetchall()[0][0]
    match view:
        case "trace":
            return ["cell", generation]
        case "plan":
            return ["plan", str(catalog.parent / "small.toml")]
        case "compare":
            return ["compare", "--", ALL.replace("\x00", ""), "other"]
        case "annotate":
            return ["annotate", "--annotator", "ann"]
        case "search":
            return ["search", "red"]
        case "sql":
            return ["sql", "SELECT * FROM traces"]
        case "monitor":
            return ["monitor", ran]
        case _:
            return [view]


def quiet(output: bytes) -> None:
    """Raise AssertionError when something that is not the driver's own reached the terminal."""
    for nasty in NASTY:
        sequence = nasty.encode("utf-8", "surrogatepass")
        if any(sign < 0x20 or sign == 0x7F for sign in sequence):
            assert sequence not in output
    assert b"\x1b[2J\x1b[31m" not in output
    assert b"title\x07" not in output
    assert b"aGk=\x07" not in output
    output = output.replace(b"\x07", b"")  # Textual rings the bell for a key that does nothing
    left = OURS.sub(b"", output).replace(b"\r", b"").replace(b"\n", b"").decode("utf-8")
    live = LIVE.search(left)
    assert live is None, f"{live[0]!r} in {left[max(live.start() - 200, 0) : live.end() + 60]!r}"


@pytest.mark.parametrize("view", VIEWS)
def test_every_key_of_every_view_of_a_hostile_catalog(view: str, hostile: Path, tmp_path: Path) -> None:
    words = words_of(view, hostile)
    environment = {
        "PAGER": "true",
        "EDITOR": "true",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": "",
        "XDG_STATE_HOME": str(tmp_path),
    }
    command = [sys.executable, "-P", "-m", "lrm_tui", "--catalog", str(hostile), *words]
    with Terminal(command, columns=140, rows=40, env=environment, cwd=tmp_path) as terminal:
        terminal.until(b"Help")
        terminal.settle()
        for action in of(view):
            if action.name not in LEAVING:
                press(terminal, action)
        terminal.write(b"\x1b")
        terminal.settle()
        terminal.write(b"\x11")  # Ctrl-Q leaves from wherever the keys have led
        terminal.settle()
        terminal.write(b"y")
        code = terminal.wait()
        output = bytes(terminal.output)
    assert code == 0, output[-3000:].decode("utf-8", "replace")
    quiet(output)


def press(terminal: Terminal, action: Action) -> None:
    """Do an action, look at what it opened, and close that."""
    terminal.write(spoken(action.keys[0]))
    terminal.settle(0.08)
    if action.verb != "out":
        terminal.write(b"\x1b")
        terminal.settle(0.06)
