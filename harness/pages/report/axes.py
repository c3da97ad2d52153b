"""Ticks and labels of axes: round numbers, few enough to read, and names that are never cut off."""

import math
import textwrap
from typing import Final

LINE: Final = 26
"""Characters in a line of a label."""

LINES: Final = "split(datum.label, '\\n')"
"""Vega expression that shows the lines of `in_lines`."""

_DIGITS: Final = ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), tuple(digit / 10 for digit in range(10, 100)))
_FEWEST: Final = 3
_MOST: Final = 7

_RATIOS: Final = (
    tuple(10.0**power for power in range(-6, 7)),
    tuple(digit * 10.0**power for power in range(-6, 7) for digit in (2.0, 5.0)),
    (0.7, 0.8, 0.9, 0.95, 1.05, 1.1, 1.2, 1.5, 2.5, 3.0, 4.0, 7.0),
)
"""Ratios that may be ticks, the most welcome first."""

_NARROWEST: Final = 1.0 / 12.0
"""Share of an axis below which the labels of two ticks would overlap."""


def in_lines(name: str) -> str:
    """A name broken into lines that fit beside a chart, so that no two names look alike by being cut off."""
    return "\n".join(textwrap.wrap(name, LINE, break_on_hyphens=True) or [name])


def with_room(low: float, high: float) -> tuple[float, float]:
    """Ends of a logarithmic axis around two positive numbers, with room for a label to the right of the larger one."""
    reach = max(high / low, 1.1)
    return low / reach**0.05, high * reach**0.22


def error_ticks(ends: tuple[float, float]) -> list[float]:
    """Ticks between two positive numbers: 1, 2, 5 per decade, or more of them on a short axis."""
    for digits in _DIGITS:
        every = [float(f"{digit}e{power}") for power in range(-12, 13) for digit in digits]
        inside = [tick for tick in every if ends[0] <= tick <= ends[1]]
        if len(inside) >= _FEWEST:
            break
    return inside[:: max(1, math.ceil(len(inside) / _MOST))]


def ratio_ticks(ends: tuple[float, float]) -> list[float]:
    """Ticks of an axis of ratios, with 1 where the axis has it; no two are too close."""
    least = _NARROWEST * math.log(ends[1] / ends[0])
    kept: list[float] = []
    for ratios in _RATIOS:
        for tick in sorted(ratios, key=lambda each: abs(math.log(each))):
            is_apart = all(abs(math.log(tick / other)) > least for other in kept)
            if ends[0] <= tick <= ends[1] and is_apart:
                kept.append(round(tick, 9))
    return sorted(kept)
