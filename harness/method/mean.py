"""The mean over seeds of the results of one task, with the spread between the seeds.

Errors and scores are means over the seeds. The gap is the ratio of the two mean errors. Intervals have the same meaning
as for a single result: other fragments and molecules drawn like these. The errors of a molecule are first averaged over
the seeds, which share the test molecules. The spread between seeds is reported separately.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np

from dataset_builders.core.errors import DataError
from harness.results.result import (
    Estimate,
    FragmentResult,
    MoleculeResult,
    PairResult,
    PartName,
    SpacerResult,
    SplitResult,
    TaskResult,
    TrainErrors,
)
from harness.scoring.clusters import Clusters
from harness.scoring.group_rows import estimate_of
from harness.scoring.influences import MoleculeSums, ratio_effect
from harness.scoring.intervals import Interval, IntervalSettings, quotient_interval, ratio_interval
from harness.scoring.score_interval import mean_score_interval
from harness.scoring.task_result import force_sums

_TestSplit = Literal["test_id", "test_ood"]
_Error = Literal["force_mae", "centred_energy_mae"]
_ERRORS: Final[tuple[_Error, ...]] = ("force_mae", "centred_energy_mae")
_SPLIT_OF_PART: Final[dict[PartName, _TestSplit]] = {
    "test_id": "test_id",
    "test_ood": "test_ood",
    "near": "test_ood",
    "far": "test_ood",
}
_ONE_DATA_SET: Final = "a mean over seeds requires the same data set"
_NO_MOLECULES: Final = "no interval: results do not store it by molecule; the result of each seed has an interval"


def mean_task(tasks: Sequence[TaskResult], settings: IntervalSettings) -> TaskResult:
    """The mean over seeds of the results of one task; a single result is returned unchanged.

    Args:
        tasks: Results of the seeds, all on the same frames.
        settings: The confidence level of the intervals.

    Returns:
        Means. If a frame failed for a seed, there is no score and no interval. Metrics that are not stored per
        molecule have no interval either, with the reason.

    Raises:
        DataError: If the results cover different tasks, molecules or frames.
    """
    first = tasks[0]
    if len(tasks) == 1:
        return first
    _require_same_frames(tasks)
    rows = [_mean_molecule(same) for same in zip(*(task.by_molecule for task in _aligned(tasks)), strict=True)]
    seeds = _Seeds(tasks, rows, settings)
    failures = tuple(failure for task in tasks for failure in task.failures)
    return TaskResult(
        task=first.task,
        title=first.title,
        protocol=first.protocol,
        splits={part: seeds.split(part) for part in first.splits},
        gap=seeds.gap("force_mae", [task.gap for task in tasks]),
        energy_gap=seeds.gap("centred_energy_mae", [task.energy_gap for task in tasks]),
        score=seeds.score(),
        # Fitted to the predictions of each seed.
        reference_shift=None,
        by_spacer=_mean_spacers(tasks),
        by_pair=_mean_pairs(tasks),
        by_molecule=tuple(rows),
        clusters=first.clusters,
        by_fragment=_mean_fragments(tasks),
        failures=failures,
        n_failed=len(failures),
        train=_mean_train([task.train for task in tasks]),
    )


class _Seeds:
    """Results of several seeds, and the mean errors of their molecules."""

    def __init__(self, tasks: Sequence[TaskResult], rows: Sequence[MoleculeResult], settings: IntervalSettings) -> None:
        self._tasks, self._rows, self._settings = tasks, rows, settings
        self._has_failures = any(task.n_failed for task in tasks)

    def split(self, part: PartName) -> SplitResult:
        """A split or subset."""
        splits = [task.splits[part] for task in self._tasks]
        metrics = {
            name: self._metric(part, name, [split.metrics[name] for split in splits]) for name in splits[0].metrics
        }
        return SplitResult(
            n_molecules=min(split.n_molecules for split in splits),
            n_frames=min(split.n_frames for split in splits),
            n_atoms=min(split.n_atoms for split in splits),
            metrics=metrics,
            # It depends only on the labels and is the same for all seeds.
            zero_force_mae=next((s.zero_force_mae for s in splits if not s.n_failed), splits[0].zero_force_mae),
            n_failed=sum(split.n_failed for split in splits),
        )

    def _metric(self, part: PartName, name: str, estimates: Sequence[Estimate]) -> Estimate:
        for error in _ERRORS:
            if error == name:
                return self._error(part, error, estimates)
        return _without_interval(estimates, _NO_MOLECULES)

    def _error(self, part: PartName, error: _Error, estimates: Sequence[Estimate]) -> Estimate:
        sums = self._sums(part, error)
        if sums is None or any(each.value is None for each in estimates):
            return _without_interval(estimates, self._why_no_interval())
        found = ratio_interval(sums, self._clusters(part), "log", self._settings)
        return _estimate(found, estimates[0].unit, _mean_value(estimates))

    def gap(self, error: _Error, estimates: Sequence[Estimate]) -> Estimate:
        """The ratio of the mean OOD error to the mean ID error."""
        undefined = next((each for each in estimates if each.value is None), None)
        if undefined is not None:
            return undefined
        ood, known = (self._sums(part, error) for part in ("test_ood", "test_id"))
        if ood is None or known is None:
            above, below = (
                _mean_value([task.splits[part].metrics[error] for task in self._tasks])
                for part in ("test_ood", "test_id")
            )
            reason = self._why_no_interval()
            value = above / below if above is not None and below else None
            return Estimate(value=value, low=None, high=None, unit="1", reason=reason)
        parts = (ood, self._clusters("test_ood")), (known, self._clusters("test_id"))
        found = quotient_interval(*parts, self._settings)
        return _estimate(found, "1", found.value)

    def score(self) -> Estimate:
        """The mean of the scores of the seeds, which share the test molecules."""
        estimates = [task.score for task in self._tasks]
        undefined = next((each for each in estimates if each.value is None), None)
        if undefined is not None:
            return undefined
        each_seed = [[row for row in task.by_molecule if row.split == "test_ood"] for task in self._tasks]
        scale = _scale(each_seed[0])
        if scale is None:
            missing = "no interval: the results are of an earlier version, without errors of zero forces by molecule"
            return _without_interval(estimates, missing)
        clusters = self._clusters("test_ood")
        zero = ratio_effect(scale, clusters)
        errors = [ratio_effect(force_sums(rows), clusters) for rows in each_seed]
        known = [error for error in errors if error is not None]
        if zero is None or len(known) < len(errors):
            return _without_interval(estimates, scale.undefined)
        return _estimate(mean_score_interval(known, zero, self._settings), "1", _mean_value(estimates))

    def _clusters(self, part: PartName) -> Clusters:
        return Clusters(part, self._tasks[0].clusters, tuple(row.drawn for row in self._rows_of(part)))

    def _rows_of(self, part: PartName) -> list[MoleculeResult]:
        rows = [row for row in self._rows if row.split == _SPLIT_OF_PART[part]]
        return [row for row in rows if row.subset == part] if part in ("near", "far") else rows

    def _why_no_interval(self) -> str:
        if self._has_failures:
            return f"no interval: {sum(task.n_failed for task in self._tasks)} frames failed, of all seeds together"
        return "no interval: the results are of an earlier version, which does not say the subset of a molecule"

    def _sums(self, part: PartName, error: _Error) -> MoleculeSums | None:
        """The mean errors of the molecules of a part; `None` if they are unknown or frames failed."""
        if self._has_failures or (part in ("near", "far") and any(row.subset is None for row in self._rows)):
            return None
        rows = self._rows_of(part)
        if error == "force_mae":
            return force_sums(rows)
        # A single frame has no relative energy and therefore no weight.
        weights = np.array([0.0 if row.centred_energy_mae is None else float(row.n_frames) for row in rows])
        errors = np.array([row.centred_energy_mae or 0.0 for row in rows])
        return MoleculeSums(errors * weights, weights, "no molecule has two or more frames")


def _require_same_frames(tasks: Sequence[TaskResult]) -> None:
    names = dict.fromkeys(task.task for task in tasks)
    if len(names) > 1:
        raise DataError(f"results of {' and '.join(names)}; a mean over seeds requires results of a single task")
    first = tasks[0]
    for task in tasks[1:]:
        if task.splits.keys() != first.splits.keys():
            raise DataError(f"two results of {first.task} are of different splits; {_ONE_DATA_SET}")
        if task.n_failed or first.n_failed:
            continue
        if _frames_of(task) != _frames_of(first):
            raise DataError(f"two results of {first.task} are of different molecules or frames; {_ONE_DATA_SET}")


def _frames_of(task: TaskResult) -> list[tuple[str, str, int]]:
    return [(row.split, row.molecule_id, row.n_frames) for row in task.by_molecule]


def _aligned(tasks: Sequence[TaskResult]) -> list[TaskResult]:
    """The results restricted to their common molecules; all frames of a molecule may have failed for one seed."""
    shared = set.intersection(*({(row.split, row.molecule_id) for row in task.by_molecule} for task in tasks))
    return [
        task.model_copy(
            update={"by_molecule": tuple(row for row in task.by_molecule if (row.split, row.molecule_id) in shared)}
        )
        for task in tasks
    ]


def _mean_molecule(rows: Sequence[MoleculeResult]) -> MoleculeResult:
    energies = [row.centred_energy_mae for row in rows]
    known = [energy for energy in energies if energy is not None]
    return rows[0].model_copy(
        update={
            "n_frames": min(row.n_frames for row in rows),
            "n_atoms": min(row.n_atoms for row in rows),
            "force_mae": statistics.fmean(row.force_mae for row in rows),
            "centred_energy_mae": statistics.fmean(known) if len(known) == len(energies) else None,
            "n_failed": sum(row.n_failed for row in rows),
        }
    )


def _scale(rows: Sequence[MoleculeResult]) -> MoleculeSums | None:
    """Errors of zero forces; `None` for results of earlier versions."""
    scaled = [
        row.model_copy(update={"force_mae": row.zero_force_mae}) for row in rows if row.zero_force_mae is not None
    ]
    return force_sums(scaled) if len(scaled) == len(rows) else None


def _mean_value(estimates: Sequence[Estimate]) -> float | None:
    values = [each.value for each in estimates]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _without_interval(estimates: Sequence[Estimate], reason: str) -> Estimate:
    undefined = next((each for each in estimates if each.value is None), None)
    if undefined is not None:
        return undefined
    return Estimate(value=_mean_value(estimates), low=None, high=None, unit=estimates[0].unit, reason=reason)


def _estimate(interval: Interval, unit: str, value: float | None) -> Estimate:
    return estimate_of(replace(interval, value=value), unit)


def _mean_fragments(tasks: Sequence[TaskResult]) -> tuple[FragmentResult, ...]:
    """The values for each test fragment; the gap is the ratio of the mean errors."""
    found = [{row.fragment: row for row in task.by_fragment} for task in tasks]
    rows = []
    for name in (name for name in found[0] if all(name in rows for rows in found)):
        known, unseen = (
            None if None in values else statistics.fmean(value for value in values if value is not None)
            for values in (
                [rows[name].id_force_mae for rows in found],
                [rows[name].ood_force_mae for rows in found],
            )
        )
        gap = unseen / known if known and unseen is not None else None
        rows.append(FragmentResult(fragment=name, id_force_mae=known, ood_force_mae=unseen, gap=gap))
    return tuple(rows)


def _mean_spacers(tasks: Sequence[TaskResult]) -> tuple[SpacerResult, ...]:
    found = [{(row.split, row.spacer): row for row in task.by_spacer} for task in tasks]
    shared = [key for key in found[0] if all(key in rows for rows in found)]
    return tuple(
        found[0][key].model_copy(update={error: _of_group([rows[key] for rows in found], error) for error in _ERRORS})
        for key in shared
    )


def _mean_pairs(tasks: Sequence[TaskResult]) -> tuple[PairResult, ...]:
    found = [{(row.split, row.left, row.right): row for row in task.by_pair} for task in tasks]
    shared = [key for key in found[0] if all(key in rows for rows in found)]
    return tuple(
        found[0][key].model_copy(update={error: _of_group([rows[key] for rows in found], error) for error in _ERRORS})
        for key in shared
    )


def _of_group(rows: Sequence[SpacerResult] | Sequence[PairResult], error: _Error) -> Estimate:
    return _without_interval([getattr(row, error) for row in rows], _NO_MOLECULES)


def _mean_train(found: Sequence[TrainErrors | None]) -> TrainErrors | None:
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return None
    mean = _without_interval([each.force_mae for each in known], _NO_MOLECULES)
    return known[0].model_copy(update={"force_mae": mean, "n_failed": sum(each.n_failed for each in known)})
