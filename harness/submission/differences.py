"""Compares each number stated in an entry with the number recomputed from its predictions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataset_builders.core.shown import shown

RELATIVE: Final = 1e-9
ABSOLUTE: Final = 1e-12
"""Relative and absolute tolerance for another processor, whose sums round in another order. The last digit printed
anywhere is a millionth of a number."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between two documents.

    Attributes:
        place: Keys, joined by dots.
        stated: Stated value.
        computed: Recomputed value.
    """

    place: str
    stated: Any
    computed: Any

    @property
    def is_rounding(self) -> bool:
        """Whether both are numbers that differ only in their last digits."""
        numbers = (self.stated, self.computed)
        if not all(isinstance(each, float) for each in numbers):
            return False
        return math.isclose(*numbers, rel_tol=RELATIVE, abs_tol=ABSOLUTE)

    def __str__(self) -> str:
        return f"{shown(self.place, 120)} is {shown(self.stated)}; its predictions give {shown(self.computed)}"


def n_numbers(document: Any) -> int:
    """Count of numbers in a JSON document."""
    match document:
        case bool():
            return 0
        case int() | float():
            return 1
        case Mapping():
            return sum(map(n_numbers, document.values()))
        case str():
            return 0
        case Sequence():
            return sum(map(n_numbers, document))
    return 0


def differences(stated: Any, computed: Any, place: str = "") -> Iterator[Difference]:
    """All differences between two JSON documents; numbers are compared to the last bit.

    Args:
        stated: Stated document.
        computed: Recomputed document.
        place: Their position in a larger document.
    """
    if isinstance(stated, dict) and isinstance(computed, dict):
        for name in dict.fromkeys((*computed, *stated)):
            below = f"{place}.{name}" if place else name
            if name in stated and name in computed:
                yield from differences(stated[name], computed[name], below)
            else:
                yield Difference(below, *("there" if name in each else "absent" for each in (stated, computed)))
    elif isinstance(stated, list) and isinstance(computed, list) and len(stated) == len(computed):
        for number, pair in enumerate(zip(stated, computed, strict=True)):
            yield from differences(*pair, f"{place}.{number}")
    elif type(stated) is not type(computed) or stated != computed:
        yield Difference(place, stated, computed)
