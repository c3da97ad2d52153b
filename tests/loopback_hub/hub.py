"""The Hub as a test sees it: set up, disturbed and looked into from behind."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.loopback_hub.commits import goes_up_by_lfs
from tests.loopback_hub.faults import Fault, LoggedRequest
from tests.loopback_hub.repos import (
    MAIN,
    Blob,
    Discussion,
    HubRepo,
    Kind,
    changed_paths,
    find_commit,
    history,
    large_blob,
    new_commit,
    point,
    regular_blob,
)
from tests.loopback_hub.settings import rename
from tests.loopback_hub.state import HubState
from tests.loopback_hub.users import Role, User, token_of

STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit.

    Attributes:
        sha: Its hash.
        title: First line of its message.
        message: The rest of it.
        author: Name of the user.
        date: When it was made.
        files: All files as they stand after it, by path.
        changed: Paths that it added, changed or removed.
    """

    sha: str
    title: str
    message: str
    author: str
    date: datetime
    files: dict[str, bytes]
    changed: tuple[str, ...]


class LoopbackHub:
    """A Hub on this machine.

    What is set up here goes past permissions, checks of files, faults and the log.

    Args:
        state: What it knows.
        set_token: Puts a token into `HF_TOKEN`, or takes it away.
    """

    def __init__(self, state: HubState, set_token: Callable[[str | None], None]) -> None:
        self._state = state
        self._set_token = set_token

    @property
    def endpoint(self) -> str:
        """Its address."""
        return self._state.endpoint

    @property
    def log(self) -> list[LoggedRequest]:
        """Requests so far, in the order of their answers."""
        return self._state.log

    def add_user(self, name: str, orgs: Mapping[str, Role] | None = None) -> str:
        """Adds a user, or changes the roles of one, and gives the token.

        Args:
            name: Of the user.
            orgs: Role (`read`, `write` or `admin`) by organisation.
        """
        # A token has no other letters, and the name is part of it.
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"{name!r} is no name for a user: letters, digits, - and _ only")
        with self._state.lock:
            self._state.users[name] = User(name, dict(orgs or {}))
        return token_of(name)

    def log_in(self, name: str) -> None:
        """Sets `HF_TOKEN` to the token of a user until the test ends."""
        if name not in self._state.users:
            raise KeyError(f"there is no user {name!r}; call add_user first")
        self._set_token(token_of(name))

    def log_out(self) -> None:
        """Removes `HF_TOKEN` until the test ends."""
        self._set_token(None)

    def add_repo(
        self,
        repo_id: str,
        kind: Kind = "model",
        files: Mapping[str, bytes] | None = None,
        *,
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Adds a repo with one commit of these very files, and gives the hash of it."""
        with self._state.lock:
            if (kind, repo_id) in self._state.repos:
                raise KeyError(f"there is a {kind} {repo_id} already")
            repo = HubRepo(kind, repo_id, private, "manual" if gated else False)
            first = new_commit(repo, None, self._blobs(repo, files or {}), author=STRANGER, title="initial commit")
            repo.branches[MAIN] = first.sha
            self._state.repos[kind, repo_id] = repo
        return first.sha

    def let_in(self, repo_id: str, kind: Kind, name: str) -> None:
        """Lets a user read the files of a gated repo."""
        with self._state.lock:
            self._repo(repo_id, kind).let_in.add(name)

    def commit(
        self,
        repo_id: str,
        kind: Kind,
        files: Mapping[str, bytes],
        *,
        deletions: Iterable[str] = (),
        revision: str = MAIN,
        message: str = "Somebody else's commit",
        author: str = STRANGER,
    ) -> str:
        """Somebody else's commit; gives its hash."""
        with self._state.lock:
            repo = self._repo(repo_id, kind)
            head = find_commit(repo, revision)
            gone = set(deletions)
            if not gone <= set(head.files):
                raise KeyError(f"{kind} {repo_id} has no {', '.join(sorted(gone - set(head.files)))}")
            kept = {path: blob for path, blob in head.files.items() if path not in gone}
            made = new_commit(repo, head, kept | self._blobs(repo, files), author=author, title=message)
            point(repo, revision, made)
        return made.sha

    def files(self, repo_id: str, kind: Kind, revision: str = MAIN) -> dict[str, bytes]:
        """Content by path."""
        return self._contents(find_commit(self._repo(repo_id, kind), revision).files)

    def history(self, repo_id: str, kind: Kind, revision: str = MAIN) -> list[Commit]:
        """The commits of a revision, newest first."""
        repo = self._repo(repo_id, kind)
        return [
            Commit(
                commit.sha,
                commit.title,
                commit.message,
                commit.author,
                commit.date,
                self._contents(commit.files),
                tuple(changed_paths(repo.commits[commit.parent].files if commit.parent else {}, commit.files)),
            )
            for commit in history(repo, revision)
        ]

    def tags(self, repo_id: str, kind: Kind) -> dict[str, str]:
        """Commit hash by tag."""
        return dict(self._repo(repo_id, kind).tags)

    def pull_requests(self, repo_id: str, kind: Kind) -> list[Discussion]:
        """The pull requests, oldest first."""
        return [found for found in self._repo(repo_id, kind).discussions.values() if found.is_pull_request]

    def rename(self, repo_id: str, new_id: str, kind: Kind) -> None:
        """Gives a repo another id; addresses with the old one lead to it."""
        rename(self._state, self._repo(repo_id, kind), new_id)

    def allow_list(self, repo_id: str) -> None:
        """Lets a data set have a leaderboard, as the Hub's staff does on request."""
        self._state.benchmarks.add(repo_id)

    def order(self, fault: Fault) -> None:
        """Makes something go wrong; of several faults that fit a request, the one ordered first strikes."""
        self._state.faults.order(fault)

    def forget_faults(self) -> None:
        """Lets all requests pass again."""
        self._state.faults.forget()

    def n_struck(self) -> int:
        """Number of requests that faults struck since they were last forgotten."""
        return self._state.faults.n_struck

    def _repo(self, repo_id: str, kind: Kind) -> HubRepo:
        try:
            return self._state.repos[kind, repo_id]
        except KeyError:
            raise KeyError(f"there is no {kind} {repo_id} on the loopback Hub") from None

    def _blobs(self, repo: HubRepo, files: Mapping[str, bytes]) -> dict[str, Blob]:
        return {path: self._blob(repo, path, content) for path, content in files.items()}

    def _blob(self, repo: HubRepo, path: str, content: bytes) -> Blob:
        if not content or not goes_up_by_lfs(path, len(content), content[:512]):
            return regular_blob(self._state.contents, content)
        sha256 = self._state.contents.add(content)
        repo.large_files.add(sha256)
        return large_blob(sha256, len(content))

    def _contents(self, files: Mapping[str, Blob]) -> dict[str, bytes]:
        return {path: self._state.contents.read(blob.sha256) for path, blob in sorted(files.items())}
