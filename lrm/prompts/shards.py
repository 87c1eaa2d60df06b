"""Which files of a Hub repository hold a config and a split, told by their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from lrm.errors import known_names_hint
from lrm.prompts.formats import Format, format_by_name

_PREFERENCE: tuple[Format, ...] = ("parquet", "jsonl", "json", "csv", "tsv")
_SPLITS = ("train", "test", "validation", "valid", "val", "dev", "eval")
_NOT_DATA = {"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "config.json"}
_SHARD = re.compile(r"(?:^|[-_.])(?P<number>\d+)(?:-of-(?P<total>\d+))?(?:-[0-9a-f]{8,})?$")


class NoFilesError(ValueError):
    """No files fit, or it is not clear which; the message and the hint are for the user."""

    def __init__(self, message: str, *, key: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.key, self.hint = message, key, hint


@dataclass(slots=True)
class _Group:
    """Files that are shards of one table."""

    names: list[str] = field(default_factory=list)
    totals: set[int] = field(default_factory=set)


def choose_files(names: Iterable[str], *, config: str | None, split: str | None) -> tuple[str, ...]:
    """Return the data files of a config and a split, shards in order.

    A config and a split are found as whole words in the path: `CONFIG/SPLIT-00000-of-00002.parquet`, `data/SPLIT*.csv`,
    `SPLIT.jsonl`. Parquet is preferred, then JSONL, JSON, CSV, TSV. A repository without a word for any split is all
    `train`, as the `datasets` library reads it. Raises NoFilesError where nothing fits, where more than one table fits,
    and where a shard is not there.
    """
    found = sorted(name for name in names if _is_data(name))
    if not found:
        raise NoFilesError("the repository holds no CSV, JSON, JSONL or Parquet file", key="hub")
    fitting = _of_config(found, config) if config is not None else found
    if split is not None:
        fitting = _of_split(fitting, split, config)
    best = next(form for form in _PREFERENCE if any(format_by_name(name) == form for name in fitting))
    groups: dict[str, _Group] = {}
    for name in fitting:
        if format_by_name(name) == best:
            table, total = _table(name, split)
            group = groups.setdefault(table, _Group())
            group.names.append(name)
            if total is not None:
                group.totals.add(total)
    if len(groups) > 1:
        listed = [group.names[0] for group in groups.values()]
        missing = [key for key, value in (("config", config), ("split", split)) if value is None]
        raise NoFilesError(
            f"{len(groups)} tables fit: {_listed(listed)}",
            key="hub",
            hint="name one with hub.file" + (f", or say hub.{' and hub.'.join(missing)}" if missing else ""),
        )
    (group,) = groups.values()
    if group.totals and group.totals != {len(group.names)}:
        raise NoFilesError(
            f"{len(group.names)} of {max(group.totals)} shards are there: {_listed(group.names)}",
            key="hub",
            hint="the repository or the copy of it is not complete",
        )
    return tuple(sorted(group.names, key=_order))


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    return format_by_name(path.name) is not None and not hidden and path.name.lower() not in _NOT_DATA


def _of_config(names: list[str], config: str) -> list[str]:
    fitting = [name for name in names if config in PurePosixPath(name).parts[:-1]]
    fitting = fitting or [name for name in names if _says(name, config)]
    if not fitting and config != "default":
        folders = {part for name in names for part in PurePosixPath(name).parts[:-1]} - {"data"}
        hint = known_names_hint(config, folders or {PurePosixPath(name).name for name in names})
        raise NoFilesError(f"no data file belongs to the config `{config}`", key="hub.config", hint=hint)
    return fitting or names


def _of_split(names: list[str], split: str, config: str | None) -> list[str]:
    fitting = [name for name in names if _says(name, split, leave_out=config)]
    if not fitting and split == "train" and not any(_says(name, word) for name in names for word in _SPLITS):
        return names
    if not fitting:
        hint = f"the data files: {_listed(names)}"
        raise NoFilesError(f"no data file belongs to the split `{split}`", key="hub.split", hint=hint)
    return fitting


def _says(name: str, word: str, *, leave_out: str | None = None) -> bool:
    """Return whether a path has a folder or a part of its file name that is this word."""
    *folders, last = PurePosixPath(name).parts
    if word in [folder for folder in folders if folder != leave_out]:
        return True
    return re.search(rf"(?:^|[-_. ]){re.escape(word)}(?:$|[-_. \d])", _stem(last)) is not None


def _table(name: str, split: str | None) -> tuple[str, int | None]:
    """Return what a file's name says less its shard number, and of how many shards it is one (None: not said)."""
    path = PurePosixPath(name)
    stem = _stem(path.name)
    shard = _SHARD.search(stem)
    total = None
    if shard is not None:
        stem = stem[: shard.start()]
        total = int(shard["total"]) if shard["total"] else None
    elif split is not None:
        stem = re.sub(rf"({re.escape(split)})\d+$", r"\1", stem)
    return str(path.parent / stem), total


def _order(name: str) -> list[tuple[int, int, str]]:
    """Return a sort key by which shard 10 comes after shard 9."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name) if part]


def _stem(name: str) -> str:
    stem = name[:-3] if name.lower().endswith(".gz") else name
    return stem.rsplit(".", 1)[0]


def _listed(names: list[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
