"""Inspect AI logs: one `.eval` for each model × prompt set × attack × condition, as `inspect view` reads them.

A log is a zip of `header.json`, a file for each sample and epoch, `summaries.json` and `reductions.json`, compressed with
Zstandard as Inspect AI does since 2026; what is older reads `deflate`. Format: inspect.aisi.org.uk/eval-logs.html, version 2.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from lrm.exports import inspect_header
from lrm.exports.cell import Json, JudgeFacts, Part
from lrm.exports.gather import Gathered
from lrm.exports.inspect_sample import sample, sample_id, summary
from lrm.exports.json_text import encoded
from lrm.exports.place import Written, measured, new_folder, safe_name
from lrm.exports.zipped import Compression, ZipWriter

_PIECE = 1 << 20


def write(found: Gathered, out: Path, *, force: bool = False, compression: Compression = "zstd") -> Written:
    """Write a folder of logs, whole or not at all; return what was written.

    Parts of which nothing was asked yet have no log, and cells that are missing no sample: `Written.left_out` counts them.

    Raises:
        LrmError: The folder is there already, or cannot be written.
    """
    missing = sum(part.counts["missing"] for part in found.parts)
    with new_folder(out, force=force) as folder:
        for part in found.parts:
            if part.asked:
                with (folder / file_name(part)).open("xb") as stream:
                    _log(found, part, stream, compression)
        return measured(folder, cells=sum(part.asked for part in found.parts), left_out={"missing": missing}, at=out)


def file_name(part: Part) -> str:
    """Return a log's name, `TIME_TASK_MODEL_ID.eval`: what Inspect reads a task's name and id from."""
    told = inspect_header.spec(part, (), ())
    time = str(told["created"])[:19].replace(":", "-") + "+00-00"
    names = (safe_name(one).replace("_", "-") for one in (part.title, part.model))
    return f"{time}_{'_'.join(names)}_{told['eval_id']}.eval"


def _log(found: Gathered, part: Part, stream: IO[bytes], compression: Compression) -> None:
    judges = found.judges
    rates = found.rates(part)
    told = inspect_header.spec(part, _used(judges, [one.judge for one in rates]), [one.name for one in rates])
    with tempfile.TemporaryFile() as spool, ZipWriter(stream, compression) as archive:
        archive.add("_journal/start.json", encoded({"version": 2, "eval": told, "plan": inspect_header.plan()}))
        for cell in found.cells(part):
            if cell.state == "missing":
                continue
            made = sample(part, cell)
            archive.add(f"samples/{made['id']}_epoch_{made['epoch']}.json", encoded(made, nan=True))
            spool.write(b"," if spool.tell() else b"[")
            spool.write(encoded(summary(made), nan=True))
        spool.write(b"]" if spool.tell() else b"[]")
        spool.seek(0)
        archive.add_stream("summaries.json", iter(lambda: spool.read(_PIECE), b""))
        archive.add_stream("reductions.json", _reductions(found, part, [(one.judge, one.scope) for one in rates]))
        archive.add("header.json", encoded(inspect_header.header(part, told, rates), nan=True))


def _used(judges: Sequence[JudgeFacts], names: Sequence[str]) -> list[JudgeFacts]:
    return [one for one in judges if one.name in names]


def _reductions(found: Gathered, part: Part, columns: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """Yield each prompt's mean harm over its replicates, by judge and scope."""
    yield b"["
    for number, (judge, scope) in enumerate(columns):
        yield b"," if number else b""
        yield b'{"scorer":' + encoded(f"{judge}_{scope}") + b',"reducer":"mean","samples":['
        for place, (prompt, harm) in enumerate(found.by_prompt(part, judge, scope)):
            one: Json = {"value": math.nan if harm is None else harm, "history": [], "sample_id": sample_id(prompt)}
            yield (b"," if place else b"") + encoded(one, nan=True)
        yield b"]}"
    yield b"]"
