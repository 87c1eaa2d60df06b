"""Where a snapshot is: on the Hub, in a folder, or still in a catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lrm.errors import MissingError
from lrm.snapshot.manifest import NAME

ON_THE_HUB = "hf://datasets/"
IN_THE_CATALOG = "spec:"


@dataclass(frozen=True, slots=True)
class Repository:
    """A dataset repository on the Hub."""

    repo: str
    """`ORG/NAME`."""
    revision: str | None = None
    """Branch, tag or commit; None for the newest."""

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class InCatalog:
    """What the catalog has of a spec."""

    spec: str
    """Its name, or its file."""

    def __str__(self) -> str:
        return f"{IN_THE_CATALOG}{self.spec}"


Place = Repository | Folder


def place_of(text: str) -> Place:
    """Return where ORG/NAME, ORG/NAME@REVISION, an address on the Hub or a folder is. Raises MissingError for other words.

    A folder that holds a snapshot comes before a repository of the same name; `hf://datasets/ORG/NAME` is always the Hub's.
    """
    from lrm.snapshot.hub.repository import address

    if text.startswith(ON_THE_HUB):
        return Repository(*address(text.removeprefix(ON_THE_HUB)))
    if text.startswith(("https://", "http://")):
        from lrm.hub_client import endpoint

        known, marked, rest = text.partition("/datasets/")
        if not marked or known != endpoint():
            raise MissingError(f"{text[:120]} is no dataset's address on {endpoint()}", hint="name it as ORG/NAME")
        return Repository(*address(rest.rstrip("/")))
    path = Path(text).expanduser()
    if (path / NAME).exists() or text.startswith((".", "/", "~")) or text.count("/") != 1:
        if not path.exists():
            raise MissingError(
                f"there is no folder {text[:200]}", hint="name a folder that holds a snapshot, or ORG/NAME on the Hub"
            )
        return Folder(path)
    return Repository(*address(text))


def side_of(text: str) -> Place | InCatalog:
    """Return where a side of a comparison is: as `place_of`, or a spec of the catalog (`spec:NAME`, or a .toml file)."""
    if text.startswith(IN_THE_CATALOG):
        return InCatalog(text.removeprefix(IN_THE_CATALOG))
    return InCatalog(text) if text.endswith(".toml") else place_of(text)
