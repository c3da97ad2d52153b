"""Talks to the Hub: tries again where that can help, says what to do where it cannot, commits without losing a side."""

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
"""How long the Hub may take to answer; the client itself would wait for ever."""
MAX_WAIT_SECONDS: Final = 300.0
"""Longest wait that a server may ask for (`Retry-After`) before a call is given up."""

MAX_DISCUSSIONS: Final = 1_000
"""Open pull requests of a repo that are looked at; anybody may open more."""

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
        kind: What it holds.
    """

    id: str
    kind: RepoKind

    def __str__(self) -> str:
        return f"{'data set' if self.kind == 'dataset' else 'model'} {self.id}"

    @property
    def url(self) -> str:
        """Its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit is to change.

    Attributes:
        files: Content, or the local file that holds it, by path in the repo.
        deletions: Paths that go; each must exist at the commit that the change was made for.
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
    """Where a repo stands after a commit.

    Attributes:
        commit: The head of the revision.
        is_new: Whether this call made it; `False` where the files were there already.
        url: Page of the commit, or of the pull request.
        pull_request: Its number, where one was opened or added to.
    """

    commit: str
    is_new: bool
    url: str
    pull_request: int | None = None


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """Where a commit goes.

    Attributes:
        repo: The repo.
        revision: Branch, or `refs/pr/N` of an open pull request.
        create_pr: Whether to open a pull request instead of changing the revision.
    """

    repo: Repo
    revision: str = MAIN
    create_pr: bool = False


def commit(target: CommitTarget, change_at: Callable[[str], Change], message: Message) -> Committed:
    """Commits a change in one step, or not at all.

    Where somebody else commits first, the change is made anew for the new head, so that neither side is lost.
    Large files go up before the commit, and are not sent again where an earlier, interrupted call has
    sent them. Files whose content is already there are left out; if none is left, there is no commit.

    Args:
        target: Where to.
        change_at: Gives the change for a head, by its commit hash; called again after a conflict.
        message: What the commit says.

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
            _LOG.warning("%s was changed meanwhile; the commit is made anew on its new head", target.repo)
            continue
        pull_request = _pull_request_of(target, info)
        # A commit that the Hub made although its answer was lost comes back here as a conflict, then as no change.
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

    # `create_commit` spends its operations, so they are made anew for each call of it.
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
            # The client wraps what went wrong with the upload of a large file.
            if isinstance(cause.__cause__, HTTPError):
                raise cause.__cause__ from None
            raise

    try:
        # A lost answer may hide a pull request that was opened: another try would open a second one.
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
    """Makes a repo where there is none yet.

    Raises:
        UsageError: If it is to be private, and is there and public.
        SetupError: If the Hub cannot be reached, or you may not make it.
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
        raise UsageError(
            f"{repo} is public already; leave out --private, or make it private in its settings: {repo.url}"
        )


def head_of(repo: Repo, revision: str = MAIN) -> str:
    """The commit hash that a revision stands for.

    Raises:
        DataError: If there is no such repo or revision.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from huggingface_hub import HfApi

    with explained(repo, revision):
        found = retried(
            # Alone: the client also reads the card, and may fail on what stands there.
            lambda: (
                HfApi()
                .repo_info(repo.id, repo_type=repo.kind, revision=revision, timeout=TIMEOUT_SECONDS, expand="sha")
                .sha
            )
        )
    if found is None:
        raise SetupError(f"the Hub named no commit for {repo} at {revision}; give a commit hash as the revision")
    return str(found)


def canonical(repo: Repo) -> Repo:
    """A repo under the id that the Hub gives it: one that was renamed answers to its earlier ids, and to any case.

    Raises:
        UsageError: If the id is not one that the Hub could hold.
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
    """Whether there is a token, good or not."""
    from huggingface_hub import get_token

    return get_token() is not None


def require_login(purpose: str) -> None:
    """Checks that there is a token, before work is done whose outcome is to be sent.

    Args:
        purpose: What needs it, such as "publishing".

    Raises:
        SetupError: If there is none.
    """
    if not is_logged_in():
        raise SetupError(f"{purpose} needs a login: run `hf auth login`, or set HF_TOKEN")


