"""The terminal: its width, and whether it shows colours."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dataset_builders.core.markdown import printable
from dataset_builders.core.printable import as_shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

USUAL_WIDTH: Final = 80
"""Columns where the output is no terminal, such as a file or a pipe."""
WIDEST_TEXT: Final = 100
"""Columns that running text takes at most, however wide the terminal is."""
UNBOUNDED: Final = 1_000_000
"""Columns of a text that is not wrapped."""
_STRIKING: Final = ("caution:", "question:")
_NO: Final = ("0", "false", "no")
_NO_STYLES: Final = ("dumb", "unknown")
"""Values of `TERM` for terminals that show no styles."""


def console() -> "Console":
    """Standard output: as wide as its terminal, with colours where a terminal shows them; see `shows_colours`."""
    from rich.console import Console

    colours = shows_colours()
    # A height, too: rich takes neither from its caller unless both are given.
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        width=terminal_width(),
        height=25,
        force_terminal=colours,
        color_system="standard" if colours else None,
        legacy_windows=False,
    )


def shows_colours() -> bool:
    """Whether standard output is written with colours and other styles.

    `NO_COLOR` turns all styles off. Else `FORCE_COLOR` turns them on, for files and pipes too, or off if it is `0`.
    Else a terminal has them, unless `TERM` is `dumb` or `unknown`.
    """
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "")
    if forced:
        return forced.lower() not in _NO
    if os.environ.get("TERM", "").lower() in _NO_STYLES or sys.stdout is None or sys.stdout.closed:
        return False
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Columns of standard output: those of `COLUMNS`, else those of the terminal, else `USUAL_WIDTH`."""
    stated = os.environ.get("COLUMNS", "")
    if stated.isascii() and stated.isdigit() and int(stated) > 0:
        return int(stated)
    try:
        return os.get_terminal_size(1).columns or USUAL_WIDTH
    except (OSError, ValueError):  # no terminal, or a closed output
        return USUAL_WIDTH


def text_width() -> int:
    """Columns for running text."""
    return min(terminal_width(), WIDEST_TEXT)


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """A text in lines of at most `width` columns; longer words, such as paths, stay whole.

    Args:
        text: The text; its own line breaks are kept.
        width: Columns.
        indent: What the second and all further lines of a paragraph start with.
    """
    return [line for paragraph in text.split("\n") for line in _filled(paragraph, width, indent)]


def paragraphs(parts: Iterable[str], width: int) -> Iterator[str]:
    """Parts of a text with long lines wrapped; lines of a table, which fit, stay as they are.

    Args:
        parts: Tables and paragraphs.
        width: Columns of the terminal.
    """
    for part in parts:
        yield "\n".join(
            piece
            for line in part.split("\n")
            for piece in ([line] if len(line) <= width else wrapped(line, min(width, WIDEST_TEXT)))
        )


def notes(lines: Iterable[str], width: int) -> "list[Text]":
    """Notes below a table, one paragraph each, as rich prints them; cautions and questions stand out.

    Args:
        lines: The notes, which may contain text of strangers.
        width: Columns of the terminal.
    """
    from rich.text import Text

    found = []
    for line in lines:
        style = "yellow" if line.startswith(_STRIKING) else ""
        start = line[: len(line) - len(line.lstrip(" "))]
        for part in wrapped(as_shown(start + printable(line)), min(width, WIDEST_TEXT)):
            found.append(Text(part, style, no_wrap=True, overflow="ignore"))
    return found


def _filled(paragraph: str, width: int, indent: str) -> Iterator[str]:
    from rich.cells import cell_len

    first = paragraph[: len(paragraph) - len(paragraph.lstrip(" "))]
    words: Sequence[str] = paragraph.split()
    if not words:
        yield ""
        return
    line, rest = first + words[0], words[1:]
    for word in rest:
        if cell_len(line) + 1 + cell_len(word) > width:
            yield line
            line = first + indent + word
        else:
            line += f" {word}"
    yield line
