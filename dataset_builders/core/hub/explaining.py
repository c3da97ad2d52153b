"""Turns errors of the Hub's client into messages with a remedy."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dataset_builders.core.errors import DataError, SetupError, UsageError
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.silence import limit_silence

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError


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

    limit_silence()
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
            f"{repo} cannot be fetched from the Hub and the local cache lacks some of its files ({first_line(cause)}); "
            f"connect to the network{other_ways}"
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
