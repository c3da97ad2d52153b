"""Values of others in messages: on one line, printable, and short."""

from typing import Final

from dataset_builders.core.markdown import printable

_LONGEST: Final = 60
_MAX_BITS: Final = 64
"""Python refuses to print integers of thousands of digits."""


def shown(value: object, length: int = _LONGEST) -> str:
    """An untrusted value for a message: on one line, printable, truncated if long."""
    if isinstance(value, int) and value.bit_length() > _MAX_BITS:
        return f"an integer of {value.bit_length():,} bits"
    try:
        text = printable(value if isinstance(value, str) else repr(value))
    except (ValueError, RecursionError):  # Such an integer, or deep nesting, inside.
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= length else f"{text[:length]}…"


def quoted(value: object, length: int = _LONGEST) -> str:
    """As `shown`, with text in quotes."""
    return f"'{shown(value, length)}'" if isinstance(value, str) else shown(value, length)
