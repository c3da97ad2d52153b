"""The score of a task with its interval, by the delta method on the logarithms of the error and of its scale F0."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from harness.scoring.influences import Effect, combined, mean_effect
from harness.scoring.intervals import Interval, IntervalSettings, interval_of
from harness.scoring.metrics import SCORE_FLOOR, task_score

_LOWEST, _HIGHEST = 0.0, 100.0


def score_interval(error: Effect, scale: Effect, settings: IntervalSettings | None = None) -> Interval:
    """The score, 100 ln(F0/F) / ln(F0/0.001), and its interval, both clipped to 0 and 100.

    Args:
        error: F, force MAE on OOD, eV/Å.
        scale: F0, force MAE of the zero-force baseline on the same frames, above `SCORE_FLOOR`, eV/Å.
        settings: Settings of the interval; the default if `None`.

    Raises:
        DataError: If F is negative or not finite, or F0 is not above `SCORE_FLOOR`.
    """
    return mean_score_interval([error], scale, settings)


def mean_score_interval(errors: Sequence[Effect], scale: Effect, settings: IntervalSettings | None = None) -> Interval:
    """The mean of scores for the same molecules, such as those of several seeds, with its interval.

    Args:
        errors: F for each score, eV/Å.
        scale: F0, eV/Å.
        settings: Settings of the interval; the default if `None`.

    Raises:
        DataError: If any F is negative or not finite, or F0 is not above `SCORE_FLOOR`.
    """
    value = fmean(task_score(error.value, scale.value) for error in errors)
    if any(error.value == 0.0 for error in errors):
        return Interval(value, reason="no interval: every error is zero")
    found = interval_of(mean_effect([_uncut(error, scale) for error in errors]), "linear", settings)
    return replace(found, value=value, low=_cut(found.low), high=_cut(found.high))


def _uncut(error: Effect, scale: Effect) -> Effect:
    """The score before clipping."""
    decades = math.log(scale.value / SCORE_FLOOR)
    uncut = 100.0 * math.log(scale.value / error.value) / decades
    by_error = -100.0 / (decades * error.value)
    by_scale = (100.0 - uncut) / (decades * scale.value)
    return combined(uncut, (error, by_error), (scale, by_scale))


def _cut(end: float | None) -> float | None:
    return None if end is None else min(max(end, _LOWEST), _HIGHEST)
