"""Folders that look like snapshots to whoever carries them: a manifest, a card, and shards of any bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from lrm.snapshot.card.card import MARKER
from lrm.snapshot.hub.repository import TAG
from lrm.snapshot.manifest import CARD, NAME, File, Manifest, Spec, read


def folder_of(folder: Path, *bodies: bytes, table: str = "raw", spec: str = "one", version: str = "1.0") -> Path:
    """Make a folder with these shards of a table."""
    return _write(folder, [(table, body) for body in bodies], {spec}, version)


def union(first: Path, second: Path, into: Path) -> Path:
    """Make a folder with the shards of both: what merging comes to where no row is in two."""
    both = [manifest(folder) for folder in (first, second)]
    bodies = {
        one.path: (one.table, (folder / one.path).read_bytes())
        for folder, told in zip((first, second), both, strict=True)
        for one in told.files
    }
    return _write(into, [bodies[path] for path in sorted(bodies)], {spec.name for told in both for spec in told.specs})


def manifest(folder: Path) -> Manifest:
    """Return a folder's manifest."""
    return read((folder / NAME).read_bytes(), str(folder))


def paths(folder: Path) -> set[str]:
    """Return the paths of a folder's shards."""
    return {one.path for one in manifest(folder).files}


def _write(folder: Path, bodies: Iterable[tuple[str, bytes]], specs: set[str], version: str = "1.0") -> Path:
    files = []
    for table, body in bodies:
        digest = hashlib.sha256(body).hexdigest()
        path = f"data/{table}/{digest[:32]}.parquet"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(body)
        files.append(File(path=path, table=table, rows=1, bytes=len(body), unpacked=len(body), sha256=digest))
    told = Manifest(
        format=1, version=version, made_with={"pyarrow": version}, identity=("c1",), splitter=1,
        specs=tuple(Spec(name=name) for name in sorted(specs)), sets=(), texts={}, counts={}, files=tuple(files),
    )  # fmt: skip
    (folder / NAME).write_text(told.text(), encoding="utf-8")
    names = ", ".join(sorted(specs))
    head = f"---\nlicense: other\ntags:\n- {TAG}\n---\n"
    card = f"{head}{MARKER}\n# {names}\n\n{len(files)} files.\n\n- Written by lrm {version}.\n"
    (folder / CARD).write_text(card, encoding="utf-8")
    return folder
