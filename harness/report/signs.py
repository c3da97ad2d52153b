"""Numbers of a table with the signs of its footnotes, and the footnotes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from dataset_builders.core.terminal_table import Cell
from harness.results.estimate import Estimate

UNDEFINED: Final = "–"
FAILED: Final = "*"
"""Marks a number of a split with failed frames; their count is printed below the table."""
NO_INTERVAL: Final = "†"
"""Marks a number without a confidence interval; the reason is printed below the table."""
ABOVE: Final = " >1"
BELOW: Final = " <1"
"""Mark a ratio whose interval lies above or below 1."""

ID_STYLE: Final = "bright_blue"
OOD_STYLE: Final = "bright_red"
"""The colours of `dataset_builders.core.palette` in the names of terminals, which adapt them to their background."""
STANDS_OUT: Final = "bold"

_PREFIX: Final = "no interval: "
_MOST_IN_FULL: Final = 1e7
"""From here on numbers are printed as powers of ten, which keep the columns of a table in place."""


def decimal(value: float, digits: int) -> str:
    """A number with some decimals; a very large one as 6.6e+35."""
    return f"{value:.1e}" if abs(value) >= _MOST_IN_FULL else f"{value:.{digits}f}"


def number(estimate: Estimate, unit: float, digits: int) -> str:
    """A number in multiples of `unit`."""
    return UNDEFINED if estimate.value is None else decimal(estimate.value / unit, digits)


def interval(estimate: Estimate, unit: float, digits: int) -> str:
    """An interval in multiples of `unit`; empty if there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{decimal(estimate.low / unit, digits)}–{decimal(estimate.high / unit, digits)}"


def number_cell(estimate: Estimate, unit: float, digits: int, n_failed: int = 0) -> Cell:
    """A number with the sign of what is missing: failed frames or its interval."""
    sign = ""
    if estimate.value is not None:
        sign = FAILED if n_failed else NO_INTERVAL if estimate.low is None else ""
    return Cell(number(estimate, unit, digits), sign)


def ratio_cell(estimate: Estimate) -> Cell:
    """A ratio, marked if its interval excludes 1 or is missing."""
    if estimate.value is not None and estimate.low is None:
        return Cell(number(estimate, 1.0, 2), NO_INTERVAL)
    sign = side_of_one(estimate.low, estimate.high)
    return Cell(number(estimate, 1.0, 2), sign, STANDS_OUT if sign else "")


def side_of_one(low: float | None, high: float | None) -> str:
    """The sign of an interval that excludes 1; empty for others, and for none."""
    if low is not None and low > 1.0:
        return ABOVE
    return BELOW if high is not None and high < 1.0 else ""


def reason_lines(
    found: Iterable[tuple[str, str, Estimate]], tasks_of: Mapping[str, Sequence[str]], *, names: bool = True
) -> list[str]:
    """Why numbers or their intervals are missing: each reason once, with the models and tasks it applies to.

    Args:
        found: Name of the model, name of the task, and number, for each number of a table.
        tasks_of: Tasks of each model in the table; a reason that applies to all of them names none.
        names: Whether models are named.
    """
    reasons: dict[tuple[str, str], dict[str, dict[str, None]]] = {}
    for model, task, estimate in found:
        if estimate.reason is not None:
            sign = UNDEFINED if estimate.value is None else NO_INTERVAL
            reasons.setdefault((sign, estimate.reason), {}).setdefault(model, {})[task] = None
    lines = []
    for (sign, reason), models in reasons.items():
        places = "; ".join(filter(None, (_place(m, of, tasks_of.get(m, ()), names) for m, of in models.items())))
        said = "not defined" if sign == UNDEFINED else "no interval"
        lines.append(f"{sign} {said}: {reason.removeprefix(_PREFIX)}" + (f" ({places})" if places else ""))
    return lines


def _place(model: str, tasks: Iterable[str], all_tasks: Sequence[str], names: bool) -> str:
    listed = list(tasks)
    shown = "" if set(listed) == set(all_tasks) else " ".join(listed)
    return " ".join(filter(None, (model if names else "", shown)))
