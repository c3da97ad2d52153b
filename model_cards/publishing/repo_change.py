"""A change of the results in a model repo, sent as a commit or in a pull request of the user."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from dataset_builders.core.errors import SetupError
from dataset_builders.core.hub.commits import Change, CommitTarget, Committed, Message, commit
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.pull_requests import open_pull_requests
from dataset_builders.core.hub.repo import MAIN, Repo
from harness.hub.download import Listing
from model_cards.cards.edit import MAX_CARD_BYTES
from model_cards.hub.bounded_reading import read_file
from model_cards.hub.ownership import User
from model_cards.text.front_matter import decode_text

Route = Literal["own", "commit", "pull request"]
"""How a change is sent: `own` is a commit to repos with write access, and a pull request to others."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The files of a repo at a commit, before and after a change.

    Attributes:
        old: Text by path; `None` for a file that does not exist.
        new: Text of the changed files by path; `None` for a deleted file.
        left_out: Entries by others that the card does not show, with the reason.
        pictures: Changed pictures by path; `None` for a deleted one.
    """

    old: Mapping[str, str | None]
    new: Mapping[str, str | None]
    left_out: tuple[str, ...] = ()
    pictures: Mapping[str, bytes | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.new or self.pictures)

    def change(self) -> Change:
        """The changed files, for a commit."""
        contents: dict[str, bytes | None] = {
            path: None if text is None else text.encode() for path, text in self.new.items()
        }
        contents |= self.pictures
        return Change(
            {path: content for path, content in contents.items() if content is not None},
            tuple(path for path, content in contents.items() if content is None),
        )

    def diff(self) -> str:
        """As a unified diff; of a picture, what happens to it."""
        texts = [_diff(path, self.old[path], text) for path, text in self.new.items()]
        pictures = (
            f"{path}: {'removed' if content is None else f'a picture of {len(content):,} bytes'}\n"
            for path, content in self.pictures.items()
        )
        return "".join([*texts, *pictures])


@dataclass(frozen=True, slots=True)
class Way:
    """How a change is sent.

    Attributes:
        repo: The repo.
        user: Who sends it; `None` if nobody is logged in.
        is_direct: Whether it is a commit on the main branch.
        title: Title of the pull request otherwise.
        pull_request: Number of the pull request that is already open.
    """

    repo: Repo
    user: User | None
    is_direct: bool
    title: str
    pull_request: int | None = None

    @property
    def revision(self) -> str:
        """The branch or pull request that receives the commit."""
        return MAIN if self.pull_request is None else f"refs/pr/{self.pull_request}"

    @property
    def url(self) -> str:
        """Page of the open pull request, or of the repo."""
        return self.repo.url if self.pull_request is None else f"{self.repo.url}/discussions/{self.pull_request}"

    def text(self, route: Route) -> str:
        """Text for a dry run."""
        if self.is_direct:
            return "would be one commit"
        if self.pull_request is not None:
            return f"would be one commit in your open pull request {self.pull_request}"
        if self.user is None and route == "own":
            return "would be one commit if the repo is yours, else a pull request (nobody is logged in)"
        return "would be a new pull request"


def way_to(repo: Repo, user: User | None, route: Route, title: str) -> Way:
    """Decides how a change is sent to a repo.

    Args:
        repo: The repo.
        user: Who sends it.
        route: The requested route.
        title: Title of the pull request, if there is one.

    Raises:
        SetupError: If the Hub cannot be reached.
    """
    is_direct = route == "commit" or (route == "own" and user is not None and user.owns(repo))
    number = None if is_direct or user is None else own_pull_request(repo, user, title)
    return Way(repo, user, is_direct, title, number)


def send(way: Way, change_at: Callable[[str], Change], message: Message) -> Committed:
    """Commits a change by the chosen route; see `dataset_builders.core.hub.commits.commit`."""
    if way.is_direct or way.pull_request is not None:
        return commit(CommitTarget(way.repo, way.revision), change_at, message)
    try:
        return commit(CommitTarget(way.repo, create_pr=True), change_at, message)
    except SetupError:
        # The Hub may have opened it even if its answer was lost.
        number = None if way.user is None else own_pull_request(way.repo, way.user, way.title)
        if number is None:
            raise
        return replace(commit(CommitTarget(way.repo, f"refs/pr/{number}"), change_at, message), is_new=True)


def own_pull_request(repo: Repo, user: User, title: str) -> int | None:
    """Number of the oldest open pull request with this title by this user."""
    return min(open_pull_requests(repo, title, user.name), default=None)


def text_at(listing: Listing, path: str) -> str | None:
    """The text of a file of a repo at a commit; `None` if it does not exist.

    Raises:
        DataError: If it is too large or not UTF-8.
        SetupError: If the Hub cannot be reached.
    """
    if path not in listing.sha256:
        return None
    with explained(listing.repo, listing.commit):
        content = read_file(listing.repo, listing.commit, path, MAX_CARD_BYTES)
    return decode_text(content, f"{path} of {listing.repo}")


def picture_at(listing: Listing, path: str) -> bytes | None:
    """A picture of a repo at a commit; `None` if it does not exist.

    Raises:
        DataError: If it is too large.
        SetupError: If the Hub cannot be reached.
    """
    if path not in listing.sha256:
        return None
    with explained(listing.repo, listing.commit):
        return read_file(listing.repo, listing.commit, path)


def _diff(path: str, old: str | None, new: str | None) -> str:
    lines = difflib.unified_diff(
        [] if old is None else old.splitlines(keepends=True),
        [] if new is None else new.splitlines(keepends=True),
        "/dev/null" if old is None else f"a/{path}",
        "/dev/null" if new is None else f"b/{path}",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
