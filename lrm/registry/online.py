"""What declarations say of repositories on the Hugging Face Hub, compared with what the Hub says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from lrm.errors import BusyError, LrmError, MissingError, known_names_hint
from lrm.hub_client import COMMIT, Kind, endpoint, hub_fault, is_offline
from lrm.prompts.shards import NoFilesError, choose_files
from lrm.registry.declarations import Model, PromptSet
from lrm.registry.judges import RewardJudge, is_folder
from lrm.registry.positions import Keys
from lrm.registry.source import read_toml
from lrm.spec.matrix import Located, Matrix

TIMEOUT_S = 20
"""Seconds after which a request to the Hub is given up."""

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_UNSAID = {"", "other", "unknown"}
"""Licences of a card that name none."""

RepoType = Literal["dataset", "model"]
What = Literal["repo", "revision", "access"]


@dataclass(frozen=True, slots=True)
class Online:
    """What came of asking the Hub."""

    asked: int
    """Repositories, each at a revision, that the Hub was asked about."""
    problems: tuple[LrmError, ...]
    """What the Hub says otherwise than a declaration, each with the declaration's file, line and key."""
    notes: tuple[str, ...]
    """What is right and good to know: data that this account may not read yet, revisions that are not pinned."""


@dataclass(frozen=True, slots=True)
class _Repo:
    """A repository at a revision, as the Hub describes it."""

    sha: str
    gated: bool
    files: Mapping[str, str | None]
    """Names of the files, each with the SHA-256 of its bytes where the Hub knows it."""
    card: Mapping[str, Any]
    """The head of its README."""


class _NotThereError(Exception):
    """The Hub does not have what a declaration names, or does not tell this account of it."""

    def __init__(self, what: What) -> None:
        super().__init__(what)
        self.what = what


_NOT_THERE: dict[Kind, What] = {"revision": "revision", "gated": "access", "repository": "repo", "name": "repo"}


@dataclass(slots=True)
class _Check:
    """One declaration that is being compared, and what was found."""

    located: Located[Any]
    problems: list[LrmError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, keys: Keys, message: str, hint: str | None = None) -> None:
        """Note something wrong with what stands at `keys` of the declaration."""
        place = read_toml(self.located.file).place((*self.located.table, *keys))
        self.problems.append(place.error(message, hint=hint))

    def note(self, message: str) -> None:
        """Note something that is right and good to know."""
        self.notes.append(f"{self.located.file}: {message}")


def check_online(read: Iterable[object]) -> Online:
    """Compare every declaration that names a repository on the Hub with what the Hub says of it.

    `read` is what was read of files: declarations, matrices with theirs, and errors, which are passed over.
    Prompt sets: repository, revision, gate, config, split or file, checksum, licence and size. Models and reward judges with a
    `revision`: repository and revision. Others are passed over. A repository at a revision is asked about once, whoever names it.
    Endpoint and token are the client's own (HF_ENDPOINT, HF_TOKEN). Raises BusyError where the Hub cannot be reached or does
    not answer: without an answer nothing can be said of any declaration.
    """
    if is_offline():
        raise BusyError(
            "the Hub cannot be asked: HF_HUB_OFFLINE is set",
            hint="unset it, or leave out --online to check the files alone",
        )
    known: dict[tuple[RepoType, str, str], _Repo | _NotThereError] = {}
    readable: dict[tuple[str, str], bool] = {}
    checks = []
    for located in _declarations(read):
        check = _Check(located)
        match located.declaration:
            case PromptSet(hub=hub) if hub is not None:
                repo = _looked_up(check, known, "dataset", hub.repo, hub.revision, at=("hub",), name="repo")
                if repo is not None:
                    _compare(check, repo, readable)
            case Model(backend="http" | "litellm", revision=str() as revision, model=model) if _HUB_ID.fullmatch(model):
                _looked_up(check, known, "model", model, revision, at=(), name="model")
            case RewardJudge(checkpoint=checkpoint, revision=str() as revision) if not is_folder(checkpoint):
                _looked_up(check, known, "model", checkpoint, revision, at=(), name="checkpoint")
            case _:
                continue
        checks.append(check)
    return Online(
        len(known),
        tuple(problem for check in checks for problem in check.problems),
        tuple(note for check in checks for note in check.notes),
    )


