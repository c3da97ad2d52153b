"""Downloads the files of a repo on the Hub at one commit."""

import glob
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import ModelError, SetupError
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import TIMEOUT_SECONDS, retried
from harness.hub.cached_file import discard_damaged, stated_sha256
from harness.trust.pickles import sha256_of

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
"""A full commit hash."""

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a repo at a commit.

    Attributes:
        repo: The repo, under its current id on the Hub: a renamed repo is also found by its earlier ids.
        commit: The commit hash.
        sha256: The sha256 of each file as the Hub states it, by path in the repo; `None` for a file outside
            large-file storage, for which the Hub states none.
        sizes: Sizes of the files in bytes, by path, as far as the Hub states them.
    """

    repo: Repo
    commit: str
    sha256: Mapping[str, str | None]
    sizes: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Local files of a repo at a commit.

    Attributes:
        repo_id: Current id of the repo on the Hub; the requested id if the Hub was not reached.
        directory: The local folder.
        commit: The commit hash.
    """

    repo_id: str
    directory: Path
    commit: str


def fetch_snapshot(
    repo_id: str, revision: str | None, patterns: Sequence[str], without: Sequence[str] = ()
) -> Snapshot:
    """Downloads the matching files of a data-set repo, or finds them in the local cache.

    A cached snapshot of a full commit hash works offline.

    Args:
        repo_id: `org/name`.
        revision: Branch, tag or commit; `None` for the default branch.
        patterns: Glob patterns of the files to download.
        without: Glob patterns of files to exclude.

    Raises:
        UsageError: If the id is not a valid Hub id.
        DataError: If there is no such repo (or it is private and not yours), or no such revision.
        SetupError: If the Hub cannot be reached, refuses access, or the disk cannot be written.
    """
    from huggingface_hub import HfApi

    repo = Repo(repo_id, "dataset")
    other_ways = f"; there is no folder {repo_id!r} here either, and `--dataset mini` needs no network"
    with explained(repo, revision, other_ways):
        if revision and COMMIT.fullmatch(revision):
            commit, repo = revision, _as_the_hub_names_it(repo)
        else:
            info = retried(lambda: HfApi().dataset_info(repo_id, revision=revision, timeout=TIMEOUT_SECONDS))
            commit, repo = _named_commit(repo, info.sha), Repo(info.id, repo.kind)
        return Snapshot(repo.id, _download(repo, commit, patterns, without), commit)


def _as_the_hub_names_it(repo: Repo) -> Repo:
    """A repo under its current id; under the requested id if the Hub is unreachable, since files may be cached."""
    from huggingface_hub import HfApi, is_offline_mode
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

    if is_offline_mode():
        return repo
    try:
        return Repo(HfApi().repo_info(repo.id, repo_type=repo.kind, timeout=TIMEOUT_SECONDS).id, repo.kind)
    except HTTPError:  # also for a missing repo, which the download then reports
        _LOG.info("cannot ask the Hub whether %s was renamed", repo)
        return repo


def list_files(repo: Repo, revision: str | None, other_ways: str = "") -> Listing:
    """Lists the files of a model repo, without downloading any.

    Offline (`HF_HUB_OFFLINE=1`), a full commit hash whose files were downloaded earlier is listed from the cache.

    Args:
        repo: The repo.
        revision: Branch, tag or commit; `None` for the default branch.
        other_ways: What else a user can do if the Hub is not available.

    Raises:
        UsageError: If the id is not a valid Hub id.
        DataError: If there is no such repo (or it is private and not yours), or no such revision.
        SetupError: If the Hub cannot be reached or refuses access, or the commit is not in the cache.
    """
    from huggingface_hub import HfApi, is_offline_mode

    with explained(repo, revision, other_ways):
        if revision and COMMIT.fullmatch(revision) and is_offline_mode():
            return _list_cached(repo, revision)
        info = retried(
            lambda: HfApi().model_info(repo.id, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
        )
        sha256 = {file.rfilename: file.lfs.sha256 if file.lfs else None for file in info.siblings or ()}
        sizes = {file.rfilename: file.size for file in info.siblings or ()}
        return Listing(Repo(info.id, repo.kind), _named_commit(repo, info.sha), sha256, sizes)


def fetch_files(listing: Listing, names: Sequence[str], other_ways: str = "") -> Path:
    """Downloads files of a repo, or finds them in the local cache, and verifies them.

    Args:
        listing: The repo at a commit.
        names: Paths in the repo.
        other_ways: What else a user can do if the Hub is not available.

    Returns:
        The local folder that contains them.

    Raises:
        ModelError: If the sha256 of a file differs from that on the Hub.
        DataError: If a file is missing.
        SetupError: If the Hub cannot be reached, refuses access, or the disk cannot be written.
    """
    with explained(listing.repo, listing.commit, other_ways):
        directory = _download(listing.repo, listing.commit, [glob.escape(name) for name in names])
    for name in names:
        _require_whole(directory / name, listing.sha256[name])
    return directory


def _named_commit(repo: Repo, commit: str | None) -> str:
    if commit is None:
        raise SetupError(f"the Hub returned no commit for {repo}; pin one: {repo.id}@COMMIT")
    return commit


def _download(repo: Repo, commit: str, patterns: Sequence[str], without: Sequence[str] = ()) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        retried(
            lambda: snapshot_download(
                repo.id,
                repo_type=repo.kind,
                revision=commit,
                allow_patterns=list(patterns),
                ignore_patterns=list(without),
            )
        )
    )


def _list_cached(repo: Repo, commit: str) -> Listing:
    """The listing from an earlier download of the same commit in the cache."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        files = get_cached_repo_tree(repo.id, repo_type=repo.kind, revision=commit)
    except CachedRepoTreeNotFoundError as cause:
        raise SetupError(
            f"{repo} at {commit} is not in the cache, and HF_HUB_OFFLINE is set; unset it to download the model"
        ) from cause
    return Listing(repo, commit, {file.path: _sha256_of_blob(repo, commit, file.path) for file in files})


def _sha256_of_blob(repo: Repo, commit: str, name: str) -> str | None:
    """The sha256 that the Hub stated for a cached file; the cache stores it as the name of the link target."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo.id, name, repo_type=repo.kind, revision=commit)
    return stated_sha256(Path(path)) if isinstance(path, str) else None


def _require_whole(path: Path, stated: str | None) -> None:
    """Checks a file against the hash stated by the Hub; the client itself compares only sizes."""
    if stated is None:
        return
    found = sha256_of(path)
    if found != stated:
        blob = path.resolve()
        is_gone = discard_damaged(path)
        raise ModelError(
            f"{path.name} is corrupt: its sha256 is {found}, but the Hub states {stated}. "
            + (f"{blob} was removed: run" if is_gone else f"Delete {blob} and run")
            + " again to download it again"
        )
