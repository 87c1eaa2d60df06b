"""Files of a dataset on the Hugging Face Hub: from LRM_DATA, from the client's cache, or over the network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lrm.errors import BusyError, LrmError, MissingError, known_names_hint
from lrm.hub_client import COMMIT, Fault, cache_folder, endpoint, hub_fault, is_offline, silent_bar
from lrm.prompts import files
from lrm.prompts.shards import NoFilesError, choose_files
from lrm.prompts.source import Pin, combined, fault_of
from lrm.registry.declarations import Hub, PromptSet
from lrm.spec.matrix import Located


@dataclass(frozen=True, slots=True)
class Fetched:
    """Files of a dataset, on this machine."""

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    """Their names in the repository."""
    revision: str | None
    """The commit that they are from; None where that is not known."""


def mirrored(prompt_set: Located[PromptSet], *, wanted: str | None) -> Fetched | None:
    """Return the set's files out of the folder LRM_DATA, or None when they are not there or are others than wanted.

    Looked for are LRM_DATA/REPO/FILE and LRM_DATA/NAME for a declared file, and LRM_DATA/REPO as a copy of the
    repository otherwise. `wanted` is the SHA-256 to compare with; None takes what is there.
    """
    hub = _hub(prompt_set)
    folder = files.data_folder()
    if folder is None:
        return None
    if hub.file is not None:
        names: tuple[str, ...] = (hub.file,)
        candidates: list[tuple[Path, ...]] = [(folder / hub.repo / hub.file,), (folder / PurePosixPath(hub.file).name,)]
    else:
        names = _chosen_below(folder / hub.repo, hub)
        candidates = [tuple(folder / hub.repo / name for name in names)] if names else []
    for paths in candidates:
        if all(path.is_file() for path in paths) and (wanted is None or wanted in _digests(paths)):
            revision = hub.revision if COMMIT.fullmatch(hub.revision) else None
            return Fetched(paths, names, revision)
    return None


def fetch(prompt_set: Located[PromptSet], *, pinned: Pin) -> Fetched:
    """Return the set's files at the locked commit, or else at the declared revision, resolved to a commit once.

    What the client's cache holds of a commit is not asked for again. Without a network (or with HF_HUB_OFFLINE)
    the cache is all there is. Endpoint, token and cache folder are the client's own (HF_ENDPOINT, HF_TOKEN, HF_HOME).
    Raises SpecError for what the repository lacks, MissingError for one that cannot be reached or read, BusyError for a
    Hub that is overloaded.
    """
    hub = _hub(prompt_set)
    revision = pinned.revision or hub.revision
    if pinned.revision and COMMIT.fullmatch(hub.revision) and hub.revision != pinned.revision:
        raise fault_of(
            prompt_set,
            "hub.revision",
            f"the declaration asks for {hub.revision[:12]}…, the lock has {pinned.revision[:12]}…",
            "run with --update to move the lock",
        )
    cached = _cached(prompt_set, revision) if COMMIT.fullmatch(revision) else None
    # Only a file that was named is known to be all; a listing out of the cache may lack files of the commit.
    if cached is not None and (hub.file is not None or pinned.sha256 in _digests(cached.paths)):
        return cached
    if is_offline():
        return _from_cache(prompt_set, revision, "HF_HUB_OFFLINE is set")
    try:
        with _explained(prompt_set, revision):
            return _download(prompt_set, revision)
    except _UnreachableError as error:
        return _from_cache(prompt_set, revision, str(error))


class _UnreachableError(Exception):
    """No answer came from the endpoint."""


def _download(prompt_set: Located[PromptSet], revision: str) -> Fetched:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    hub = _hub(prompt_set)
    api = HfApi(endpoint=endpoint())
    commit = revision
    if not COMMIT.fullmatch(revision):
        commit = str(api.dataset_info(hub.repo, revision=revision).sha)
    if hub.file is not None:
        names: tuple[str, ...] = (hub.file,)
    else:
        names = _choose(prompt_set, api.list_repo_files(hub.repo, revision=commit, repo_type="dataset"))
    paths = []
    for name in names:
        try:
            path = hf_hub_download(
                hub.repo, name, repo_type="dataset", revision=commit, endpoint=endpoint(), cache_dir=cache_folder(),
                tqdm_class=silent_bar(),
            )  # fmt: skip
        except LocalEntryNotFoundError:
            raise  # the client's words for a request without a usable answer: no sign that the file is missing
        except EntryNotFoundError as error:
            known = api.list_repo_files(hub.repo, revision=commit, repo_type="dataset")
            hint = known_names_hint(name, known)
            raise fault_of(
                prompt_set, "hub.file", f"{hub.repo} has no file `{name}` at {commit[:12]}…", hint
            ) from error
        paths.append(Path(str(path)))
    _remember(hub, revision, commit)
    return Fetched(tuple(paths), names, commit)


# --- the client's cache -----------------------------------------------------------------------------------------------


def _repo_cache(hub: Hub) -> Path:
    return cache_folder() / f"datasets--{hub.repo.replace('/', '--')}"


def _cached(prompt_set: Located[PromptSet], commit: str) -> Fetched | None:
    """Return the set's files as the cache holds them, without loading the client; None when it does not hold them."""
    hub = _hub(prompt_set)
    root = _repo_cache(hub) / "snapshots" / commit
    if hub.file is not None:
        names: tuple[str, ...] = (hub.file,) if (root / hub.file).is_file() else ()
    else:
        names = _chosen_below(root, hub)
    return Fetched(tuple(root / name for name in names), names, commit) if names else None


