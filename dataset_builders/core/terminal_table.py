"""Tables that fit a terminal: names are shortened and optional columns left out, but no number is broken."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.core.markdown import printable
from dataset_builders.core.printable import as_shown
from dataset_builders.core.terminal import wrapped

if TYPE_CHECKING:
    from rich.text import Text

ELLIPSIS: Final = ".."
"""Stands for the middle of a shortened name; ASCII, so that it is as wide in every encoding."""
EXTRA: Final = 5
"""From this rank on, a column is left out before names become shorter than is comfortable; see `Column.left_out`."""
_COMFORTABLE: Final = 20
"""Columns to which names are shortened before a column is left out."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: Its header; each line of it stays whole.
        align: Side to which its cells are aligned.
        style: Style of header and cells, in the terms of rich.
        left_out: Where the table is too wide, columns with the largest number are left out first; those with 0 never.
        about: What it shows, to name it where it is left out.
        shortest: Columns to which its cells may be shortened; `None` if they stay whole.
        joined: Whether one space, not two, separates it from the column before.
    """

    title: str
    align: Literal["left", "right"] = "right"
    style: str = ""
    left_out: int = 0
    about: str = ""
    shortest: int | None = None
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: Its text or number.
        sign: What follows it, such as the sign of a footnote; signs of a column stand below each other.
        style: Style of the cell; that of the column if empty.
    """

    text: str
    sign: str = ""
    style: str = ""


Row = Sequence[Cell] | str
"""One cell for each column, or a heading over the following rows."""

Segment = tuple[str, str]
"""Text and its style."""


@dataclass(frozen=True, slots=True)
class FittedTable:
    """A table in the width of a terminal.

    Attributes:
        lines: Its lines, as segments.
        left_out: What the columns show that were left out.
        full_names: The full text of each shortened cell.
    """

    lines: tuple[tuple[Segment, ...], ...]
    left_out: tuple[str, ...]
    full_names: Mapping[str, str]

    def texts(self) -> "list[Text]":
        """The lines for rich, never wrapped or cropped."""
        from rich.text import Text

        return [Text.assemble(*line, no_wrap=True, overflow="ignore") for line in self.lines]

    def plain(self) -> list[str]:
        """The lines without styles."""
        return ["".join(text for text, _ in line) for line in self.lines]


def fitted_table(columns: Sequence[Column], rows: Sequence[Row], width: int) -> FittedTable:
    """Fits a table into a width.

    Names are shortened in the middle to a comfortable length, then columns stand closer, then optional columns are left
    out, and at last names become as short as they may. A table that is still too wide stays so.

    Args:
        columns: Its columns.
        rows: Its rows, one cell for each column, and headings.
        width: Columns of the terminal.
    """
    # Characters that the output lacks are replaced first: some take more columns then.
    columns = [_shown_column(column) for column in columns]
    rows = [_shown_row(row) for row in rows]
    ranks = sorted({column.left_out for column in columns if column.left_out}, reverse=True)
    shortest = max(column.shortest or 0 for column in columns)
    found = None
    for n, limit, gap in _attempts(ranks, shortest):
        kept = [place for place, column in enumerate(columns) if column.left_out not in ranks[:n]]
        found = _layout(columns, rows, kept, limit, gap)
        if found.width <= width:
            break
    assert found is not None
    out = dict.fromkeys(column.about or column.title for p, column in enumerate(columns) if p not in found.kept)
    return FittedTable(tuple(_lines(found, width)), tuple(out), found.full_names)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int = 80) -> str:
    """A plain table with left-aligned columns; what is too wide goes on below, with the first column repeated.

    Args:
        header: Titles of the columns, which may be broken between words.
        rows: Cells, one for each column.
        width: Columns of the terminal.
    """
    cells = [[as_shown(cell) for cell in row] for row in rows]
    titles = [_narrow_title(as_shown(title), [row[place] for row in cells]) for place, title in enumerate(header)]
    unbroken = [as_shown(title).split("\n") for title in header]
    widths = [max(map(_length, (*lines, *(row[p] for row in cells)))) for p, lines in enumerate(unbroken)]
    if sum(widths) + 2 * (len(widths) - 1) <= width:
        titles = unbroken
    else:
        widths = [max(map(_length, (*lines, *(row[p] for row in cells)))) for p, lines in enumerate(titles)]
    blocks = [_plain_block(titles, cells, widths, places) for places in _blocks(widths, width)]
    return "\n\n".join(blocks)


def shortened(name: str, width: int) -> str:
    """A name in at most `width` columns, without its middle if it is longer; its ends stay, however narrow."""
    if _length(name) <= width:
        return name
    n_head, n_tail = (len(name) + 1) // 2, len(name) // 2
    while n_head + n_tail > 2 and _length(name[:n_head] + ELLIPSIS + name[len(name) - n_tail :]) > width:
        n_head, n_tail = (n_head - 1, n_tail) if n_head > n_tail else (n_head, n_tail - 1)
    return name[:n_head] + ELLIPSIS + name[len(name) - n_tail :]


def _attempts(ranks: Sequence[int], shortest: int) -> Iterator[tuple[int, int | None, int]]:
    """How many ranks are left out, the limit of names and the space between columns, the best looking first."""
    n_extras = sum(rank >= EXTRA for rank in ranks)
    for n in range(n_extras + 1):
        yield from ((n, None, 2), (n, _COMFORTABLE, 2), (n, None, 1), (n, _COMFORTABLE, 1))
    for n in range(n_extras, len(ranks) + 1):
        yield from ((n, limit, 1) for limit in range(_COMFORTABLE, min(shortest, _COMFORTABLE) - 1, -1))


