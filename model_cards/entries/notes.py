"""The notes of an entry: `key: value; key: value`, with what is needed to judge a number and to measure it again."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, unquote

from dataset_builders.tasks.editions import UNKNOWN_EDITION

CLUSTERS: Final = "clusters"
"""Note with number and type of the clusters of an interval; without it, the interval is a bootstrap over molecules."""

ROUNDING: Final = "rounding"
"""Note with what a precision lower than that of the checkpoint changes."""

FACTORS: Final = "factors of the gap"
"""Note of a score: what the gap of its task is made of."""

OF_ONE_NUMBER: Final = frozenset({"unit", "interval", "confidence", CLUSTERS, "standard deviation", FACTORS})
"""Notes that concern one number, not the whole evaluation."""

EDITION: Final = "edition"
"""Note with the edition of the data; rankings and repos keep the results of two editions apart by it."""

# Characters that would end a note or a line, be lost at its ends, or look percent-encoded.
_SPECIAL: Final = re.compile(r"[;\x00-\x1f\x7f\x85\u2028\u2029]|\A\s|\s\Z|%(?=[0-9A-Fa-f]{2})")


def format_notes(notes: Mapping[str, str]) -> str:
    """Writes notes as `key: value; key: value`; characters that would break this format are percent-encoded."""
    return "; ".join(
        f"{key}: {_SPECIAL.sub(lambda found: quote(found[0], safe=''), value)}" for key, value in notes.items()
    )


def parse_notes(text: str | None) -> dict[str, str]:
    """Parses the output of `format_notes`; parts in another format, which others may write, are skipped."""
    parts = (part.partition(":") for part in (text or "").split(";"))
    return {key.strip(): unquote(value.strip()) for key, colon, value in parts if colon}


def edition_in(text: str | None) -> str:
    """The edition that notes state; `UNKNOWN_EDITION` if they state none."""
    return parse_notes(text).get(EDITION) or UNKNOWN_EDITION


def has_former_interval(notes: Mapping[str, str]) -> bool:
    """Whether a number was published with the kind of interval used in version 1.0."""
    return "interval" in notes and CLUSTERS not in notes
