"""Repos as the Hub keeps them: commits, branches, tags, pull requests."""

import hashlib
import itertools
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from tests.loopback_hub.contents import Contents
from tests.loopback_hub.errors import HubError, revision_not_found

Kind = Literal["model", "dataset", "space"]
PLURALS: dict[Kind, str] = {"model": "models", "dataset": "datasets", "space": "spaces"}
MAIN = "main"

_PULL_REQUEST = re.compile(r"refs/pr/(\d+)")
_SHA = re.compile(r"[0-9a-f]{7,40}")
_COUNTER = itertools.count()


@dataclass(frozen=True, slots=True)
class Blob:
    """A file of a commit.

    Attributes:
        sha256: Of its content.
        size: In bytes.
        oid: Git's SHA-1 of the content, or of the pointer where it is a large file.
        is_large: Whether it is kept by LFS.
    """

    sha256: str
    size: int
    oid: str
    is_large: bool

    @property
    def etag(self) -> str:
        """By which the client names it in its cache."""
        return self.sha256 if self.is_large else self.oid

    @property
    def pointer_size(self) -> int:
        """Bytes of its LFS pointer."""
        return len(_pointer(self.sha256, self.size))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A commit: all files as they stand after it."""

    sha: str
    parent: str | None
    title: str
    message: str
    author: str
    date: datetime
    files: dict[str, Blob]


@dataclass(slots=True)
class Discussion:
    """A discussion or a pull request.

    Attributes:
        number: Counts both from 1.
        title: Of it.
        author: Name of the user who opened it.
        status: `draft`, `open`, `closed` or `merged`.
        is_pull_request: Which of the two it is.
        date: When it was opened.
        base: Commit that a pull request starts from.
        head: Commit that `refs/pr/N` points to.
        merge_commit: Commit on main that merged it.
        events: Comments, commits and changes, as the client reads them.
    """

    number: int
    title: str
    author: str
    status: str
    is_pull_request: bool
    date: datetime
    base: str = ""
    head: str = ""
    merge_commit: str = ""
    events: list[dict[str, object]] = field(default_factory=list)

    @property
    def revision(self) -> str:
        """The ref of a pull request."""
        return f"refs/pr/{self.number}"


@dataclass(slots=True)
class HubRepo:
    """A repo.

    Attributes:
        kind: Model, data set or Space.
        id: `namespace/name`.
        private: Whether strangers may not see it.
        gated: `auto` or `manual` where its files are for those let in only, else `False`.
        let_in: Users who may read its files although it is gated.
        created: When.
        commits: By hash.
        branches: Hash by name.
        tags: Hash by name.
        discussions: By number.
        large_files: SHA-256 of the contents that were uploaded to it by LFS.
    """

    kind: Kind
    id: str
    private: bool = False
    gated: Literal["auto", "manual", False] = False
    let_in: set[str] = field(default_factory=set)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    commits: dict[str, Snapshot] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    discussions: dict[int, Discussion] = field(default_factory=dict)
    large_files: set[str] = field(default_factory=set)

    @property
    def namespace(self) -> str:
        """User or organisation that it belongs to."""
        return self.id.split("/")[0]

    @property
    def url_path(self) -> str:
        """Path of its page, without a slash in front."""
        return self.id if self.kind == "model" else f"{PLURALS[self.kind]}/{self.id}"


def regular_blob(contents: Contents, content: bytes) -> Blob:
    """A file that git keeps itself."""
    return Blob(contents.add(content), len(content), git_oid(content), is_large=False)


def large_blob(sha256: str, size: int) -> Blob:
    """A file that LFS keeps."""
    return Blob(sha256, size, git_oid(_pointer(sha256, size)), is_large=True)


def git_oid(content: bytes) -> str:
    """Git's SHA-1 of a file, which the client compares with its own."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def find_commit(repo: HubRepo, revision: str) -> Snapshot:
    """The commit that a branch, tag, `refs/...` or hash stands for.

    Raises:
        HubError: If there is none (404, RevisionNotFound).
    """
    pull_request = find_pull_request(repo, revision)
    sha = (
        (pull_request.head if pull_request else None)
        or repo.branches.get(revision.removeprefix("refs/heads/"))
        or repo.tags.get(revision.removeprefix("refs/tags/"))
    )
    if sha is None and _SHA.fullmatch(revision):
        sha = next((sha for sha in repo.commits if sha.startswith(revision)), None)
    if sha is None:
        raise revision_not_found(revision)
    return repo.commits[sha]


def find_pull_request(repo: HubRepo, revision: str) -> Discussion | None:
    """The pull request that a `refs/pr/N` stands for; `None` for any other revision."""
    matched = _PULL_REQUEST.fullmatch(revision)
    found = repo.discussions.get(int(matched[1])) if matched else None
    return found if found is not None and found.is_pull_request else None


def new_commit(
    repo: HubRepo, parent: Snapshot | None, files: Mapping[str, Blob], *, author: str, title: str, message: str = ""
) -> Snapshot:
    """Adds a commit to the repo; no branch points to it yet."""
    told = [
        repo.kind,
        repo.id,
        parent.sha if parent else "",
        *(f"{path} {blob.oid}" for path, blob in sorted(files.items())),
        *(author, title, message),
        # Two equal commits of two tests in one process must differ, or a cache of the client would mix them up.
        *(str(time.time_ns()), str(next(_COUNTER))),
    ]
    sha = hashlib.sha1("\0".join(told).encode()).hexdigest()
    commit = Snapshot(sha, parent.sha if parent else None, title, message, author, datetime.now(UTC), dict(files))
    repo.commits[sha] = commit
    return commit


def point(repo: HubRepo, revision: str, commit: Snapshot) -> None:
    """Moves a branch, or the ref of a pull request, to a commit.

    Raises:
        HubError: If the revision is neither (400).
    """
    pull_request = find_pull_request(repo, revision)
    branch = revision.removeprefix("refs/heads/")
    if pull_request is not None:
        pull_request.head = commit.sha
    elif branch in repo.branches:
        repo.branches[branch] = commit.sha
    else:
        raise HubError(400, f"{revision} is not a branch; commits go to a branch or to refs/pr/N")


def history(repo: HubRepo, revision: str) -> list[Snapshot]:
    """The commits of a revision, newest first."""
    commit: Snapshot | None = find_commit(repo, revision)
    found = []
    while commit is not None:
        found.append(commit)
        commit = repo.commits[commit.parent] if commit.parent else None
    return found


def changed_paths(old: Mapping[str, Blob], new: Mapping[str, Blob]) -> list[str]:
    """Paths that were added, removed or differ, sorted."""
    return sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
