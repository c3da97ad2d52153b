"""Escapes untrusted text in Markdown: it is shown literally and never rendered as Markdown or HTML."""

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal

RuleStyle = Literal["left", "right", "tight"]
"""Style of the line below a header: `| --- | --- |`, `| --- | ---: |` (numbers right-aligned), `|---|---|`."""

_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"
_ENTITIES: Final = {"`": "&#96;", "<": "&lt;", ">": "&gt;"}

_SPECIAL: Final = re.compile(
    r"""(?P<always>[\\|*~$])                   # escapes, cells, emphasis, strikethrough, mathematics
    |(?P<entity>`|<(?=[A-Za-z/!?])|(?<=[\w/"'?-])>|^>)  # code, tags and links in brackets, quotations
    |(?P<underscore>(?<![^\W_])_|_(?![^\W_]))  # emphasis; an underscore inside a word is none
    |(?P<link>(?<=\])[(\[:])                   # links, images, references
    |(?P<character>&(?=\#?\w+;))               # what stands for another character
    |(?P<heading>^\#)""",
    re.VERBOSE,
)
# Renderers turn every address into a link, except in code.
_ADDRESS: Final = re.compile(r"((?:[a-z][a-z0-9+.-]*://|\bwww\.|\bmailto:)[^\s<>()\[\]|`\\]*)", re.IGNORECASE)


class Markdown(str):
    """One line that already is Markdown, such as a code span; a table escapes all other text."""

    __slots__ = ()


def printable(text: str) -> str:
    """A text in one line, without characters that control a terminal or the text direction.

    White space, line breaks included, becomes spaces; control and format characters become the replacement character.
    """
    return "".join(each if each.isprintable() else _UNPRINTABLE for each in " ".join(text.split()))


def plain(text: str) -> Markdown:
    """Markdown that shows a text literally, in one line."""
    if isinstance(text, Markdown):
        return text
    pieces = _ADDRESS.split(printable(text))
    return Markdown("".join(code(piece) if place % 2 else _escaped(piece) for place, piece in enumerate(pieces)))


def code(text: str) -> Markdown:
    """A code span in one line, also valid in a table."""
    text = printable(text)
    if not text or "\\|" in text or text.endswith("\\"):
        return _escaped(text)  # a code span in a table cannot contain a backslash before a pipe
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return Markdown(f"{fence}{padding}{text}{padding}{fence}".replace("|", "\\|"))


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], rule: RuleStyle = "left") -> str:
    """A table in Markdown, without a trailing line break.

    Args:
        header: Names of the columns.
        rows: Cells, one for each column in each row; escaped unless they are `Markdown`.
        rule: Style of the line below the header.
    """
    n_columns = len(header)
    rules = {
        "left": _line([Markdown("---")] * n_columns),
        "right": _line([Markdown("---"), *[Markdown("---:")] * (n_columns - 1)]),
        "tight": "|" + "---|" * n_columns,
    }
    return "\n".join([_line(header), rules[rule], *map(_line, rows)])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(plain, cells))} |"


def _escaped(text: str) -> Markdown:
    return Markdown(_SPECIAL.sub(_escape, text))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _ENTITIES.get(character, f"\\{character}")
