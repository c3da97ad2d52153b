"""Calls the Hub: retries transient errors, explains the others, and commits without losing concurrent changes."""

import contextlib
import itertools
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from dataset_builders.core.errors import DataError, SetupError, UsageError

if TYPE_CHECKING:
    import tenacity
    from huggingface_hub import CommitInfo
    from huggingface_hub.errors import HfHubHTTPError

RepoKind = Literal["dataset", "model"]

MAIN: Final = "main"
MAX_TRIES: Final = 5
TIMEOUT_SECONDS: Final = 30.0
"""Time limit for an answer of the Hub; the client itself has none."""
MAX_WAIT_SECONDS: Final = 300.0
"""Longest `Retry-After` that is respected; a call with a longer one fails."""

MAX_DISCUSSIONS: Final = 1_000
"""Most open pull requests of a repo that are examined; anybody may open more."""

_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_REFUSALS: Final = frozenset({429, 503})
_CONFLICT: Final = 412
_PULL_REQUEST: Final = re.compile(r"refs/pr/(\d+)")
_LOG: Final = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Repo:
    """A repo on the Hub.

    Attributes:
        id: `org/name`.
        kind: Whether it is a data set or a model.
    """

    id: str
    kind: RepoKind

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'dataset' else 'model'} {self.id}"

    @property
    def url(self) -> str:
        """Address of its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"


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


def ensure_repo(repo: Repo, *, private: bool) -> None:
    """Creates a repo if it does not exist.

    Raises:
        UsageError: If it should be private, but exists and is public.
        SetupError: If the Hub cannot be reached, or you may not create it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    api = HfApi()
    with explained(repo):
        try:
            found = retried(lambda: api.repo_info(repo.id, repo_type=repo.kind, timeout=TIMEOUT_SECONDS))
        except RepositoryNotFoundError:
            retried(lambda: api.create_repo(repo.id, repo_type=repo.kind, private=private, exist_ok=True))
            return
    if private and not found.private:
        raise UsageError(f"{repo} is already public; omit --private, or make it private in its settings: {repo.url}")


def head_of(repo: Repo, revision: str = MAIN) -> str:
    """The commit hash that a revision points to.

    Raises:
        DataError: If there is no such repo or revision.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi

    with explained(repo, revision):
        found = retried(
            # Only this field: by default the client also parses the card, and may fail on its content.
            lambda: (
                HfApi()
                .repo_info(repo.id, repo_type=repo.kind, revision=revision, timeout=TIMEOUT_SECONDS, expand="sha")
                .sha
            )
        )
    if found is None:
        raise SetupError(f"the Hub returned no commit for {repo} at {revision}; give a commit hash as the revision")
    return str(found)


def canonical(repo: Repo) -> Repo:
    """A repo under its current id: a renamed repo also answers to its earlier ids, and to any case.

    Raises:
        UsageError: If the id is not a valid Hub id.
        DataError: If there is no such repo.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi

    with explained(repo):
        found = retried(
            lambda: HfApi().repo_info(repo.id, repo_type=repo.kind, timeout=TIMEOUT_SECONDS, expand="sha").id
        )
    return Repo(str(found), repo.kind)


def is_logged_in() -> bool:
    """Whether a token is set, valid or not."""
    from huggingface_hub import get_token

    return get_token() is not None


def require_login(purpose: str) -> None:
    """Checks that a token is set, before starting work whose result will be uploaded.

    Args:
        purpose: What needs it, such as "publishing".

    Raises:
        SetupError: If there is none.
    """
    if not is_logged_in():
        raise SetupError(f"{purpose} needs a login: run `hf auth login`, or set HF_TOKEN")


