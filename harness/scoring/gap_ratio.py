"""How the gap of one model compares with that of another on the same molecules, paired by sampling unit."""

from typing import Final, get_args

from dataset_builders.core.errors import DataError
from harness.results.result import TaskResult
from harness.scoring.clusters import Clusters
from harness.scoring.group_rows import TestSplit
from harness.scoring.influences import Effect, quotient, ratio_effect
from harness.scoring.intervals import DIVIDED_BY_ZERO, Interval, IntervalSettings, interval_of
from harness.scoring.task_result import force_sums

_NO_FRAMES: Final = "a split has no computed frames"


def gap_ratio(first: TaskResult, second: TaskResult, settings: IntervalSettings | None = None) -> Interval:
    """The gap of one model divided by that of another, with its interval.

    Both gaps stand on the same molecules, so a fragment that is hard for both hardly changes the ratio. The interval is
    that of a gap (docs/intervals.md): by fragment, ID and OOD jointly, t on the log scale.

    Args:
        first: Result of one model.
        second: Result of the other on the same task of the same data set.
        settings: Settings of the interval; the default if `None`.

    Returns:
        The ratio; undefined with a reason if frames failed or an error to divide by is zero.

    Raises:
        DataError: If tasks, molecules or numbers of frames differ.
    """
    if first.task != second.task:
        raise DataError(f"results of {first.task} and {second.task}; gaps are compared on the same task")
    if first.failures or second.failures:
        return Interval(None, reason="frames failed, so there is no gap to compare")
    for split in get_args(TestSplit):
        _require_same_molecules(first, second, split)
    gaps = []
    for task in (first, second):
        ood, known = _error(task, "test_ood"), _error(task, "test_id")
        if ood is None or known is None:
            return Interval(None, reason=_NO_FRAMES)
        gap = quotient(ood, known)
        if gap is None:
            return Interval(None, reason=DIVIDED_BY_ZERO)
        gaps.append(gap)
    ratio = quotient(*gaps)
    return Interval(None, reason=DIVIDED_BY_ZERO) if ratio is None else interval_of(ratio, "log", settings)


def _error(task: TaskResult, split: TestSplit) -> Effect | None:
    rows = [row for row in task.by_molecule if row.split == split]
    return ratio_effect(force_sums(rows), Clusters(split, task.clusters, tuple(row.drawn for row in rows)))


def _require_same_molecules(first: TaskResult, second: TaskResult, split: TestSplit) -> None:
    one, other = (
        [(row.molecule_id, row.n_atoms) for row in task.by_molecule if row.split == split] for task in (first, second)
    )
    if one != other:
        raise DataError(
            f"the two results of {first.task} are on different {split} frames; evaluate both models on the same data"
        )