def _declarations(read: Iterable[object]) -> Iterator[Located[Any]]:
    """Yield the declarations among what was read, each once."""
    seen: set[tuple[Path, tuple[str, ...], str]] = set()
    for one in read:
        found: list[Located[Any]] = [one] if isinstance(one, Located) else []
        if isinstance(one, Matrix):
            found += [*one.prompt_sets.values(), *one.models.values(), *one.judge_models.values()]
            found += [*(chosen.judge for chosen in one.judges), *one.panel_members.values()]
        for located in found:
            place = (located.file, located.table, located.name)
            if place not in seen:
                seen.add(place)
                yield located


# --- comparing --------------------------------------------------------------------------------------------------------


def _looked_up(
    check: _Check,
    known: dict[tuple[RepoType, str, str], _Repo | _NotThereError],
    kind: RepoType,
    repo: str,
    revision: str,
    *,
    at: Keys,
    name: str,
) -> _Repo | None:
    """Return what the Hub says of a repository; None, and a problem, where it does not have it."""
    key = (kind, repo, revision)
    if key not in known:
        try:
            known[key] = _ask(kind, repo, revision)
        except _NotThereError as error:
            known[key] = error
    found = known[key]
    if isinstance(found, _Repo):
        return found
    if found.what == "access":
        check.note(f"{repo} is gated, and this account is told nothing of it")
    elif found.what == "repo":
        hint = f"compare the name; for a private {kind} set HF_TOKEN to a token that may read it"
        check.problem((*at, name), f"there is no {kind} {repo} that this account may see", hint)
    else:
        check.problem(
            (*at, "revision"), f"{repo} has no revision `{revision}`", f"see the commits of the {kind} {repo}"
        )
    return None


def _compare(check: _Check, repo: _Repo, readable: dict[tuple[str, str], bool]) -> None:
    declaration: PromptSet = check.located.declaration
    hub = declaration.hub
    assert hub is not None
    if not COMMIT.fullmatch(hub.revision):
        check.note(f"`{hub.revision}` of {hub.repo} is {repo.sha} now; a lock pins it when a spec is first filled")
    names = _names(check, repo)
    if names is not None:
        _compare_checksum(check, repo, names)
        _compare_size(check, repo, names)
        if repo.gated:
            key = (hub.repo, repo.sha)
            if key not in readable:
                readable[key] = _may_read(hub.repo, repo.sha, names[0])
            if not readable[key]:
                check.note(
                    f"{hub.repo} is gated, and this account has no access: {declaration.gated or 'see its page'}"
                )
    if repo.gated and declaration.gated is None:
        check.problem(
            ("hub", "repo"), f"{hub.repo} is gated; `gated` must say how to get access", "see the dataset's page"
        )
    if not repo.gated and declaration.gated is not None:
        check.problem(("gated",), f"{hub.repo} is not gated any more", "remove `gated`")
    _compare_licence(check, repo)


def _names(check: _Check, repo: _Repo) -> tuple[str, ...] | None:
    """Return the names of the set's files; None, and a problem, where the repository does not have them."""
    hub = check.located.declaration.hub
    if hub.file is None:
        try:
            return choose_files(repo.files, config=hub.config, split=hub.split)
        except NoFilesError as error:
            keys = tuple(error.key.split("."))
            check.problem(keys, f"{hub.repo}: {error.message}", error.hint)
            return None
    if hub.file in repo.files:
        return (hub.file,)
    check.problem(
        ("hub", "file"),
        f"{hub.repo} has no file `{hub.file}` at {repo.sha[:12]}…",
        known_names_hint(hub.file, repo.files),
    )
    return None


def _compare_checksum(check: _Check, repo: _Repo, names: tuple[str, ...]) -> None:
    declared = check.located.declaration.sha256
    theirs = repo.files[names[0]] if len(names) == 1 else None
    # A checksum may be declared of the uncompressed content, which the Hub does not know.
    if declared is not None and theirs is not None and theirs != declared and not names[0].endswith(".gz"):
        check.problem(
            ("sha256",),
            f"`{names[0]}` has the checksum {theirs} at {repo.sha[:12]}…",
            "declare the checksum of the pinned revision, or pin the revision whose checksum this is",
        )