def open_pull_requests(repo: Repo, title: str, author: str | None = None) -> list[int]:
    """Numbers of the open pull requests with a title, in the Hub's order, among its first `MAX_DISCUSSIONS`.

    Args:
        repo: The repo.
        title: Their title.
        author: The user who opened them; `None` for anybody.

    Raises:
        DataError: If there is no such repo.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi

    with explained(repo):
        found = retried(
            lambda: list(
                itertools.islice(
                    HfApi().get_repo_discussions(
                        repo.id,
                        author=author,
                        discussion_type="pull_request",
                        discussion_status="open",
                        repo_type=repo.kind,
                    ),
                    MAX_DISCUSSIONS,
                )
            )
        )
    return [each.num for each in found if each.title == title and author in (None, each.author)]


def close_pull_request(repo: Repo, number: int, comment: str) -> None:
    """Closes a pull request; one that is already closed stays closed.

    Raises:
        DataError: If there is no such pull request.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import BadRequestError

    def call() -> None:
        api = HfApi()
        try:
            api.change_discussion_status(repo.id, number, "closed", comment=comment, repo_type=repo.kind)
        except BadRequestError:
            # An earlier try whose answer was lost may have closed it.
            if api.get_discussion_details(repo.id, number, repo_type=repo.kind).status not in ("closed", "merged"):
                raise

    with explained(repo):
        retried(call)


def retried(call: Callable[[], _T], *, only_refusals: bool = False) -> _T:
    """Retries a call to the Hub after a transient error: a lost connection, a rate limit, a failing server.

    Waits as long as the server requests (`Retry-After`), else 1, 2, 4 and 8 seconds.

    Args:
        call: The call; safe to repeat.
        only_refusals: For a call that is not safe to repeat: retry only if the server said that it did nothing.
    """
    import tenacity

    def wait(state: tenacity.RetryCallState) -> float:
        cause = state.outcome.exception() if state.outcome else None
        asked = _retry_after(cause)
        return float(2 ** (state.attempt_number - 1)) if asked is None else asked

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_was_refused if only_refusals else _may_pass),
        wait=wait,
        stop=tenacity.stop_after_attempt(MAX_TRIES),
        before_sleep=_tell,
        reraise=True,
    )(call)


def _tell(state: "tenacity.RetryCallState") -> None:
    cause = state.outcome.exception() if state.outcome else None
    if isinstance(cause, Exception) and state.next_action is not None:
        _LOG.warning("the Hub: %s; retrying in %g s", first_line(cause), state.next_action.sleep)


def _may_pass(cause: BaseException) -> bool:
    # The client re-exports the root of its HTTP library's errors, whichever library that is.
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    if isinstance(cause, HfHubHTTPError):
        asked = _retry_after(cause)
        return cause.response.status_code in _TRY_AGAIN and (asked is None or asked <= MAX_WAIT_SECONDS)
    return isinstance(cause, HTTPError)


