"""A card (README.md) in its parts: the YAML at its head, and the Markdown below it."""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from dataset_builders.errors import DataError
from model_cards.yaml_text import load_yaml, newline_of

CARD_PATH: Final = "README.md"
FRONT_MATTER: Final = "the YAML at the head of README.md"

_BYTE_ORDER_MARK: Final = "\ufeff"
# The Hub's pattern asks for a line between the two, and would take the next rule in the text for the end.
_EMPTY_FRONT: Final = re.compile(r"(\s*---(?:\r\n|\r|\n))(---[ \t]*(?:\r\n|\r|\n|\Z))")


@dataclass(frozen=True, slots=True)
class Card:
    """A card whose parts, put together, are its file to the byte.

    Attributes:
        opening: What stands before the YAML, with the line `---`; empty where there is no YAML.
        front: The YAML, with its last line ending.
        closing: The line `---` below it.
        body: The rest.
    """

    opening: str
    front: str
    closing: str
    body: str

    @property
    def text(self) -> str:
        """The whole card."""
        return self.opening + self.front + self.closing + self.body


def decode_text(content: bytes, name: str) -> str:
    """The text of a file.

    Raises:
        DataError: If it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise DataError(f"{name} is not UTF-8 ({cause}); correct it first, it is left as it is") from cause


def split_card(text: str) -> Card:
    """Takes a card apart where the Hub does."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    rest = text.removeprefix(mark)
    empty = _EMPTY_FRONT.match(rest)
    if empty:
        return Card(mark + empty[1], "", empty[2], rest[empty.end() :])
    found = REGEX_YAML_BLOCK.match(rest)
    if found is None:
        return Card(mark, "", "", rest)
    dashes = found[3].index("---")
    return Card(mark + found[1], found[2] + found[3][:dashes], found[3][dashes:], rest[found.end() :])


def read_front(card: Card) -> dict[str, Any]:
    """What the YAML at the head of a card says; nothing where there is none.

    Raises:
        DataError: If it is not YAML, or not a mapping.
    """
    data = load_yaml(card.front, FRONT_MATTER)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise DataError(f"{FRONT_MATTER} is a {type(data).__name__}; expected keys and values. Correct it first")
    return data


def with_front(card: Card, front: str) -> Card:
    """A card with another YAML; one without gets the lines `---` too."""
    if card.closing or not front:
        return replace(card, front=front)
    newline = newline_of(card.body)
    gap = newline if card.body and not card.body.startswith(("\r", "\n")) else ""
    return Card(
        opening=f"{card.opening}---{newline}",
        front=front.replace("\n", newline),
        closing=f"---{newline}{gap}",
        body=card.body,
    )
