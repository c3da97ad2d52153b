"""The score of a task with its interval, by the delta method on the logarithms of the error and of its scale."""

import math
from dataclasses import replace

from harness.scoring.influences import Effect, combined
from harness.scoring.intervals import Interval, IntervalSettings, interval_of
from harness.scoring.metrics import SCORE_FLOOR, task_score

_LOWEST, _HIGHEST = 0.0, 100.0


def score_interval(error: Effect, scale: Effect, settings: IntervalSettings | None = None) -> Interval:
    """The score, 100 ln(F0/F) / ln(F0/0.001) cut off at 0 and 100, with its interval, which is cut off likewise.

    Args:
        error: F, force MAE on OOD, eV/Å.
        scale: F0, that of zero forces on the same frames, above `SCORE_FLOOR`, eV/Å.
        settings: The confidence; the default where `None`.

    Raises:
        DataError: If F is negative or not finite, or F0 is not above `SCORE_FLOOR`.
    """
    value = task_score(error.value, scale.value)
    if error.value == 0.0:
        return Interval(value, reason="no interval: every error is zero")
    decades = math.log(scale.value / SCORE_FLOOR)
    uncut = 100.0 * math.log(scale.value / error.value) / decades
    by_error = -100.0 / (decades * error.value)
    by_scale = (100.0 - uncut) / (decades * scale.value)
    found = interval_of(combined(uncut, (error, by_error), (scale, by_scale)), "linear", settings)
    return replace(found, value=value, low=_cut(found.low), high=_cut(found.high))


def _cut(end: float | None) -> float | None:
    return None if end is None else min(max(end, _LOWEST), _HIGHEST)
