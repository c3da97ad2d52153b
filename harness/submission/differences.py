"""Compares the numbers that an entry states with those that were computed from its predictions, one by one."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.submission.strict_json import shown

RELATIVE: Final = 1e-9
ABSOLUTE: Final = 1e-12
"""By how much a number may differ from that of another processor, whose sums round in another order: of itself, or in
its own unit. The last digit printed anywhere is a millionth of a number."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two documents differ.

    Attributes:
        place: Keys, joined by dots.
        stated: What one says.
        computed: What the other says.
    """

    place: str
    stated: Any
    computed: Any

    @property
    def is_rounding(self) -> bool:
        """Whether both are numbers that differ in their last digits only."""
        numbers = (self.stated, self.computed)
        if not all(isinstance(each, float) for each in numbers):
            return False
        return math.isclose(*numbers, rel_tol=RELATIVE, abs_tol=ABSOLUTE)

    def __str__(self) -> str:
        return f"{shown(self.place, 120)} is {shown(self.stated)}; its predictions give {shown(self.computed)}"


def n_numbers(document: Any) -> int:
    """How many numbers a document of JSON holds."""
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
    """All places where two documents of JSON differ; numbers are compared to their last bit.

    Args:
        stated: One document.
        computed: The other one.
        place: Where they stand in a larger one.
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
