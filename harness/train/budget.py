"""The length of a run, as a user writes it."""

import re
from dataclasses import dataclass
from typing import Final

from dataset_builders.core.errors import UsageError

FULL: Final = "full"
FULL_STEPS: Final = 100_000
"""Steps of `full`, unless the validation error stops falling earlier."""

DEFAULT_BUDGET: Final = "40min"

_MINUTES: Final = {"": 1.0, "s": 1.0 / 60.0, "min": 1.0, "h": 60.0}
_AMOUNT: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?|\.\d+) ?(?P<unit>s|min|h|)", flags=re.ASCII)


@dataclass(frozen=True, slots=True)
class Budget:
    """The length of a run; exactly one field is set.

    Attributes:
        minutes: Wall-clock time.
        steps: Steps of the optimiser.
    """

    minutes: float | None = None
    steps: int | None = None


def parse_budget(text: str) -> Budget:
    """Reads `90s`, `5min`, `1h`, a number of minutes, or `full`.

    Raises:
        UsageError: If the text is none of these.
    """
    if text == FULL:
        return Budget(steps=FULL_STEPS)
    found = _AMOUNT.fullmatch(text)
    if found is None or not float(found["number"]) > 0.0:
        raise UsageError(f"--budget {text}; expected a time above 0 such as 90s, 5min or 1h, minutes, or {FULL}")
    return Budget(minutes=float(found["number"]) * _MINUTES[found["unit"]])