def _from_cache(prompt_set: Located[PromptSet], revision: str, why: str) -> Fetched:
    hub = _hub(prompt_set)
    commit = revision
    if not COMMIT.fullmatch(revision):
        with suppress(OSError):
            commit = (_repo_cache(hub) / "refs" / revision).read_text(encoding="ascii").strip()
    cached = _cached(prompt_set, commit) if COMMIT.fullmatch(commit) else None
    if cached is None:
        raise MissingError(
            f"prompt set `{prompt_set.name}`: {why}, and the cache does not hold {_what(hub)} at {revision}",
            hint=f"fetch it once with a network, or put it at {files.DATA_VARIABLE}/{hub.repo}/{hub.file or ''}",
        )
    return cached


def _remember(hub: Hub, revision: str, commit: str) -> None:
    """Note in the cache which commit a branch or tag meant, as the client does, for a later run without a network."""
    if revision == commit or ".." in PurePosixPath(revision).parts:
        return
    note = _repo_cache(hub) / "refs" / revision
    with suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(commit, encoding="ascii")


# --- errors -----------------------------------------------------------------------------------------------------------


@contextmanager
def _explained(prompt_set: Located[PromptSet], revision: str) -> Iterator[None]:
    """Turn the client's errors into ours."""
    try:
        yield
    except LrmError:
        raise
    except Exception as error:
        fault = hub_fault(error)
        if fault is None:
            raise
        raise _told(fault, prompt_set, revision) from error


def _told(fault: Fault, prompt_set: Located[PromptSet], revision: str) -> Exception:  # noqa: PLR0911 - one a kind of fault
    repo = _hub(prompt_set).repo
    match fault.kind:
        case "revision":
            return fault_of(
                prompt_set, "hub.revision", f"{repo} has no revision `{revision}`",
                f"see the commits, branches and tags of the dataset {repo}; `main` is the default branch",
            )  # fmt: skip
        case "repository":
            return MissingError(
                f"prompt set `{prompt_set.name}`: there is no dataset {repo} that this account may see",
                hint="compare the name; for a private dataset set HF_TOKEN to a token that may read it",
            )
        case "name":
            return fault_of(prompt_set, "hub.repo", f"`{repo}` is no name of a dataset")
        case "disk":
            return MissingError(
                f"the Hub client's cache cannot be written: {fault.reason}",
                hint="free some disk space, or name another folder in HF_HOME",
            )
        case "network" | "offline":
            return _UnreachableError(f"the Hub cannot be reached ({fault.reason})")
        case "gated" | "answer" if fault.refused:
            return MissingError(
                f"the dataset {repo} is gated, and this account has no access to it",
                hint=f"accept its terms on the page of the dataset {repo}, then set HF_TOKEN to a token of that account",
            )
        case "gated" | "answer" if fault.busy:
            return BusyError(f"the Hub answered {fault.status} for {repo}", hint="try again in a moment")
        case "gated" | "answer":
            return MissingError(f"the Hub answered {fault.status} for {repo}")


# --- small parts ------------------------------------------------------------------------------------------------------


def _hub(prompt_set: Located[PromptSet]) -> Hub:
    hub = prompt_set.declaration.hub
    assert hub is not None
    if hub.file is not None and (hub.file.startswith("/") or ".." in PurePosixPath(hub.file).parts):
        raise fault_of(prompt_set, "hub.file", f"`{hub.file}` is no path inside a repository")
    return hub


def _chosen_below(root: Path, hub: Hub) -> tuple[str, ...]:
    """Return the names of the files of the config and split in a folder on this machine; empty where none fit."""
    listing = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    try:
        return choose_files(listing, config=hub.config, split=hub.split)
    except NoFilesError:
        return ()


def _choose(prompt_set: Located[PromptSet], names: list[str]) -> tuple[str, ...]:
    hub = _hub(prompt_set)
    try:
        return choose_files(names, config=hub.config, split=hub.split)
    except NoFilesError as error:
        raise fault_of(prompt_set, error.key, f"{hub.repo}: {error.message}", error.hint) from error


def _digests(paths: tuple[Path, ...]) -> set[str]:
    sums = [files.checksum(path) for path in paths]
    return {combined([each.content for each in sums]), *(each.raw for each in sums if len(sums) == 1)}


def _what(hub: Hub) -> str:
    if hub.file is not None:
        return f"`{hub.file}` of {hub.repo}"
    chosen = " ".join(f"{key} `{value}`" for key, value in (("config", hub.config), ("split", hub.split)) if value)
    return f"{hub.repo} ({chosen})" if chosen else hub.repo
