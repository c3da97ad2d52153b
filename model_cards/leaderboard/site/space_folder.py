"""The folder of a static Space on the Hub that shows the leaderboard: its card and the page."""

from pathlib import Path

from dataset_builders.core.errors import SetupError, UsageError
from dataset_builders.core.whole_file import write_text_whole
from model_cards.leaderboard.site.site_page import Site
from model_cards.publishing.publish_space import PAGE_PATH, STATIC, sdk_of
from model_cards.text.front_matter import CARD_PATH


def write_space(site: Site, directory: Path, dataset_id: str) -> None:
    """Writes page and card; a card that is there stays, so that title and text of its owner do.

    Args:
        site: The leaderboard.
        directory: Folder; created if needed. Other files in it stay.
        dataset_id: Data set on the Hub that the card names.

    Raises:
        UsageError: If the folder has a page or a card of something else.
        DataError: If the card cannot be read.
        MissingPackageError: If vl-convert-python is not installed.
        SetupError: If the folder cannot be written.
    """
    card, page = directory / CARD_PATH, directory / PAGE_PATH
    try:
        declared = sdk_of(card.read_bytes(), str(card)) if card.is_file() else None
        if (card.is_file() or page.exists()) and declared != STATIC:
            seen = card if card.is_file() else page
            raise UsageError(
                f"{directory} is no folder of a static Space, and {seen} would be replaced; choose a new folder, or "
                f"write `sdk: {STATIC}` into the YAML at the head of {card}"
            )
        site.write(page)
        if not card.is_file():
            write_text_whole(card, _card(dataset_id))
    except OSError as cause:
        raise SetupError(f"cannot write to {directory}: {cause.strerror or cause}; choose another folder") from cause


def _card(dataset_id: str) -> str:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("model_cards"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template("space.md.jinja").render(dataset_id=dataset_id)
