"""Which rows share a figure: models, references, and the variants of one network, at most eight rows a figure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Final

from dataset_builders.core.units import MILLI
from harness.report.control_gaps import CONTROL
from harness.study.summary import Line
from harness.study.table_rows import ROWS

MOST_ROWS: Final = 8

_EXACT: Final = 0.1 * MILLI
"""eV/Å; a row with a smaller ID error reproduces the labels and has no place on a logarithmic axis."""

_BASELINES: Final = frozenset({"knn", "additive"})
"""Trained rows that show what a memoriser and a sum of parts reach; they are no potentials that one would choose."""


@dataclass(frozen=True, slots=True)
class Question:
    """A property of one network that was varied, with everything else kept.

    Attributes:
        title: The property.
        variants: Its value in each row, by row, in order.
    """

    title: str
    variants: Mapping[str, str]


QUESTIONS: Final = (
    Question("training length", {"painn-short": "× 0.1", "painn": "× 1", "painn-long": "× 4"}),
    Question("channels", {"painn-narrow": "16", "painn": "64", "painn-wide": "128"}),
    Question("receptive field", {"painn-local": "3 Å", "painn-5A": "5 Å", "painn": "15 Å", "painn-25A": "25 Å"}),
    Question("learning target", {"painn": "labels", "painn-delta": "labels − GFN1-xTB"}),
)
"""What the ablations of `table_rows` vary; `painn` itself is the default."""

_SHORT: Final[Mapping[str, str]] = MappingProxyType(
    {"zero": "zero forces", "knn": "nearest environments", "additive": "bonds, angles, torsions"}
)
"""Labels of rows whose titles are too long for an axis."""


def measurable(lines: Sequence[Line]) -> list[Line]:
    """The lines that can be drawn on a logarithmic axis: not the method that made the labels."""
    return [line for line in lines if (line.force_mae["test_id"].value or 0.0) >= _EXACT]


def models(lines: Sequence[Line]) -> list[list[str]]:
    """Trained and published potentials, the most accurate first, beside GFN1-xTB; a list for each figure."""
    return _with_control(lines, [line for line in lines if _is_model(line)])


def references(lines: Sequence[Line]) -> list[list[str]]:
    """Controls, simple baselines, and models of another level of theory, beside GFN1-xTB; a list for each figure."""
    return _with_control(lines, [line for line in lines if not _is_model(line) and not _is_variant(line.row)])


def variants(lines: Sequence[Line]) -> list[list[str]]:
    """Ablations, in the order of declaration; a list for each figure."""
    found = {line.row for line in lines}
    return _in_parts([row for row in ROWS if row in found and _is_variant(row)], MOST_ROWS)


def numbered(name: str, number: int) -> str:
    """The file of one of several figures of a kind, such as `gap.png` and `gap-2.png`."""
    path = Path(name)
    return name if number == 1 else f"{path.stem}-{number}{path.suffix}"


def parts_of(name: str, files: Sequence[str]) -> list[str]:
    """The files of a kind of figure among some files."""
    stem, ending = Path(name).stem, Path(name).suffix
    return [each for each in files if each == name or re.fullmatch(rf"{re.escape(stem)}-\d+{re.escape(ending)}", each)]


def label_of(row: str) -> str:
    """The name of a row on an axis."""
    return _SHORT.get(row) or (ROWS[row].title if row in ROWS else row)


def _is_model(line: Line) -> bool:
    record = line.records[0]
    if record.kind == "control" or line.row in _BASELINES or _is_variant(line.row):
        return False
    # The errors of another level of theory contain the distance between the levels, which hides the gap.
    return record.model.level_of_theory in (None, record.dataset.level_of_theory)


def _is_variant(row: str) -> bool:
    return row in ROWS and ROWS[row].group == "ablation"


def _with_control(lines: Sequence[Line], chosen: Sequence[Line]) -> list[list[str]]:
    errors: dict[str, list[float]] = {}
    for line in chosen:
        if line.row != CONTROL:
            errors.setdefault(line.row, []).append(math.log(line.force_mae["test_id"].value or 1.0))
    rows = sorted(errors, key=lambda row: fmean(errors[row]))
    control = [CONTROL] if any(line.row == CONTROL for line in lines) else []
    return [[*part, *control] for part in _in_parts(rows, MOST_ROWS - len(control))]


def _in_parts(rows: Sequence[str], size: int) -> list[list[str]]:
    return [[*rows[start : start + size]] for start in range(0, len(rows), size)]
