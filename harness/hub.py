"""Brings the files of a data-set repo from the Hub, at one commit."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dataset_builders.errors import DataError, SetupError, UsageError

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_LOCAL_WAYS: Final = "use `--dataset mini`, which needs no network, or a folder that holds a copy"


def fetch_snapshot(repo_id: str, revision: str | None, patterns: Sequence[str]) -> tuple[Path, str]:
    """Downloads the matching files of a data-set repo, or finds them in the local cache.

    A revision that is a full commit hash is not looked up, so that a cached snapshot works offline.

    Args:
        repo_id: `org/name`.
        revision: Branch, tag or commit; `None` for the default branch.
        patterns: Glob patterns of the files wanted.

    Returns:
        The local folder and the commit that it is a snapshot of.

    Raises:
        UsageError: If the id is not one that the Hub could hold.
        DataError: If there is no such repo (or it is private and not yours), or no such revision.
        SetupError: If the Hub cannot be reached, refuses access, or the disk cannot be written.
    """
    from huggingface_hub import HfApi, snapshot_download

    with _explained(repo_id, revision):
        if revision and _COMMIT.fullmatch(revision):
            commit = revision
        else:
            found = HfApi().dataset_info(repo_id, revision=revision).sha
            if found is None:
                raise SetupError(f"the Hub named no commit for data set {repo_id}; pin one: {repo_id}@COMMIT")
            commit = found
        directory = snapshot_download(repo_id, repo_type="dataset", revision=commit, allow_patterns=list(patterns))
    return Path(directory), commit


@contextlib.contextmanager
def _explained(repo_id: str, revision: str | None) -> Iterator[None]:
    """Turns what the client raises into an error that says what to do."""
    from huggingface_hub import errors

    unreachable = f"{repo_id} cannot be had from the Hub"
    try:
        yield
    except errors.HFValidationError as cause:
        raise UsageError(f"{repo_id!r} is not a data-set id ({_first_line(cause)}); expected org/name") from cause
    except errors.GatedRepoError as cause:
        raise SetupError(
            f"data set {repo_id} is gated; accept its conditions at https://huggingface.co/datasets/{repo_id}, "
            "then log in with `hf auth login` or set HF_TOKEN"
        ) from cause
    except errors.RevisionNotFoundError as cause:
        raise DataError(
            f"data set {repo_id} has no revision {revision!r}; "
            f"its branches, tags and commits: https://huggingface.co/datasets/{repo_id}/commits"
        ) from cause
    except errors.RepositoryNotFoundError as cause:
        raise DataError(
            f"there is no folder {repo_id!r} here and no data set of that id on the Hub that you may read; "
            "check the spelling, or log in with `hf auth login` if it is private"
        ) from cause
    except errors.OfflineModeIsEnabled as cause:
        raise SetupError(
            f"{unreachable}: HF_HUB_OFFLINE is set. Unset it, pin a commit that is in the cache "
            f"({repo_id}@COMMIT), or {_LOCAL_WAYS}"
        ) from cause
    except errors.LocalEntryNotFoundError as cause:
        raise SetupError(
            f"{unreachable} and the local cache does not hold all its files ({_first_line(cause)}); "
            f"connect to the network, or {_LOCAL_WAYS}"
        ) from cause
    # The client raises its HTTP library's own errors and re-exports their root, whichever library that is.
    except errors.HTTPError as cause:  # type: ignore[attr-defined]
        raise SetupError(
            f"{unreachable}: {_first_line(cause)}. Check the network and try again, or {_LOCAL_WAYS}"
        ) from cause
    except OSError as cause:
        raise SetupError(
            f"{unreachable}: {_first_line(cause)}. Check the network and that the cache folder "
            "(HF_HOME) can be written and is not full"
        ) from cause


def _first_line(cause: Exception) -> str:
    lines = str(cause).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
