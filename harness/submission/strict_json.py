"""Untrusted JSON: unambiguous for every reader, with finite numbers and without terminal control characters."""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.shown import shown

MAX_TEXT: Final = 2_000
"""Longest string in a document; those of a run have some hundred characters."""


def strict_json(content: bytes, place: str) -> Any:
    """Reads a document that every JSON reader interprets in the same way.

    Args:
        content: Content of the file, in UTF-8.
        place: The file, for messages.

    Raises:
        DataError: If it is not JSON, repeats a key, or contains a number that is not finite or a string with control
            characters, line breaks or more than `MAX_TEXT` characters.
    """
    try:
        document = json.loads(
            content.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_refused, parse_float=_finite
        )
        odd = next((text for text in _texts(document) if not text.isprintable() or len(text) > MAX_TEXT), None)
    except (ValueError, RecursionError) as cause:
        raise DataError(
            f"{place} cannot be read: {shown(str(cause), 200)}; expected JSON as the harness wrote it"
        ) from None
    if odd is not None:
        raise DataError(
            f"{place} contains the text {shown(odd)}, with control characters, a line break, or {len(odd):,} "
            f"characters; expected printable text on one line, at most {MAX_TEXT:,} characters"
        )
    return document


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} occurs twice")
    return found


def _refused(name: str) -> None:
    raise ValueError(f"it contains {name}, which is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it contains {shown(text)}, which does not fit a float64")
    return number


def _texts(document: Any) -> Iterator[str]:
    match document:
        case str():
            yield document
        case dict():
            for name, value in document.items():
                yield name
                yield from _texts(value)
        case list():
            for value in document:
                yield from _texts(value)
