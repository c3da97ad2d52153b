"""Open pull requests of a repo."""

import itertools
from typing import TYPE_CHECKING, Final

from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried

if TYPE_CHECKING:
    pass

MAX_DISCUSSIONS: Final = 1_000
"""Most open pull requests of a repo that are examined; anybody may open more."""


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
