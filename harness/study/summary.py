"""From the records of a row on a task, one a seed, to one line of the table.

A number is the mean over the seeds. Two things are said of its uncertainty: the standard deviation between seeds, which
is that of the training, and an interval by bootstrap over molecules of that same mean, which is that of the molecules
it was measured on. Each resample holds the same molecules for all seeds.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

import numpy as np

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.regions import TaskName, title_of
from harness.results.result import PartName
from harness.scoring.intervals import (
    BootstrapSettings,
    Draws,
    Interval,
    MoleculeSums,
    draw_molecules,
    percentile_interval,
    ratio_samples,
)
from harness.scoring.metric_terms import Float64Array
from harness.study.run_record import MoleculeError, Number, RunRecord, TestSplitName

_STREAMS: Final[dict[PartName, int]] = {"test_id": 0, "test_ood": 1, "near": 2, "far": 3}


@dataclass(frozen=True, slots=True)
class Spread:
    """A number over seeds.

    Attributes:
        value: Mean over the seeds; `None` where it is undefined.
        low: Lower end of its interval; `None` where there is none.
        high: Upper end.
        deviation: Standard deviation between seeds, n - 1; `None` for a single seed.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A row on a task, over its seeds.

    Attributes:
        row: Name of the row.
        task: Task.
        records: One a seed, ascending.
        force_mae: By split and subset, eV/Å.
        gap: OOD divided by ID.
        expected_gap: What the make-up of the molecules alone predicts.
        excess: OOD error divided by the one that is expected from it.
        by_spacer: Force MAE by split and spacer.
    """

    row: str
    task: TaskName
    records: tuple[RunRecord, ...]
    force_mae: dict[PartName, Spread]
    gap: Spread
    expected_gap: Spread
    excess: Spread
    by_spacer: dict[tuple[TestSplitName, int], Spread]

    @property
    def title(self) -> str:
        """Title of the task."""
        return title_of(self.task, self.records[0].title)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that there are; none for a row without seeds."""
        return tuple(record.seed for record in self.records if record.seed is not None)

    def over_seeds(self, number: Callable[[RunRecord], Number]) -> Spread:
        """A number of the records: its mean over seeds; the ends of its interval are the means of the seeds' ends."""
        return over_seeds([number(record) for record in self.records])


@dataclass(frozen=True, slots=True)
class _Molecules:
    """Errors of the molecules of a part, one line a seed."""

    errors: Float64Array
    weights: Float64Array
    draws: Draws

    def sums(self, seed: int) -> MoleculeSums:
        """Of one seed, by its place."""
        return MoleculeSums(self.errors[seed] * self.weights, self.weights, "there are no molecules")

    def samples(self) -> Float64Array:
        """The MAE in each resample, shape (n_seeds, n_resamples)."""
        return np.stack([ratio_samples(self.sums(seed), self.draws) for seed in range(len(self.errors))])

    def values(self) -> list[float]:
        """The MAE of each seed."""
        return [float(np.average(errors, weights=self.weights)) for errors in self.errors]


def summarise(records: Iterable[RunRecord]) -> list[Line]:
    """One line for each row and task, in the order of the records.

    Raises:
        DataError: If the records of a row on a task are of different molecules.
    """
    groups: dict[tuple[str, TaskName], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.row, record.task), []).append(record)
    return [
        _line(row, task, sorted(of_both, key=lambda record: record.seed or 0))
        for (row, task), of_both in groups.items()
    ]


def over_seeds(numbers: Sequence[Number]) -> Spread:
    """The mean of some numbers, their deviation, and the means of the ends of their intervals."""
    values = [number.value for number in numbers if number.value is not None]
    if len(values) < len(numbers) or not values:
        return Spread(None)
    lows = [number.low for number in numbers if number.low is not None]
    highs = [number.high for number in numbers if number.high is not None]
    has_ends = len(lows) == len(values)
    return Spread(
        fmean(values), fmean(lows) if has_ends else None, fmean(highs) if has_ends else None, _deviation(values)
    )


def _line(row: str, task: TaskName, records: list[RunRecord]) -> Line:
    parts = {name: _molecules(records, name) for name in records[0].force_mae}
    test_id, test_ood = parts["test_id"], parts["test_ood"]
    expected = _errors(records, "test_ood", lambda molecule: True, lambda molecule: molecule.expected_force_mae)
    from_makeup = _Molecules(expected, test_ood.weights, test_ood.draws)
    return Line(
        row=row,
        task=task,
        records=tuple(records),
        force_mae={name: _mean(part) for name, part in parts.items()},
        gap=_quotient(test_ood, test_id),
        expected_gap=_quotient(from_makeup, test_id),
        excess=_quotient(test_ood, from_makeup),
        by_spacer=_by_spacer(records),
    )


def _by_spacer(records: list[RunRecord]) -> dict[tuple[TestSplitName, int], Spread]:
    found: dict[tuple[TestSplitName, int], Spread] = {}
    splits: tuple[TestSplitName, ...] = ("test_id", "test_ood")
    for split in splits:
        for spacer in sorted({molecule.spacer for molecule in records[0].molecules[split]}):
            found[split, spacer] = _mean(_molecules(records, split, spacer))
    return found


def _molecules(records: list[RunRecord], part: PartName, spacer: int | None = None) -> _Molecules:
    split: TestSplitName = "test_id" if part == "test_id" else "test_ood"

    def belongs(molecule: MoleculeError) -> bool:
        return part in (split, molecule.subset) and spacer in (None, molecule.spacer)

    weights = [molecule.n_atoms for molecule in records[0].molecules[split] if belongs(molecule)]
    errors = _errors(records, split, belongs, lambda molecule: molecule.force_mae)
    draws = draw_molecules(len(weights), BootstrapSettings(), _STREAMS[part])
    return _Molecules(errors, np.array(weights, dtype=np.float64), draws)


def _errors(
    records: list[RunRecord],
    split: TestSplitName,
    belongs: Callable[[MoleculeError], bool],
    error: Callable[[MoleculeError], float | None],
) -> Float64Array:
    """An error of the molecules that belong, shape (n_seeds, n_molecules)."""
    rows = [[molecule for molecule in record.molecules[split] if belongs(molecule)] for record in records]
    if len({tuple((molecule.molecule_id, molecule.n_atoms) for molecule in row) for row in rows}) > 1:
        first = records[0]
        raise DataError(
            f"the records of {first.row} on {first.task} are of different {split} molecules or frames; delete them and "
            "run the study again"
        )
    return np.array([[error(molecule) for molecule in row] for row in rows], dtype=np.float64)


def _mean(part: _Molecules) -> Spread:
    values = part.values()
    return _spread(values, part.samples().mean(axis=0), part.draws)


def _quotient(above: _Molecules, below: _Molecules) -> Spread:
    """The mean over seeds of the quotient of each seed; drawn together where both have the same draws."""
    above_values, below_values = above.values(), below.values()
    if 0.0 in below_values:
        return Spread(None)
    values = [first / second for first, second in zip(above_values, below_values, strict=True)]
    numerator, denominator = above.samples(), below.samples()
    samples = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=samples, where=denominator > 0.0)
    return _spread(values, samples.mean(axis=0), min(above.draws, below.draws, key=lambda draws: draws.n_molecules))


def _spread(values: Sequence[float], samples: Float64Array, draws: Draws) -> Spread:
    interval: Interval = percentile_interval(fmean(values), samples, draws)
    return Spread(interval.value, interval.low, interval.high, _deviation(values))


def _deviation(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None
