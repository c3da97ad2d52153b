"""Numbers of a result as text: the value, its interval, or why there is none."""

from dataclasses import dataclass
from typing import Final

from dataset_builders.core.units import MILLI
from harness.results.estimate import Estimate
from harness.scoring.intervals import Interval

UNDEFINED: Final = "–"

_NEAR_ONE: Final = 1.5
"""Below it, a ratio is written with two decimals: near 1 the second one matters."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What is printed.
        value: The number as the result holds it; `None` for text.
        title: More about it, shown on demand.
    """

    text: str
    value: float | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class NumberTable:
    """A table of numbers.

    Attributes:
        caption: What it shows.
        headers: One for each column.
        rows: Cells; the first of a row names it.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def decimal(value: float, digits: int) -> str:
    """A number with some decimals; one that is not zero never becomes zero by rounding."""
    text = f"{value:.{digits}f}"
    return f"{value:.1e}" if value and float(text) == 0.0 else text


def error_text(value: float) -> str:
    """An error of eV or eV/Å in thousandths."""
    return decimal(value / MILLI, 1)


def error_cell(estimate: Estimate) -> Cell:
    """An error in thousandths, with its interval."""
    return _cell(estimate, MILLI, 1)


def ratio_cell(estimate: Estimate | Interval, sign: str = "") -> Cell:
    """A ratio with its interval."""
    return _cell(estimate, 1.0, 2, sign)


def plain_cell(estimate: Estimate, digits: int) -> Cell:
    """A number in its own unit, with its interval."""
    return _cell(estimate, 1.0, digits)


def headline_ratio(value: float) -> str:
    """A ratio for a sentence: 2.7, 1.17, 0.95."""
    return decimal(value, 1 if value >= _NEAR_ONE else 2)


def ends_text(estimate: Estimate | Interval, unit: float = 1.0, digits: int = 2) -> str | None:
    """The interval, such as `2.03–3.54`; `None` without one."""
    if estimate.low is None or estimate.high is None:
        return None
    low, high = (decimal(end / unit, digits) for end in (estimate.low, estimate.high))
    return f"{low} to {high}" if low.startswith("-") else f"{low}–{high}"


def _cell(estimate: Estimate | Interval, unit: float, digits: int, sign: str = "") -> Cell:
    if estimate.value is None:
        return Cell(UNDEFINED, None, estimate.reason)
    ends = ends_text(estimate, unit, digits)
    text = sign + decimal(estimate.value / unit, digits)
    return Cell(f"{text} ({ends})" if ends else text, estimate.value, estimate.reason)