@dataclass(frozen=True, slots=True)
class _Layout:
    columns: Sequence[Column]
    rows: Sequence[Row]
    kept: Sequence[int]
    gaps: Sequence[int]
    widths: Sequence[int]
    signs: Sequence[int]
    full_names: Mapping[str, str]

    @property
    def width(self) -> int:
        return sum(self.gaps) + sum(self.widths)


def _layout(
    columns: Sequence[Column], rows: Sequence[Row], kept: Sequence[int], limit: int | None, gap: int
) -> _Layout:
    full_names: dict[str, str] = {}
    shown: list[Row] = [[row[place] for place in kept] if not isinstance(row, str) else row for row in rows]
    chosen = [columns[place] for place in kept]
    for place, column in enumerate(chosen):
        if column.shortest is not None and limit is not None:
            names = short_names([row[place].text for row in shown if not isinstance(row, str)], limit)
            full_names |= {short: full for full, short in names.items() if short != full}
            shown = [_renamed(row, place, names) for row in shown]
    cells = [[row[place] for row in shown if not isinstance(row, str)] for place in range(len(chosen))]
    signs = [max((_length(cell.sign) for cell in of), default=0) for of in cells]
    widths = [
        max([_length(line) for line in column.title.split("\n")] + [_length(cell.text) + sign for cell in of])
        for column, of, sign in zip(chosen, cells, signs, strict=True)
    ]
    gaps = [0 if not place else 1 if column.joined else gap for place, column in enumerate(chosen)]
    return _Layout(chosen, shown, kept, gaps, widths, signs, full_names)


def _renamed(row: Row, place: int, names: Mapping[str, str]) -> Row:
    if isinstance(row, str):
        return row
    cell = row[place]
    return [*row[:place], Cell(names[cell.text], cell.sign, cell.style), *row[place + 1 :]]


def short_names(names: Sequence[str], width: int) -> dict[str, str]:
    """A name of at most `width` columns for each name; different ones for different names."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        short, number = shortened(name, width), 1
        while short in found.values():
            number += 1
            short = shortened(name, width - len(f"#{number}")) + f"#{number}"
        found[name] = short
    return found


def _lines(layout: _Layout, width: int) -> Iterator[tuple[Segment, ...]]:
    titles = [column.title.split("\n") for column in layout.columns]
    for number in range(max(map(len, titles))):
        cells = [Cell(lines[number] if number < len(lines) else "") for lines in titles]
        yield _line(layout, cells, "bold")
    yield (("─" * layout.width, "dim"),)
    for row in layout.rows:
        if isinstance(row, str):
            yield from (((line, "bold"),) for line in wrapped(row, width))
        else:
            yield _line(layout, row, "")


def _line(layout: _Layout, cells: Sequence[Cell], extra: str) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    for place, (column, cell) in enumerate(zip(layout.columns, cells, strict=True)):
        # A title is as wide as cells and signs together; numbers stand below each other, whatever sign follows.
        text = cell.text + (cell.sign if extra else cell.sign.ljust(layout.signs[place]))
        blank = " " * (layout.widths[place] - _length(text))
        before, after = (blank, "") if column.align == "right" else ("", blank)
        style = " ".join(filter(None, (cell.style or column.style, extra)))
        segments += [(" " * layout.gaps[place] + before, ""), (text, style), (after, "")]
    while segments and not segments[-1][0].strip():
        segments.pop()
    if segments:
        segments[-1] = segments[-1][0].rstrip(), segments[-1][1]
    return tuple(each for each in segments if each[0])


def _plain_block(
    titles: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], widths: Sequence[int], places: Sequence[int]
) -> str:
    height = max(len(titles[place]) for place in places)
    header = [[*[""] * (height - len(lines)), *lines] for lines in titles]  # titles end at the line below them
    lines = [
        *([header[place][number] for place in places] for number in range(height)),
        ["-" * widths[place] for place in places],
        *([row[place] for place in places] for row in rows),
    ]
    of = [widths[place] for place in places]
    return "\n".join(
        "  ".join(cell + " " * (size - _length(cell)) for cell, size in zip(line, of, strict=True)).rstrip()
        for line in lines
    )


def _blocks(widths: Sequence[int], width: int) -> list[list[int]]:
    """Columns of each block; each has the first column, and at least one other."""
    blocks, used = [[0]], widths[0]
    for place in range(1, len(widths)):
        if used + 2 + widths[place] > width and len(blocks[-1]) > 1:
            blocks.append([0])
            used = widths[0]
        blocks[-1].append(place)
        used += 2 + widths[place]
    return blocks


def _narrow_title(title: str, cells: Sequence[str]) -> list[str]:
    """A title in lines as narrow as its longest word and the cells allow; `k = 2` stays in one line."""
    title = title.replace(" = ", "=")
    return wrapped(title, max(map(_length, (*title.split(), *cells)), default=1), indent="")


def _shown_column(column: Column) -> Column:
    title = "\n".join(map(_shown, column.title.split("\n")))
    return Column(title, column.align, column.style, column.left_out, column.about, column.shortest, column.joined)


def _shown_row(row: Row) -> Row:
    if isinstance(row, str):
        return _shown(row)
    return [Cell(_shown(cell.text), _shown(cell.sign), cell.style) for cell in row]


def _shown(text: str) -> str:
    """The text without characters that control a terminal, as the output shows it; spaces at its start are kept."""
    start = text[: len(text) - len(text.lstrip(" "))]
    return as_shown(start + printable(text))


def _length(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)
