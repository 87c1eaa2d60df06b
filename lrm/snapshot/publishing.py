"""Publishing what a catalog has of a spec: written to a passing folder, made one with what is published already, and sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lrm.errors import MissingError, SnapshotError
from lrm.snapshot import manifest as manifests
from lrm.snapshot.beside import passing_folder
from lrm.snapshot.check.check import check
from lrm.snapshot.choice import Choice
from lrm.snapshot.export import Exported, write
from lrm.snapshot.folder import open_folder
from lrm.snapshot.sizes import Harm, TableSize, harm, sizes
from lrm.snapshot.tables import BY_NAME
from lrm.store.catalog import Catalog

if TYPE_CHECKING:
    from lrm.snapshot.hub.publish import Gated, Published
    from lrm.snapshot.hub.repository import Remote

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What publishing a folder comes to, compared with the repository as it is now."""

    repo: str
    exists: bool
    """Whether there is a repository of this name that this account sees."""
    public: bool
    """Whether everybody can read it afterwards."""
    becomes_public: bool
    """Whether that is new."""
    gated: str | None
    """Whether readers have to ask for access, afterwards: `auto` or `manual`."""
    tables: tuple[TableSize, ...]
    harm: Harm
    new_files: int
    new_bytes: int
    """Shards that are not there yet; the manifest and the card come on top."""
    others: int
    """Shards of rows that others have published there: their rows stay."""
    unchanged: bool
    """Whether everything is there already."""


@contextmanager
def passing(catalog: Catalog, spec: str, choice: Choice, *, say: Say = lambda _: None) -> Iterator[Exported]:
    """Have a snapshot of a spec in a folder that goes at the end, beside the catalog where that can be written."""
    with passing_folder(catalog) as scratch:
        folder = scratch / "snapshot"
        folder.mkdir()
        try:
            finished = write(catalog, spec, folder, choice, say=say)
        except OSError as error:
            raise SnapshotError(
                f"the snapshot cannot be written to {scratch}: {error.strerror or error}", hint="free some disk space"
            ) from error
        yield Exported(folder, finished)


def outgoing(
    exported: Exported, repo: str, *, private: bool | None = None, gated: Gated | None = None, token: str | None = None
) -> Outgoing:
    """Compare a snapshot with a repository; changes nothing on either side.

    `private` and `gated` are what is going to be asked for: None leaves what is there, and a new repository private. Raises
    MissingError, BusyError, and SnapshotError for a repository that holds something else.
    """
    there = _there(repo, token)
    ours = exported.finished.manifest
    theirs = manifests.read(there.manifest, repo) if there is not None and there.manifest else None
    known = {} if there is None else dict(there.files)
    here = {one.path for one in ours.files}
    others = [
        one for one in (theirs.files if theirs else ()) if one.path not in here and not BY_NAME[one.table].derived
    ]
    # Tables for readers are made anew with what others have there.
    new = [
        one for one in ours.files if known.get(one.path) != one.bytes and not (others and BY_NAME[one.table].derived)
    ]
    told = (
        theirs is not None
        and set(ours.specs) <= set(theirs.specs)
        and (bool(others) or set(ours.sets) <= set(theirs.sets))
    )
    was_private = there is None or there.private
    public = not (was_private if private is None else private)
    return Outgoing(
        repo=repo,
        exists=there is not None,
        public=public,
        becomes_public=public and was_private,
        gated=gated if gated is not None or there is None else there.gated,
        tables=sizes(exported.folder, ours),
        harm=harm(exported.folder, ours),
        new_files=len(new),
        new_bytes=sum(one.bytes for one in new),
        others=len(others),
        unchanged=told and not new,
    )


def send(
    exported: Exported,
    repo: str,
    choice: Choice,
    *,
    private: bool | None = None,
    gated: Gated | None = None,
    token: str | None = None,
    say: Say = lambda _: None,
) -> Published:
    """Publish a snapshot; what others have published there meanwhile is checked, and made one with it.

    Raises MissingError where this account may not write, SnapshotError where what is there is no sound snapshot, BusyError
    where the Hub does not answer.
    """
    from lrm.snapshot.hub.publish import publish
    from lrm.snapshot.union import union

    made: list[Path] = []

    def rebase(theirs: Path) -> Path:
        say(f"{repo} has rows of others: checking them, to keep them beside these")
        there = open_folder(theirs)
        check(there)
        into = exported.folder.with_name(f"union-{len(made)}")
        united = union(exported.folder, theirs, into, gated=choice.gated, named=choice.annotators == "named")
        made.append(into)
        known = {one.name for one in (*exported.finished.manifest.specs, *there.manifest.specs)}
        renamed = [one.name for one in united.manifest.specs if one.name not in known]
        if renamed:
            say(f"what specs of the same name meant before is kept as {', '.join(renamed)}")
        return into

    return publish(exported.folder, repo, private=private, gated=gated, token=token, rebase=rebase, say=say)


def _there(repo: str, token: str | None) -> Remote | None:
    from lrm.snapshot.hub.faults import check_online
    from lrm.snapshot.hub.repository import check_name, look

    check_name(repo)
    check_online()
    try:
        return look(repo, token=token)
    except MissingError as error:
        if "there is no dataset" in error.message:
            return None  # or one that this account does not see: who may write to it is found when it is
        raise