def open_pull_requests(repo: Repo, title: str, author: str | None = None) -> list[int]:
    """Numbers of the open pull requests of a title, in the order of the Hub, of its first `MAX_DISCUSSIONS`.

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
    """Closes an open pull request; one that was closed meanwhile stays so.

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
            # The Hub may have closed it although the answer to an earlier try was lost.
            if api.get_discussion_details(repo.id, number, repo_type=repo.kind).status not in ("closed", "merged"):
                raise

    with explained(repo):
        retried(call)


def retried(call: Callable[[], _T], *, only_refusals: bool = False) -> _T:
    """Calls the Hub again after an error that may pass: a lost connection, a rate limit, a failing server.

    Waits as long as the server asks for (`Retry-After`), else 1, 2, 4 and 8 seconds.

    Args:
        call: What to call; harmless to repeat.
        only_refusals: Where it is not harmless: try again only where the server said that it did nothing.
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
        _LOG.warning("the Hub: %s; asked again in %g s", first_line(cause), state.next_action.sleep)


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
    """Turns what the client raises into an error that says what to do.

    Args:
        repo: What the calls inside are about.
        revision: The one asked for, where one was.
        other_ways: What else a user can do if the Hub cannot be had, such as "or give a folder".

    Raises:
        UsageError: If the id is not one that the Hub could hold.
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
        raise SetupError(f"{repo} asks for a login: run `hf auth login`, or set HF_TOKEN") from cause
    except errors.OfflineModeIsEnabled as cause:
        raise SetupError(
            f"{repo} cannot be had from the Hub: HF_HUB_OFFLINE is set. Unset it, or pin a commit that is in the "
            f"cache ({repo.id}@COMMIT){other_ways}"
        ) from cause
    except errors.LocalEntryNotFoundError as cause:
        raise SetupError(
            f"{repo} cannot be had from the Hub and the local cache does not hold all its files "
            f"({first_line(cause)}); connect to the network{other_ways}"
        ) from cause
    # The client raises its HTTP library's own errors and re-exports their root, whichever library that is.
    except errors.HTTPError as cause:  # type: ignore[attr-defined]
        raise SetupError(
            f"{repo} cannot be had from the Hub: {first_line(cause)}. Check the network and try again{other_ways}"
        ) from cause
    except OSError as cause:
        raise SetupError(
            f"{repo} cannot be had from the Hub: {first_line(cause)}. Check the network and that the cache folder "
            "(HF_HOME) can be written and is not full"
        ) from cause
    # The client raises these for front matter that the Hub finds invalid, uploads, and answers that it cannot read,
    # among them what it makes of a strange card.
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as cause:
        said = " ".join(str(cause).split())
        if said.startswith("Invalid metadata"):
            raise DataError(
                f"the Hub finds what was sent to {repo} invalid: {said}. Correct it and send it again"
            ) from cause
        raise SetupError(
            f"the Hub failed on {repo}: {said or type(cause).__name__}. Try again later{other_ways}"
        ) from cause


def _answer_explained(
    cause: "HfHubHTTPError", repo: Repo, revision: str | None, other_ways: str
) -> DataError | SetupError:
    """The error for an answer of the Hub that is not a success."""
    from huggingface_hub import errors

    status = cause.response.status_code
    said = cause.server_message or first_line(cause)
    absent: dict[type[Exception], str] = {
        errors.RevisionNotFoundError: f"{repo} has no revision {revision!r}; its branches, tags and commits: "
        f"{repo.url}/commits",
        errors.EntryNotFoundError: f"{repo} lacks a file that was asked for ({said}); its files: {repo.url}/tree/main",
    }
    refused: dict[type[Exception], str] = {
        errors.GatedRepoError: f"{repo} is gated; accept its conditions at {repo.url}, then log in with "
        "`hf auth login` or set HF_TOKEN",
        errors.DisabledRepoError: f"{repo} was disabled by the Hub; see {repo.url}",
    }
    by_status = {
        401: f"the Hub does not accept your token ({said}); log in again with `hf auth login`, or set HF_TOKEN",
        403: f"you may not do this to {repo} ({said}); use a token that may (`hf auth login`), or, to change a repo "
        "that is not yours, open a pull request with --create-pr",
        429: f"the Hub limits your rate on {repo} ({said}); try again later, or log in for a higher limit",
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
        return DataError(f"the Hub finds what was sent to {repo} invalid: {said}. Correct it and send it again")
    if status in by_status:
        return SetupError(by_status[status])
    return SetupError(f"the Hub failed on {repo} with status {status}: {said}. Try again later{other_ways}")


def first_line(cause: BaseException) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(cause).__name__
