"""Summarises the records of a row on a task, one per seed, in one line of the table.

A number is the mean over the seeds. Two measures describe its uncertainty. The standard deviation between seeds is
the uncertainty from training. The interval of the mean is the uncertainty from the choice of test fragments and
molecules; the influences of all seeds are averaged for it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Final

import numpy as np

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.regions import TaskName, title_of
from harness.results.result import PartName
from harness.scoring.clusters import Clusters
from harness.scoring.composition import Expectation, excess_effect
from harness.scoring.influences import Effect, MoleculeSums, mean_effect, quotient, ratio_effect
from harness.scoring.intervals import interval_of
from harness.scoring.metric_terms import Float64Array
from harness.study.run_record import MoleculeError, Number, RunRecord, TestSplitName

SPLITS: Final[tuple[TestSplitName, ...]] = ("test_id", "test_ood")


@dataclass(frozen=True, slots=True)
class Spread:
    """A number over seeds.

    Attributes:
        value: Mean over the seeds; `None` if it is undefined.
        low: Lower end of its interval; `None` if there is none.
        high: Upper end.
        deviation: Standard deviation between seeds, n - 1; `None` for a single seed.
        n_clusters: Number of clusters (fragments or molecules) behind it, if known.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    deviation: float | None = None
    n_clusters: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A row on a task, over its seeds.

    Attributes:
        row: Name of the row.
        task: Task.
        records: One per seed, ascending.
        force_mae: By split and subset, eV/Å.
        gap: OOD force MAE divided by ID force MAE.
        expected_gap: Composition-matched gap, predicted from the composition of the molecules alone.
        excess: OOD error divided by the error expected from the composition.
        by_spacer: Force MAE by split and spacer.
        by_fragment: Gap of each test fragment, where defined, over its own molecules.
        effects: Force MAE of both splits, mean over seeds, with the influence of each molecule.
    """

    row: str
    task: TaskName
    records: tuple[RunRecord, ...]
    force_mae: dict[PartName, Spread]
    gap: Spread
    expected_gap: Spread
    excess: Spread
    by_spacer: dict[tuple[TestSplitName, int], Spread]
    by_fragment: dict[str, float]
    effects: dict[TestSplitName, Effect]

    @property
    def title(self) -> str:
        """Title of the task."""
        return title_of(self.task, self.records[0].title)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds; none for a row without seeds."""
        return tuple(record.seed for record in self.records if record.seed is not None)

    def over_seeds(self, number: Callable[[RunRecord], Number]) -> Spread:
        """A number of the records: mean over seeds, and the mean of each end of the intervals."""
        return over_seeds([number(record) for record in self.records])


@dataclass(frozen=True, slots=True)
class _Molecules:
    """Errors of the molecules of a part, one row per seed."""

    errors: Float64Array
    weights: Float64Array
    clusters: Clusters

    def effects(self) -> list[Effect]:
        """The MAE of each seed."""
        sums = (MoleculeSums(errors * self.weights, self.weights, "no molecules") for errors in self.errors)
        return [effect for each in sums if (effect := ratio_effect(each, self.clusters)) is not None]

    def of_cluster(self, name: str) -> float | None:
        """Mean over seeds of the MAE of a cluster; `None` if it has no molecule."""
        own = self.clusters.members(name)
        return float(np.average(self.errors.mean(axis=0)[own], weights=self.weights[own])) if len(own) else None


def summarise(records: Iterable[RunRecord]) -> list[Line]:
    """One line for each row and task, in the order of the records.

    Raises:
        DataError: If the records of a row on a task cover different molecules.
    """
    groups: dict[tuple[str, TaskName], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.row, record.task), []).append(record)
    return [
        _line(row, task, sorted(of_both, key=lambda record: record.seed or 0))
        for (row, task), of_both in groups.items()
    ]


def over_seeds(numbers: Sequence[Number]) -> Spread:
    """The mean and standard deviation of some numbers, and the mean of each end of their intervals."""
    values = [number.value for number in numbers if number.value is not None]
    if len(values) < len(numbers) or not values:
        return Spread(None)
    lows = [number.low for number in numbers if number.low is not None]
    highs = [number.high for number in numbers if number.high is not None]
    has_ends = len(lows) == len(values)
    return Spread(
        fmean(values), fmean(lows) if has_ends else None, fmean(highs) if has_ends else None, _deviation(values)
    )


def ratio_of_rows(above: Line, below: Line, split: TestSplitName = "test_ood") -> Spread:
    """Force MAE of one row divided by that of another on the same task, paired within clusters."""
    effect = quotient(above.effects[split], below.effects[split])
    return Spread(None) if effect is None else _spread([effect])


