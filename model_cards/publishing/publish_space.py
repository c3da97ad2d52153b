"""Publishes the folder of the leaderboard as a static Space on the Hub."""

from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.access import canonical, ensure_repo, require_login
from dataset_builders.core.hub.commits import Change, CommitTarget, Committed, Message, commit
from dataset_builders.core.hub.difference import files_at, text_at
from dataset_builders.core.hub.repo import Repo
from model_cards.publishing.publish_checkpoint import PublishOptions, require_id
from model_cards.text.front_matter import CARD_PATH, decode_text, read_front, split_card

PAGE_PATH: Final = "index.html"
STATIC: Final = "static"
MAX_BYTES: Final = 10_000_000
"""Size above which the Hub wants a file in large-file storage; the page has less than 3 MB."""

_MESSAGE: Final = Message("Update the leaderboard", "Written by `python -m harness leaderboard --space DIR`.")


def is_space_folder(directory: Path) -> bool:
    """Whether a folder is a static Space: its card says so, and it has a page.

    Raises:
        DataError: If its card cannot be read.
    """
    card = directory / CARD_PATH
    return (directory / PAGE_PATH).is_file() and card.is_file() and sdk_of(card.read_bytes(), str(card)) == STATIC


def sdk_of(content: bytes, name: str) -> str | None:
    """The kind of Space that a card declares; `None` if it declares none.

    Raises:
        DataError: If it cannot be read.
    """
    sdk = read_front(split_card(decode_text(content, name))).get("sdk")
    return None if sdk is None else str(sdk)


def publish_space(directory: Path, repo_id: str, options: PublishOptions) -> Committed:
    """Publishes card and page of a folder in one commit; a second call changes nothing.

    Other files of the Space stay.

    Args:
        directory: Folder that `harness leaderboard --space` wrote.
        repo_id: `org/name` of the Space; created if it does not exist.
        options: Options for publishing.

    Raises:
        UsageError: If the id is invalid, or the Space is an application, which the page would replace.
        DataError: If the folder is not a static Space, or the page is too large.
        SetupError: If you are not logged in, the Hub cannot be reached, or it refuses access.
    """
    require_id(repo_id)
    if not is_space_folder(directory):
        raise DataError(
            f"{directory} is not a static Space; expected {PAGE_PATH} and a {CARD_PATH} with `sdk: {STATIC}`, as "
            "`python -m harness leaderboard --space DIR` writes them"
        )
    page, card = directory / PAGE_PATH, directory / CARD_PATH
    if page.stat().st_size > MAX_BYTES:
        raise DataError(f"{page} has {page.stat().st_size:,} bytes; expected at most {MAX_BYTES:,}: rank fewer results")
    require_login("publishing")
    repo = Repo(repo_id, "space")
    ensure_repo(repo, private=options.private)
    repo = canonical(repo)

    def change_at(head: str) -> Change:
        present = text_at(repo, head, CARD_PATH) if CARD_PATH in files_at(repo, head) else ""
        found = sdk_of(present.encode(), f"{CARD_PATH} of {repo}")
        if found not in (None, STATIC):
            raise UsageError(
                f"{repo} is an application ({found}), which the page would replace; publish to another Space, or "
                f"change its {CARD_PATH} to `sdk: {STATIC}` first"
            )
        return Change({PAGE_PATH: page, CARD_PATH: card})

    return commit(CommitTarget(repo, create_pr=options.create_pr), change_at, _MESSAGE)
