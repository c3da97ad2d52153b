"""Why a number or its interval is missing: results of earlier versions say the same in other words."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

_FORMER: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(former), current)
    for former, current in (
        (r"it stands on (\d+ \w+), and an interval needs (\d+) or more", r"based on \1; an interval needs at least \2"),
        (r"it stands on (\d+ \w+), and this one needs (\d+) or more", r"based on \1; this one needs at least \2"),
        (
            r"its molecules are part of the design, and none is drawn",
            "its molecules are fixed by the task, not sampled",
        ),
        (r"the value is (\S+), where its scale ends", r"the value, \1, is at the end of its range"),
        (r"the \d+ (\w+)s do not differ", r"all \1s give the same value"),
        (
            r"results keep no value of it for each molecule; those of the seeds have theirs",
            "results do not store it by molecule; the result of each seed has an interval",
        ),
    )
)
"""Wording of earlier versions, and that of `harness.scoring` and `harness.method` today."""


def in_current_words(reason: str) -> str:
    """A reason of a result of any version, so that equal reasons are equal texts."""
    for former, current in _FORMER:
        reason = former.sub(current, reason)
    return reason


Reason = Annotated[str, AfterValidator(in_current_words)]
"""A reason, read from a result of any version."""
