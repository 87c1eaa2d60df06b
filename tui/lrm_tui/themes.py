"""Two themes of our own, and one that uses the terminal's own colours."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="lrm-dark", dark=True, primary="#7aa2f7", secondary="#9aa5ce", accent="#e0af68", foreground="#d5d9e8",
    background="#14161e", surface="#1b1e28", panel="#262a38", success="#73c991", warning="#e0af68", error="#f7768e",
    variables={"border": "#3b4261"},
)  # fmt: skip
LIGHT = Theme(
    name="lrm-light", dark=False, primary="#2456b3", secondary="#4c5a7d", accent="#8a5a00", foreground="#1c2030",
    background="#fbfbf8", surface="#f1f1ec", panel="#e3e4de", success="#1d6b3a", warning="#8a5a00", error="#b3213f",
    variables={"border": "#b9bcc8"},
)  # fmt: skip
OWN = (DARK, LIGHT)
