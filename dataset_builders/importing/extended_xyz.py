"""Reads extended XYZ frame by frame, and accounts for every line.

ASE's reader stops silently at the first blank line, keeps only the last of duplicate keys, drops columns that
`Properties` does not name and reads `1_0` as 10. So frames are delimited here, and ASE parses each. A file that does
not consist of frames from the first line to the last is rejected; a malformed frame still counts as a frame, with a
description of the problem instead of its atoms.
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
"""Longest line, in characters, so that a file of another kind is rejected before it fills the memory."""

_NUMBER: Final = r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[nN][aA][nN]|[iI][nN][fF](?:inity)?)"
_TYPES: Final = {"R": _NUMBER, "I": r"[+-]?\d+", "S": r"\S+", "L": r"(?:T|F|True|False)"}
_MEANT: Final = {"R": "a number", "I": "an integer", "S": "text", "L": "T or F"}

# ASE raises these on invalid values, such as a cell of eight numbers or an unknown element.
_ASE_ERRORS: Final = (
    OSError, ValueError, KeyError, IndexError, TypeError, AssertionError, AttributeError, ArithmeticError,
    RecursionError,
)  # fmt: skip
_DEFAULT_PROPERTIES: Final = "species:S:1:pos:R:3"
_SYNONYMS: Final = {"species": "symbols", "pos": "positions", "Z": "numbers", "charge": "charges"}


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the atom lines: the name of its property, and its type, one of `R I S L`."""

    name: str
    type: str


@dataclass(slots=True)
class _Lines:
    """The numbered lines of a file."""

    stream: TextIO
    path: Path
    number: int = 0
    ends_unbroken: bool = False

    def next(self) -> str | None:
        """The next line without its line end; `None` after the last."""
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
    """Reads frames; yields a description of the problem instead of a malformed frame.

    Args:
        stream: The text, with line ends translated to newlines.
        path: The file, for messages.
        stride: Interval between the frames that are returned; the lines of the others are checked too.

    Raises:
        DataError: If the text does not consist of complete frames.
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
                "last value looks truncated; expected a complete file. If it is, end its last line with a line break"
            )
        if frame % stride == 0:
            yield _parsed(comment, rows, first)
        frame += 1


def _require_blank_to_the_end(lines: _Lines, frame: int) -> None:
    """Allows blank lines only at the end; text after them would be lost."""
    blank = lines.number
    while (line := lines.next()) is not None:
        if line.strip():
            raise DataError(
                f"{lines.path}, line {blank} is blank where frame {frame} should begin, and text follows in line "
                f"{lines.number}; expected frames without blank lines between them. Remove the blank lines"
            )


def _atom_count(header: str, lines: _Lines, frame: int) -> int:
    place = f"{lines.path}, frame {frame}, line {lines.number}"
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", header):
        raise DataError(
            f"{place}: {header.strip()[:60]!r} instead of the number of atoms of a frame; expected extended "
            "XYZ without anything between the frames, or ASE's own formats (.traj, .db, .json). Other formats: "
            "`ase convert` them to .extxyz, and check that it has all frames"
        )
    n_atoms = int(header)
    if not 1 <= n_atoms <= _MOST_ATOMS:
        raise DataError(f"{place}: a frame of {n_atoms:,} atoms; expected a molecule of 1 to {_MOST_ATOMS:,} atoms")
    return n_atoms


def _body(lines: _Lines, frame: int, n_atoms: int) -> tuple[str, list[str]]:
    """The comment line and the atom lines of a frame."""
    comment = lines.next()
    rows: list[str] = []
    for _ in range(n_atoms):
        row = lines.next()
        if row is None:
            raise DataError(
                f"{lines.path} ends in frame {frame}, after {len(rows)} of {n_atoms} atoms; expected complete frames"
            )
        if not row.strip():
            raise DataError(
                f"{lines.path}, line {lines.number} is blank inside frame {frame}, after {len(rows)} of {n_atoms} "
                "atoms; expected one line per atom"
            )
        rows.append(row)
    return str(comment), rows


def _looks_whole(rows: Sequence[str]) -> bool:
    """Whether the last value of a file without a final line break has as many decimals as those above it."""
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
    """The atoms of a frame that starts at this line number, or a description of the problem."""
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
            raise MalformedFrameError(f"{name} is both in the comment line and among the columns")
    return columns


@functools.lru_cache(maxsize=64)
def _parse_properties(properties: str) -> tuple[tuple[_Column, ...], tuple[str, ...]]:
    """The columns of the atom lines, and the names of the properties."""
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
        # ASE converts them by Python's number syntax.
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
        return f"{len(values)} columns; expected {len(columns)}, as in Properties"
    for value, column in zip(values, columns, strict=True):
        if not re.fullmatch(_TYPES[column.type], value, re.ASCII):
            is_fortran = re.fullmatch(r"[+-]?\d*\.?\d*[dD][+-]?\d+", value, re.ASCII)
            hint = "; write the exponent with an E" if is_fortran and column.type == "R" else ""
            return f"{column.name} {value[:40]!r} is not {_MEANT[column.type]}{hint}"
    return f"characters that do not separate columns in {row[:60]!r}"


def _check_elements(rows: Iterable[str], columns: tuple[_Column, ...], first: int) -> None:
    """Checks that symbols and atomic numbers are valid and agree; ASE would use the numbers alone."""
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
            raise MalformedFrameError(f"line {number}: {symbol if symbol is not None else written!r} is not an element")
        if written is not None and written != known:
            raise MalformedFrameError(f"line {number}: species {symbol} with atomic number {written}")