def _compare_size(check: _Check, repo: _Repo, names: tuple[str, ...]) -> None:
    """Compare the declared size with the rows that the card tells of, where it does and the files are of one split."""
    declaration = check.located.declaration
    rows = _rows(repo.card, declaration.hub.config, declaration.hub.split, names)
    if declaration.size is None or rows is None:
        return
    chosen = any(getattr(declaration, key) is not None for key in ("filter", "sample", "limit"))
    if declaration.size > rows or (declaration.size < rows and not chosen):
        check.problem(("size",), f"the dataset's card tells of {rows:,} rows, the declaration of {declaration.size:,}")


def _compare_licence(check: _Check, repo: _Repo) -> None:
    ours = check.located.declaration.licence
    theirs = [str(one) for one in _listed(repo.card.get("license")) if str(one).casefold() not in _UNSAID]
    if theirs and (ours is None or not any(_plain(one) in _plain(ours) for one in theirs)):
        said = "nothing" if ours is None else f"`{ours}`"
        check.problem(("licence",), f"the dataset's card says `{', '.join(theirs)}`, the declaration {said}")


def _plain(licence: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", licence.casefold())


def _rows(card: Mapping[str, Any], config: str | None, split: str | None, names: tuple[str, ...]) -> int | None:
    """Return how many rows a dataset's card tells of for a set's files; None where it does not say."""
    for table in _tables(card.get("configs")):
        for each in _tables(table.get("data_files")):
            patterns = [str(one) for one in _listed(each.get("path"))]
            if all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in names):
                config, split = table.get("config_name"), each.get("split")
    infos = _tables(card.get("dataset_info"))
    fitting = infos if len(infos) == 1 else [info for info in infos if info.get("config_name") == config]
    splits = [part for info in fitting for part in _tables(info.get("splits"))]
    if len(splits) > 1:
        splits = [part for part in splits if part.get("name") == split]
    rows = splits[0].get("num_examples") if len(splits) == 1 else None
    return rows if isinstance(rows, int) else None


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _tables(value: object) -> list[Mapping[str, Any]]:
    return [one for one in _listed(value) if isinstance(one, Mapping)]


# --- asking -----------------------------------------------------------------------------------------------------------


def _ask(kind: RepoType, repo: str, revision: str) -> _Repo:
    """Ask the Hub for a repository at a revision, in one request. Raises _NotThereError and BusyError."""
    from huggingface_hub import HfApi

    with _reaching():
        info: Any = HfApi(endpoint=endpoint()).repo_info(
            repo, revision=revision, repo_type=kind, files_metadata=kind == "dataset", timeout=TIMEOUT_S
        )
    card = info.card_data
    files = {one.rfilename: None if one.lfs is None else str(one.lfs.sha256) for one in info.siblings or ()}
    return _Repo(str(info.sha), bool(info.gated), files, {} if card is None else card.to_dict())


def _may_read(repo: str, commit: str, name: str) -> bool:
    """Return whether this account may read a file of a gated dataset; nothing of it is downloaded."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    url = hf_hub_url(repo, name, repo_type="dataset", revision=commit, endpoint=endpoint())
    try:
        with _reaching():
            get_hf_file_metadata(url, endpoint=endpoint(), timeout=TIMEOUT_S)
    except _NotThereError:  # a gated one that may not be read is among them
        return False
    return True


@contextmanager
def _reaching() -> Iterator[None]:
    """Turn the client's errors into a _NotThereError, or into a BusyError where no usable answer came."""
    try:
        yield
    except Exception as error:
        fault = hub_fault(error)
        if fault is None:
            raise
        if fault.kind in _NOT_THERE:
            raise _NotThereError(_NOT_THERE[fault.kind]) from error
        if fault.refused:
            raise MissingError(
                f"the Hub refuses to answer ({fault.status})",
                hint="set HF_TOKEN to a token that is valid, or unset it",
            ) from error
        if fault.status:
            raise BusyError(f"the Hub answered {fault.status}", hint="try again in a moment") from error
        raise BusyError(
            f"the Hub cannot be reached ({fault.reason}); nothing was compared with it",
            hint="see the network and HF_ENDPOINT, or leave out --online to check the files alone",
        ) from error
