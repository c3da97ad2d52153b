"""Repos that exist, and who is logged in."""

from typing import TYPE_CHECKING

from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import TIMEOUT_SECONDS, retried

if TYPE_CHECKING:
    pass


def ensure_repo(repo: Repo, *, private: bool) -> None:
    """Creates a repo if it does not exist; a Space is a static one.

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
            sdk = "static" if repo.kind == "space" else None
            retried(
                lambda: api.create_repo(repo.id, repo_type=repo.kind, private=private, exist_ok=True, space_sdk=sdk)
            )
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