def _was_refused(cause: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError

    return isinstance(cause, HfHubHTTPError) and cause.response.status_code in _REFUSALS and _may_pass(cause)


def _retry_after(cause: BaseException | None) -> float | None:
    from huggingface_hub.errors import HfHubHTTPError

    if not isinstance(cause, HfHubHTTPError):
        return None
    text = cause.response.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


@contextlib.contextmanager
def explained(repo: Repo, revision: str | None = None, other_ways: str = "") -> Iterator[None]:
    """Turns errors of the client into errors that name the remedy.

    Args:
        repo: The repo of the calls in the block.
        revision: The requested revision, if any.
        other_ways: Alternatives if the Hub is unavailable, such as "or give a folder".

    Raises:
        UsageError: If the id is not a valid Hub id.
        DataError: If the repo (or a private one that you may not see), the revision or a file does not
            exist, or the Hub finds content invalid.
        SetupError: If the Hub cannot be reached or refuses access, or the disk cannot be written.
    """
    from huggingface_hub import errors

    try:
        yield
    except errors.HFValidationError as cause:
        raise UsageError(f"{repo.id!r} is not an id on the Hub ({first_line(cause)}); expected org/name") from cause
    except errors.HfHubHTTPError as cause:
        raise _answer_explained(cause, repo, revision, other_ways) from cause
    except errors.LocalTokenNotFoundError as cause:
        raise SetupError(f"{repo} requires a login: run `hf auth login`, or set HF_TOKEN") from cause
    except errors.OfflineModeIsEnabled as cause:
        raise SetupError(
            f"{repo} cannot be fetched from the Hub: HF_HUB_OFFLINE is set. Unset it, or pin a commit that is in the "
            f"cache ({repo.id}@COMMIT){other_ways}"
        ) from cause
    except errors.LocalEntryNotFoundError as cause:
        raise SetupError(
            f"{repo} cannot be fetched from the Hub and the local cache lacks some of its files "
            f"({first_line(cause)}); connect to the network{other_ways}"
        ) from cause
    # The client raises its HTTP library's own errors and re-exports their root, whichever library that is.
    except errors.HTTPError as cause:  # type: ignore[attr-defined]
        raise SetupError(
            f"{repo} cannot be fetched from the Hub: {first_line(cause)}. Check the network and try again{other_ways}"
        ) from cause
    except OSError as cause:
        raise SetupError(
            f"{repo} cannot be fetched from the Hub: {first_line(cause)}. Check the network and that the cache folder "
            "(HF_HOME) can be written and is not full"
        ) from cause
    # The client raises these for front matter that the Hub rejects, for uploads, and for answers that it cannot parse,
    # such as those caused by a malformed card.
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as cause:
        said = " ".join(str(cause).split())
        if said.startswith("Invalid metadata"):
            raise DataError(
                f"the Hub rejects the content sent to {repo} as invalid: {said}. Correct it and send it again"
            ) from cause
        raise SetupError(
            f"the Hub failed on {repo}: {said or type(cause).__name__}. Try again later{other_ways}"
        ) from cause


def _answer_explained(
    cause: "HfHubHTTPError", repo: Repo, revision: str | None, other_ways: str
) -> DataError | SetupError:
    """The error for an unsuccessful response of the Hub."""
    from huggingface_hub import errors

    status = cause.response.status_code
    said = cause.server_message or first_line(cause)
    absent: dict[type[Exception], str] = {
        errors.RevisionNotFoundError: f"{repo} has no revision {revision!r}; its branches, tags and commits: "
        f"{repo.url}/commits",
        errors.EntryNotFoundError: f"{repo} lacks a requested file ({said}); its files: {repo.url}/tree/main",
    }
    refused: dict[type[Exception], str] = {
        errors.GatedRepoError: f"{repo} is gated; accept its conditions at {repo.url}, then log in with "
        "`hf auth login` or set HF_TOKEN",
        errors.DisabledRepoError: f"{repo} was disabled by the Hub; see {repo.url}",
    }
    by_status = {
        401: f"the Hub does not accept your token ({said}); log in again with `hf auth login`, or set HF_TOKEN",
        403: f"your token does not permit this on {repo} ({said}); use one that does (`hf auth login`), or, to change "
        "a repo "
        "that is not yours, open a pull request with --create-pr",
        429: f"the Hub limits the rate of requests to {repo} ({said}); try again later, or log in for a higher limit",
    }
    for kind, text in refused.items():
        if isinstance(cause, kind):
            return SetupError(text)
    for kind, text in absent.items():
        if isinstance(cause, kind):
            return DataError(text)
    if isinstance(cause, errors.RepositoryNotFoundError):
        return DataError(
            f"there is no {repo} on the Hub that you may read; check the spelling, or log in with `hf auth login` "
            f"if it is private{other_ways}"
        )
    if status in (400, 422):
        return DataError(f"the Hub rejects the content sent to {repo} as invalid: {said}. Correct it and send it again")
    if status in by_status:
        return SetupError(by_status[status])
    return SetupError(f"the Hub failed on {repo} with status {status}: {said}. Try again later{other_ways}")


def first_line(cause: BaseException) -> str:
    """The first line of the message of an exception, or its type if the message is empty."""
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(cause).__name__