def _line(row: str, task: TaskName, records: list[RunRecord]) -> Line:
    parts = {name: _molecules(records, name) for name in records[0].force_mae}
    test_id, test_ood = parts["test_id"], parts["test_ood"]
    expected = _errors(records, "test_ood", lambda molecule: True, lambda molecule: molecule.expected_force_mae)
    from_composition = _Molecules(expected, test_ood.weights, test_ood.clusters)
    return Line(
        row=row,
        task=task,
        records=tuple(records),
        force_mae={name: _spread(part.effects()) for name, part in parts.items()},
        gap=_quotient(test_ood, test_id),
        expected_gap=_values_alone(_quotient(from_composition, test_id)),
        excess=_excess(records, test_ood, from_composition, test_id.clusters),
        by_spacer=_by_spacer(records),
        by_fragment=_by_fragment(test_id, test_ood),
        effects={split: mean_effect(parts[split].effects()) for split in SPLITS},
    )


def _by_spacer(records: list[RunRecord]) -> dict[tuple[TestSplitName, int], Spread]:
    found: dict[tuple[TestSplitName, int], Spread] = {}
    for split in SPLITS:
        for spacer in sorted({molecule.spacer for molecule in records[0].molecules[split]}):
            found[split, spacer] = _spread(_molecules(records, split, spacer).effects())
    return found


def _by_fragment(test_id: _Molecules, test_ood: _Molecules) -> dict[str, float]:
    found = {}
    for name in test_ood.clusters.distinct:
        known, unseen = test_id.of_cluster(name), test_ood.of_cluster(name)
        if known and unseen is not None:
            found[name] = unseen / known
    return found


def _molecules(records: list[RunRecord], part: PartName, spacer: int | None = None) -> _Molecules:
    split: TestSplitName = "test_id" if part == "test_id" else "test_ood"

    def belongs(molecule: MoleculeError) -> bool:
        return part in (split, molecule.subset) and spacer in (None, molecule.spacer)

    molecules = [molecule for molecule in records[0].molecules[split] if belongs(molecule)]
    errors = _errors(records, split, belongs, lambda molecule: molecule.force_mae)
    weights = np.array([molecule.n_atoms for molecule in molecules], dtype=np.float64)
    return _Molecules(
        errors, weights, Clusters(part, records[0].clusters, tuple(molecule.drawn for molecule in molecules))
    )


def _errors(
    records: list[RunRecord],
    split: TestSplitName,
    belongs: Callable[[MoleculeError], bool],
    error: Callable[[MoleculeError], float | None],
) -> Float64Array:
    """An error of the selected molecules, shape (n_seeds, n_molecules)."""
    rows = [[molecule for molecule in record.molecules[split] if belongs(molecule)] for record in records]
    if len({tuple((molecule.molecule_id, molecule.n_atoms) for molecule in row) for row in rows}) > 1:
        first = records[0]
        raise DataError(
            f"the records of {first.row} on {first.task} have different {split} molecules or frames; delete them and "
            "run the study again"
        )
    return np.array([[error(molecule) for molecule in row] for row in rows], dtype=np.float64)


def _quotient(above: _Molecules, below: _Molecules) -> Spread:
    """The quotient of each seed, averaged over seeds."""
    found = [quotient(*pair) for pair in zip(above.effects(), below.effects(), strict=True)]
    effects = [effect for effect in found if effect is not None]
    return _spread(effects) if len(effects) == len(found) else Spread(None)


def _excess(records: list[RunRecord], measured: _Molecules, expected: _Molecules, known: Clusters) -> Spread:
    """The mean over seeds; without an interval if the records lack the influence of the ID molecules."""
    effects = []
    for seed, record in enumerate(records):
        influence = [molecule.expected_influence for molecule in record.molecules["test_id"]]
        if None in influence:
            return _values_alone(_quotient(measured, expected))
        total = expected.errors[seed] * expected.weights
        found = excess_effect(
            measured.errors[seed] * measured.weights,
            Expectation(total, np.array(influence, dtype=np.float64)),
            known,
            measured.clusters,
        )
        effects += [] if found is None else [found]
    return _spread(effects)


def _values_alone(spread: Spread) -> Spread:
    """A number without its interval, which would omit a part of the uncertainty."""
    return replace(spread, low=None, high=None)


def _spread(effects: Sequence[Effect]) -> Spread:
    found = interval_of(mean_effect(effects))
    deviation = _deviation([effect.value for effect in effects])
    return Spread(found.value, found.low, found.high, deviation, found.n_clusters)


def _deviation(values: Sequence[float]) -> float | None:
    return stdev(values) if len(values) > 1 else None
