"""The card of a model with results in it: its tag, its `model-index` and the section that shows the numbers."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from dataset_builders.core.errors import DataError
from model_cards.cards.section import with_section
from model_cards.entries.entries import BENCHMARK_TAG
from model_cards.entries.model_index import add_tag, merge_model_index
from model_cards.hub.dataset_names import as_written
from model_cards.text.front_matter import (
    CARD_PATH,
    Card,
    read_front,
    require_closed,
    require_readable,
    split_card,
    with_front,
)

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

MAX_CARD_BYTES: Final = 10 * 2**20
"""The Hub stores larger files in large-file storage, and reads no card from there."""


def card_with_results(
    text: str | None,
    repo_id: str,
    eval_results: Sequence["EvalResult"],
    section: str,
    today: Callable[[str], str] = as_written,
) -> str:
    """Adds results to a card. A second call changes nothing; text of other authors stays identical to the byte.

    Args:
        text: The present card; `None` if there is none.
        repo_id: Repo of the model.
        eval_results: Numbers for the `model-index`.
        section: The section with all benchmark entries that the repo publishes; see `section_text`.
        today: Returns the current id of a data set, which the card may name by an earlier id.

    Raises:
        DataError: If the card cannot be extended, or the Hub could not read the addition.
    """
    card = Card("", "", "", f"# {repo_id}\n") if text is None else split_card(text)
    n_bytes = len(card.text.encode())
    if n_bytes > MAX_CARD_BYTES:
        raise DataError(f"{CARD_PATH} has {n_bytes:,} bytes; expected at most {MAX_CARD_BYTES:,}. Shorten it first")
    require_closed(card)
    read_front(card)
    front = merge_model_index(add_tag(card.front, BENCHMARK_TAG), repo_id, eval_results, today)
    edited = with_section(with_front(card, front), section)
    require_readable(edited)
    return edited.text
