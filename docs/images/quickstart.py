"""Draws docs/images/quickstart.svg: what `lrm matrix fill specs/quickstart.toml` prints.

`make docs` runs it. A picture whose table of results is current stays, because the times beside it always differ.
"""

from __future__ import annotations

import html
import io
import re
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ("lrm", "matrix", "fill", "specs/quickstart.toml")


def output() -> str:
    """Return what the command prints in a folder without a catalog."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "specs").symlink_to(ROOT / "specs")
        program = Path(sysconfig.get_path("scripts"), COMMAND[0])
        done = subprocess.run(
            [program, *COMMAND[1:]],
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    return done.stdout


def picture(text: str) -> str:
    """Return a terminal with the command and its output as SVG that loads no font from anywhere."""
    lines = text.rstrip().splitlines()
    width = max(map(len, lines)) + 1
    console = Console(record=True, width=width, file=io.StringIO(), highlight=False)
    console.print(Text("$ " + " ".join(COMMAND), style="bold"))
    for line in lines:
        console.print(Text(line, style="bold" if line.startswith("model ") else ""))
    own_font = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="lrm", code_format=own_font, unique_id="quickstart")


def words(svg: str) -> str:
    """Return what stands in a picture, a text element a line."""
    return html.unescape("\n".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))).replace("\xa0", " ")


def main() -> None:
    """Draw the picture, unless it shows the same table already."""
    file = Path(__file__).with_suffix(".svg")
    shown = words(file.read_text(encoding="utf-8")) if file.is_file() else ""
    printed = output()
    results = [line for line in printed.splitlines() if line.startswith("model ") or "% of" in line]
    assert results, printed
    if not all(line in shown for line in results):
        file.write_text(picture(printed), encoding="utf-8")


if __name__ == "__main__":
    main()
