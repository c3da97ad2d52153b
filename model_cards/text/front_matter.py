"""The parts of a card (README.md): the YAML at its head and the Markdown below."""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hub.explaining import first_line
from model_cards.text.yaml_text import load_yaml, newline_of

CARD_PATH: Final = "README.md"
FRONT_MATTER: Final = "the YAML at the head of README.md"

_BYTE_ORDER_MARK: Final = "\ufeff"
_LINE_END: Final = r"(?:\r\n|\r|\n)"
# The Hub's pattern requires a line between the two, and would take the next horizontal rule for the end.
_EMPTY_FRONT: Final = re.compile(rf"(\s*---{_LINE_END})(---[ \t]*(?:{_LINE_END}|\Z))")
# The Hub's pattern, extended by a lone carriage return after the second line of dashes, which the Hub ignores.
_FRONT: Final = re.compile(rf"(\s*---{_LINE_END})([\S\s]*?{_LINE_END})(---[ \t]*(?:{_LINE_END}|\Z))")
_OPENED: Final = re.compile(rf"\s*---[ \t]*{_LINE_END}+[A-Za-z_][\w-]*:(?:[ \t]|{_LINE_END}|\Z)")


@dataclass(frozen=True, slots=True)
class Card:
    """A card in parts, whose concatenation is the file, identical to the byte.

    Attributes:
        opening: The text before the YAML, including the line `---`; empty if there is no YAML.
        front: The YAML, including its last line ending.
        closing: The line `---` below it.
        body: The rest.
    """

    opening: str
    front: str
    closing: str
    body: str

    @property
    def text(self) -> str:
        """The complete card."""
        return self.opening + self.front + self.closing + self.body


def decode_text(content: bytes, name: str) -> str:
    """Decodes the content of a file.

    Raises:
        DataError: If it is not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as cause:
        raise DataError(f"{name} is not UTF-8 ({cause}); correct it first, it was not changed") from cause


def split_card(text: str) -> Card:
    """Splits a card as the Hub does, also with line endings that the Hub does not recognise."""
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    rest = text.removeprefix(mark)
    empty = _EMPTY_FRONT.match(rest)
    if empty:
        return Card(mark + empty[1], "", empty[2], rest[empty.end() :])
    found = _FRONT.match(rest)
    if found is None:
        return Card(mark, "", "", rest)
    return Card(mark + found[1], found[2], found[3], rest[found.end() :])


def require_closed(card: Card) -> None:
    """Checks that YAML at the head of a card is closed; otherwise it would become text below the YAML added here.

    Raises:
        DataError: If it is not closed.
    """
    if not card.closing and _OPENED.match(card.body):
        raise DataError(
            f"{CARD_PATH} starts YAML with a line --- but has no closing line ---, so the Hub reads none of it; close "
            "it first, the card was not changed"
        )


def require_readable(card: Card) -> None:
    """Checks, before a card is sent, that the client of the Hub can read its YAML.

    Raises:
        DataError: If it cannot.
    """
    import yaml
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    found = REGEX_YAML_BLOCK.search(card.text)
    if found is None or f"{found[2]}\n".splitlines() != card.front.splitlines():
        raise _unread(
            "the file starts with a byte order mark"
            if card.opening.startswith(_BYTE_ORDER_MARK)
            else "the lines --- around it differ from those it expects"
        )
    try:
        yaml.safe_load(card.front)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as cause:
        raise _unread(f"it is not YAML 1.1 ({first_line(cause)})") from cause


def _unread(cause: str) -> DataError:
    return DataError(
        f"the Hub client would not read {FRONT_MATTER}, since {cause}. Save the card as plain YAML and Markdown in "
        "UTF-8 without byte order mark, and push the results again; the card was not changed"
    )


def read_front(card: Card) -> dict[str, Any]:
    """The parsed YAML at the head of a card; empty if there is none.

    Raises:
        DataError: If it is not YAML or not a mapping.
    """
    data = load_yaml(card.front, FRONT_MATTER)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise DataError(f"{FRONT_MATTER} is a {type(data).__name__}; expected keys and values. Correct it first")
    return data


def with_front(card: Card, front: str) -> Card:
    """Replaces the YAML of a card; a card without YAML gets the lines `---` too.

    If its lines end with lone carriage returns, which the Hub does not recognise, a line feed after the YAML makes
    it readable; all present line endings stay.
    """
    if card.closing or not front:
        has_returns = card.closing.endswith("\r") or newline_of(card.text) == "\r"
        needs_feed = front and has_returns and not card.closing.endswith("\n")
        closing = card.closing.removesuffix("\r") + "\r\n" if needs_feed else card.closing
        # New text has only its own line endings.
        front = front if card.front else front.replace("\n", newline_of(card.text))
        return replace(card, front=front, closing=closing)
    of_body = newline_of(card.body)
    gap = of_body if card.body and not card.body.startswith(("\r", "\n")) else ""
    newline = "\n" if of_body == "\r" else of_body
    return Card(
        opening=f"{card.opening}---{newline}",
        front=front.replace("\n", newline),
        closing=f"---{newline}{gap}",
        body=card.body,
    )
