"""Compares the files to publish with those of a repo on the Hub at a commit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import bytes_sha256, file_sha256
from dataset_builders.core.hub.commits import Change
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried
from dataset_builders.core.size_text import size_text

if TYPE_CHECKING:
    from huggingface_hub import RepoFile

Content = bytes | Path
"""Content of a file, or the local file with the content."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The changes that publishing would make.

    Attributes:
        files: All files of the new state, by path in the repo.
        added: Paths that the repo lacks.
        changed: Paths that the repo has with other content.
        removed: Paths of the repo to delete.
        unchanged: Paths that the repo has with the same content.
    """

    files: Mapping[str, Content]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    @property
    def change(self) -> Change:
        """The changes to commit."""
        return Change({path: self.files[path] for path in (*self.added, *self.changed)}, self.removed)

    def summary(self) -> str:
        """Number and size of the files, and the number that differ."""
        size = sum(size_of(content) for content in self.files.values())
        return (
            f"{len(self.files)} files ({size_text(size)}): {len(self.added)} added, {len(self.changed)} changed, "
            f"{len(self.unchanged)} unchanged; {len(self.removed)} removed"
        )

    def lines(self) -> list[str]:
        """Every file with its size and what happens to it."""
        kinds = (("added", self.added), ("changed", self.changed), ("unchanged", self.unchanged))
        there = [(kind, size_text(size_of(self.files[path])), path) for kind, paths in kinds for path in paths]
        gone = [("removed", "", path) for path in self.removed]
        return [f"{kind:<9}  {size:>9}  {path}" for kind, size, path in (*there, *gone)]


def difference(
    files: Mapping[str, Content], present: "Mapping[str, RepoFile]", is_ours: Callable[[str], bool]
) -> Difference:
    """Compares files with those of a repo.

    Args:
        files: All files of the new state, by path in the repo.
        present: The files of the repo.
        is_ours: Whether a path may be deleted if `files` lacks it.
    """
    same = [path for path, content in files.items() if path in present and _is_same(content, present[path])]
    return Difference(
        files=files,
        added=tuple(path for path in files if path not in present),
        changed=tuple(path for path in files if path in present and path not in same),
        removed=tuple(path for path in sorted(present) if path not in files and is_ours(path)),
        unchanged=tuple(same),
    )


def files_at(repo: Repo, commit: str) -> "dict[str, RepoFile]":
    """The files of a repo at a commit, by path.

    Raises:
        DataError: If the repo or the commit does not exist.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi, RepoFile

    def call() -> "list[RepoFile]":
        tree = HfApi().list_repo_tree(repo.id, recursive=True, revision=commit, repo_type=repo.kind)
        return [entry for entry in tree if isinstance(entry, RepoFile)]

    with explained(repo, commit):
        return {file.path: file for file in retried(call)}


def text_at(repo: Repo, commit: str, path: str) -> str:
    """The text of a file of a repo at a commit.

    Raises:
        DataError: If there is no such file, or it is not UTF-8.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    try:
        return copy_of(repo, commit, path).read_text(encoding="utf-8")
    except UnicodeDecodeError as cause:
        raise DataError(f"{path} of {repo} is not UTF-8 ({cause}); correct or remove it on the Hub first") from cause


def copy_of(repo: Repo, commit: str, path: str) -> Path:
    """A file of a repo at a commit, downloaded into the cache of the client.

    Raises:
        DataError: If there is no such file.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import hf_hub_download

    with explained(repo, commit):
        return Path(retried(lambda: hf_hub_download(repo.id, path, revision=commit, repo_type=repo.kind)))


def _is_same(content: Content, remote: "RepoFile") -> bool:
    from huggingface_hub.utils.sha import git_hash

    if size_of(content) != remote.size:
        return False
    if remote.lfs is not None:
        return _sha256(content) == remote.lfs.sha256
    return git_hash(content.read_bytes() if isinstance(content, Path) else content) == remote.blob_id


def _sha256(content: Content) -> str:
    return bytes_sha256(content) if isinstance(content, bytes) else file_sha256(content)


def size_of(content: Content) -> int:
    """Size of the content, bytes."""
    return content.stat().st_size if isinstance(content, Path) else len(content)
