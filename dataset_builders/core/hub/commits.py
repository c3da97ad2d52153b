"""Commits to a repo that lose neither side's changes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataset_builders.core.errors import SetupError
from dataset_builders.core.hub.access import head_of
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import _LOG, MAX_TRIES, retried

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

_CONFLICT: Final = 412


_PULL_REQUEST: Final = re.compile(r"refs/pr/(\d+)")


@dataclass(frozen=True, slots=True)
class Change:
    """The changes of one commit.

    Attributes:
        files: Content, or the local file with the content, by path in the repo.
        deletions: Paths to delete; each must exist at the commit that the change is based on.
    """

    files: Mapping[str, bytes | Path]
    deletions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """Title and body of a commit, and of the pull request that it may open."""

    title: str
    body: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """State of a repo after a commit.

    Attributes:
        commit: The head of the revision.
        is_new: Whether this call created it; `False` if the files were already there.
        url: Page of the commit, or of the pull request.
        pull_request: Its number, if one was opened or extended.
    """

    commit: str
    is_new: bool
    url: str
    pull_request: int | None = None


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """Destination of a commit.

    Attributes:
        repo: The repo.
        revision: Branch, or `refs/pr/N` of an open pull request.
        create_pr: Whether to open a pull request instead of changing the revision.
    """

    repo: Repo
    revision: str = MAIN
    create_pr: bool = False


def commit(target: CommitTarget, change_at: Callable[[str], Change], message: Message) -> Committed:
    """Commits a change atomically.

    If somebody else commits first, the change is computed again for the new head, so that neither side is lost.
    Large files are uploaded before the commit, and not again if an earlier, interrupted call uploaded them.
    Files whose content is already there are left out; if none remains, there is no commit.

    Args:
        target: Destination.
        change_at: Returns the change for a head, given its commit hash; called again after a conflict.
        message: Title and body.

    Raises:
        DataError: If the repo or the revision does not exist, or the Hub finds a file invalid.
        SetupError: If the Hub cannot be reached or refuses access, or others keep committing first.
    """
    first_head = None
    for _ in range(MAX_TRIES):
        head = head_of(target.repo, target.revision)
        first_head = first_head or head
        change = change_at(head)
        with explained(target.repo, target.revision):
            info = _commit_at(target, head, change, message)
        if info is None:
            _LOG.warning("%s was changed in the meantime; committing again on its new head", target.repo)
            continue
        pull_request = _pull_request_of(target, info)
        # If the Hub committed but its answer was lost, the retry meets a conflict and then finds nothing to change.
        is_new = str(info.oid) != first_head
        page = (
            f"{target.repo.url}/discussions/{pull_request}" if pull_request else f"{target.repo.url}/commit/{info.oid}"
        )
        return Committed(str(info.oid), is_new, page, pull_request)
    raise SetupError(f"{target.repo} was changed by others {MAX_TRIES} times in a row; try again later")


def _commit_at(target: CommitTarget, head: str, change: Change, message: Message) -> "CommitInfo | None":
    """Commits on a head; `None` if it is no longer the head."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    # `create_commit` consumes its operations, so each call gets new ones.
    def call() -> "CommitInfo":
        try:
            return HfApi().create_commit(
                target.repo.id,
                repo_type=target.repo.kind,
                operations=[
                    *(CommitOperationAdd(path, content) for path, content in change.files.items()),
                    *(CommitOperationDelete(path) for path in change.deletions),
                ],
                commit_message=message.title,
                commit_description=message.body,
                revision=target.revision,
                parent_commit=head,
                create_pr=target.create_pr,
            )
        except RuntimeError as cause:
            # The client wraps errors in the upload of a large file.
            if isinstance(cause.__cause__, HTTPError):
                raise cause.__cause__ from None
            raise

    try:
        # If only the answer was lost, the pull request exists: a retry would open a second one.
        return retried(call, only_refusals=target.create_pr)
    except HfHubHTTPError as error:
        if error.response.status_code == _CONFLICT:
            return None
        raise


def _pull_request_of(target: CommitTarget, info: "CommitInfo") -> int | None:
    if info.pr_num is not None:
        return int(info.pr_num)
    found = _PULL_REQUEST.fullmatch(target.revision)
    return int(found[1]) if found else None
