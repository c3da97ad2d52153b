"""Output in limited encodings: characters that a stream cannot encode are replaced, so that no output is lost."""

import codecs
import json
import sys
import unicodedata
from typing import Any, Final, TextIO

_HANDLER: Final = "mlip_ood_plainer"
_RAISING: Final = ("strict", "surrogateescape")
"""Python's default handlers for characters that a stream cannot encode; any other handler is the user's choice."""
_PLAINER: Final = {
    **dict.fromkeys("─━═╌╍┄┅┈┉╴╶╸╺╼╾‐‑‒–—−", "-"),
    **dict.fromkeys("│┃║╎╏┆┇┊┋╵╷╹╻╽╿", "|"),
    **{
        "×": "x",
        "·": ".",
        "±": "+-",
        "…": "...",
        "→": "->",
        "≤": "<=",
        "≥": ">=",
        "≠": "!=",
        "†": "+",
        "°": " deg",
        "µ": "u",
        "μ": "u",
    },
    **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("“”", '"'),
}
_BOX_DRAWING: Final = range(0x2500, 0x2580)
_BYTES_OF_A_NAME: Final = range(0xDC80, 0xDD00)
"""Surrogates for bytes that Python could not decode, for instance in the name of a file."""


def print_on_any_output() -> None:
    """Makes standard output and standard error accept any text, whatever their encoding."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) in _RAISING and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def as_shown(text: str) -> str:
    """A text with those characters replaced that standard output cannot encode, so that its width is known."""
    stream = sys.stdout
    if stream is None or _holds_everything(stream) or getattr(stream, "errors", None) not in (*_RAISING, _HANDLER):
        return text
    return text.encode(stream.encoding, _HANDLER).decode(stream.encoding, "surrogateescape")


def print_json(document: Any, indent: int | None = None) -> None:
    """Prints a JSON document, one line by default, with control characters escaped.

    If standard output cannot encode every character, non-ASCII characters are escaped too.
    """
    escaped = not _holds_everything(sys.stdout)
    text = json.dumps(document, indent=indent, sort_keys=True, ensure_ascii=escaped, allow_nan=False)
    print("".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in text))


def _holds_everything(stream: TextIO) -> bool:
    # A stream without an encoding, such as StringIO, stores text.
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def _with_plainer_characters(error: UnicodeError) -> tuple[str | bytes, int]:
    """The replacement of the first character that could not be encoded, and the position after it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if ord(character) in _BYTES_OF_A_NAME:
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return _plainer(character), error.start + 1


def _plainer(character: str) -> str:
    if character in _PLAINER:
        return _PLAINER[character]
    if ord(character) in _BOX_DRAWING:
        return "+"
    # The letter without its accent: A for Å.
    letters = [each for each in unicodedata.normalize("NFKD", character) if each.isascii()]
    return "".join(letters) or "?"


codecs.register_error(_HANDLER, _with_plainer_characters)
