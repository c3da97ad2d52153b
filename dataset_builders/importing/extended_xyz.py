"""Extended XYZ, frame by frame, with every line accounted for.

ASE's reader stops without a word at the first blank line, keeps the last of two equal keys, drops columns that
`Properties` does not name and reads `1_0` as 10. So what a frame consists of is settled here, and ASE parses each.
A file that does not consist of frames from its first line to its last is refused; a frame whose text is malformed is
one of its frames all the same, with what is wrong in place of its atoms.
"""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from dataset_builders.core.errors import DataError
from dataset_builders.importing.comment_line import MalformedFrameError, values_of_comment

if TYPE_CHECKING:
    from ase import Atoms

_MOST_ATOMS: Final = 100_000
_LONGEST_LINE: Final = 1_000_000
"""Characters. A file of another kind is refused before it fills the memory."""

_NUMBER: Final = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[nN][aA][nN]|[iI][nN][fF](?:inity)?)"
_TYPES: Final = {"R": _NUMBER, "I": r"[+-]?\d+", "S": r"\S+", "L": r"(?:T|F|True|False)"}
_MEANT: Final = {"R": "number", "I": "whole number", "S": "text", "L": "T or F"}

# What ASE raises on values that it cannot make sense of, such as a cell of eight numbers or an unknown element.
_ASE_ERRORS: Final = (
    OSError, ValueError, KeyError, IndexError, TypeError, AssertionError, AttributeError, ArithmeticError,
    RecursionError,
)  # fmt: skip
_DEFAULT_PROPERTIES: Final = "species:S:1:pos:R:3"
_SYNONYMS: Final = {"species": "symbols", "pos": "positions", "Z": "numbers", "charge": "charges"}


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the atoms: the name of its property, and its type, one of `R I S L`."""

    name: str
    type: str


@dataclass(slots=True)
class _Lines:
    """The lines of a file, counted."""

    stream: TextIO
    path: Path
    number: int = 0
    ends_unbroken: bool = False

    def next(self) -> str | None:
        """The next line without its end; `None` after the last."""
        line = self.stream.readline(_LONGEST_LINE + 1)
        if not line:
            return None
        self.number += 1
        if len(line) > _LONGEST_LINE:
            raise DataError(
                f"{self.path}, line {self.number} has more than {_LONGEST_LINE:,} characters; expected extended XYZ"
            )
        self.ends_unbroken = not line.endswith("\n")
        return line.removesuffix("\n")


def xyz_frames(stream: TextIO, path: Path, stride: int) -> "Iterator[Atoms | str]":
    """Reads frames; in place of one whose text is malformed stands what is wrong with it.

    Args:
        stream: The text, with line ends translated to newlines.
        path: The file, for messages.
        stride: Every how manieth frame is taken; the others are counted out line by line, too.

    Raises:
        DataError: If the text does not consist of whole frames.
    """
    lines = _Lines(stream, path)
    frame = 0
    while (header := lines.next()) is not None:
        if not header.strip():
            _require_blank_to_the_end(lines, frame)
            return
        first = lines.number
        n_atoms = _atom_count(header, lines, frame)
        comment, rows = _body(lines, frame, n_atoms)
        if lines.ends_unbroken and not _looks_whole(rows):
            raise DataError(
                f"{path}, frame {frame}, line {lines.number}: {rows[-1].strip()!r} ends without a line break, and its "
                "last value looks shortened; expected a whole file. If it is whole, end its last line with a line break"
            )
        if frame % stride == 0:
            yield _parsed(comment, rows, first)
        frame += 1


def _require_blank_to_the_end(lines: _Lines, frame: int) -> None:
    """Blank lines end a file; anything after them would be lost."""
    blank = lines.number
    while (line := lines.next()) is not None:
        if line.strip():
            raise DataError(
                f"{lines.path}, line {blank} is blank where frame {frame} should begin, and more follows in line "
                f"{lines.number}; expected frames without lines between them. Remove the blank lines"
            )


def _atom_count(header: str, lines: _Lines, frame: int) -> int:
    place = f"{lines.path}, frame {frame}, line {lines.number}"
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", header):
        raise DataError(
            f"{place}: {header.strip()[:60]!r} where a frame should begin with its number of atoms; expected extended "
            "XYZ without anything between the frames, or ASE's own formats (.traj, .db, .json). Other formats: "
            "`ase convert` them to .extxyz, and see that it has all frames"
        )
    n_atoms = int(header)
    if not 1 <= n_atoms <= _MOST_ATOMS:
        raise DataError(f"{place}: a frame of {n_atoms:,} atoms; expected a molecule, of 1 to {_MOST_ATOMS:,} atoms")
    return n_atoms


def _body(lines: _Lines, frame: int, n_atoms: int) -> tuple[str, list[str]]:
    """The comment line of a frame and the lines of its atoms."""
    comment = lines.next()
    rows: list[str] = []
    for _ in range(n_atoms):
        row = lines.next()
        if row is None:
            raise DataError(
                f"{lines.path} ends in frame {frame}, after {len(rows)} of {n_atoms} atoms; expected whole frames"
            )
        if not row.strip():
            raise DataError(
                f"{lines.path}, line {lines.number} is blank inside frame {frame}, after {len(rows)} of {n_atoms} "
                "atoms; expected one line an atom"
            )
        rows.append(row)
    return str(comment), rows


def _looks_whole(rows: Sequence[str]) -> bool:
    """Whether the last value of a file that ends without a line break has as many decimals as those above it."""
    values = [row.split()[-1] for row in rows]
    shapes = [re.fullmatch(r"[+-]?\d*\.(\d*)([eE][+-]?(\d+))?", value, re.ASCII) for value in values]
    last, above = shapes[-1], shapes[:-1]
    if last is None or not above or len(rows[-1].split()) != len(rows[-2].split()):
        return False
    if last[2] is not None and len(last[3]) < 2:
        return False
    known = [shape for shape in above if shape is not None]
    return len(known) == len(above) and any(
        len(last[1]) >= len(shape[1]) and (last[2] is None) == (shape[2] is None) for shape in known
    )


def _parsed(comment: str, rows: Sequence[str], first: int) -> "Atoms | str":
    """The atoms of a frame whose first line has this number, or what is wrong with its text."""
    from ase.io.extxyz import read_xyz

    try:
        info = values_of_comment(comment)
        _check_rows(rows, _columns(info), first)
        text = "\n".join([str(len(rows)), comment, *rows, ""])
        (atoms,) = read_xyz(StringIO(text), slice(None), properties_parser=lambda _: dict(info))
    except MalformedFrameError as malformed:
        return str(malformed)
    except _ASE_ERRORS as cause:
        return f"line {first}: text that ASE cannot read ({type(cause).__name__}: {cause})"
    return atoms  # type: ignore[no-any-return]


def _columns(info: dict[str, Any]) -> tuple[_Column, ...]:
    properties = info.get("Properties", _DEFAULT_PROPERTIES)
    if not isinstance(properties, str):
        raise MalformedFrameError(f"Properties {properties}; expected such as {_DEFAULT_PROPERTIES}")
    columns, names = _parse_properties(properties)
    for name in names:
        if name in info:
            raise MalformedFrameError(f"{name} stands both in the comment line and among the columns")
    return columns


@functools.lru_cache(maxsize=64)
def _parse_properties(properties: str) -> tuple[tuple[_Column, ...], tuple[str, ...]]:
    """The columns of the atoms, one by one, and the names of the properties."""
    from ase.calculators.calculator import all_properties

    if not re.fullmatch(r"[^:]+:[RISL]:[1-9]\d{0,3}(:[^:]+:[RISL]:[1-9]\d{0,3})*", properties, re.ASCII):
        raise MalformedFrameError(f"Properties {properties[:100]!r}; expected such as {_DEFAULT_PROPERTIES}")
    fields = properties.split(":")
    found = list(zip(fields[::3], fields[1::3], map(int, fields[2::3]), strict=True))
    shapes = {_SYNONYMS.get(name, name): (kind, count) for name, kind, count in found}
    if len(shapes) < len(found):
        raise MalformedFrameError(f"Properties {properties[:100]!r} name a property twice")
    has_elements = shapes.get("symbols") == ("S", 1) or shapes.get("numbers") == ("I", 1)
    if shapes.get("positions") != ("R", 3) or not has_elements:
        raise MalformedFrameError(f"Properties {properties[:100]!r}; expected pos:R:3 and species:S:1 or Z:I:1 in them")
    for name, (kind, _) in shapes.items():
        # ASE makes numbers of them with Python's idea of a number.
        if kind == "S" and name in all_properties:
            raise MalformedFrameError(f"Properties {properties[:100]!r}; expected {name} to be R, not S")
    columns = tuple(_Column(name, kind) for name, kind, count in found for _ in range(count))
    return columns, tuple(name for name, _, _ in found)


@functools.lru_cache(maxsize=64)
def _row_pattern(columns: tuple[_Column, ...]) -> re.Pattern[str]:
    return re.compile(r"\s*" + r"\s+".join(_TYPES[column.type] for column in columns) + r"\s*", re.ASCII)


def _check_rows(rows: Iterable[str], columns: tuple[_Column, ...], first: int) -> None:
    pattern = _row_pattern(columns)
    for number, row in enumerate(rows, start=first + 2):
        if not pattern.fullmatch(row):
            raise MalformedFrameError(f"line {number}: {_wrong_value(row, columns)}")
    _check_elements(rows, columns, first)


def _wrong_value(row: str, columns: tuple[_Column, ...]) -> str:
    values = row.split()
    if len(values) != len(columns):
        return f"{len(values)} columns, where Properties name {len(columns)}"
    for value, column in zip(values, columns, strict=True):
        if not re.fullmatch(_TYPES[column.type], value, re.ASCII):
            is_fortran = re.fullmatch(r"[+-]?\d*\.?\d*[dD][+-]?\d+", value, re.ASCII)
            hint = "; write the exponent with an E" if is_fortran and column.type == "R" else ""
            return f"{column.name} {value[:40]!r} is no {_MEANT[column.type]}{hint}"
    return f"characters that do not separate columns in {row[:60]!r}"


def _check_elements(rows: Iterable[str], columns: tuple[_Column, ...], first: int) -> None:
    """Symbols and numbers have to be of elements; where a frame has both, ASE goes by the numbers alone."""
    from ase.data import atomic_numbers, chemical_symbols

    names = [_SYNONYMS.get(column.name, column.name) for column in columns]
    symbol_at = names.index("symbols") if "symbols" in names else None
    number_at = names.index("numbers") if "numbers" in names else None
    for number, row in enumerate(rows, start=first + 2):
        values = row.split()
        symbol = None if symbol_at is None else values[symbol_at]
        written = None if number_at is None else int(values[number_at])
        known = written if symbol is None else atomic_numbers.get(symbol.capitalize(), 0)
        if known is None or not 1 <= known < len(chemical_symbols):
            raise MalformedFrameError(f"line {number}: {symbol if symbol is not None else written!r} is no element")
        if written is not None and written != known:
            raise MalformedFrameError(f"line {number}: species {symbol} with atomic number {written}")
