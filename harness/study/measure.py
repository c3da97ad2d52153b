"""Computes the record of a finished run, with all numbers of the report, from its predictions and result."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, get_args

from dataset_builders.core.errors import DataError
from dataset_builders.tasks.drawn import ClusterKind, Drawn
from dataset_builders.tasks.regions import TaskName
from harness.results.anatomy_record import ContactName
from harness.results.result import MoleculeResult, PartName, RunResult, TaskResult
from harness.scoring.composition import CompositionGap, composition_gap
from harness.scoring.intervals import IntervalSettings
from harness.study.distances import AtomDistances, error_against_distance
from harness.study.energy_zeros import energy_errors
from harness.study.predicted import PredictedTask
from harness.study.run_record import (
    DistanceRecord,
    EnergyError,
    MoleculeError,
    Number,
    ReferenceName,
    TestSplitName,
    rounded,
)

_PARTS: Final[tuple[PartName, ...]] = get_args(PartName)


@dataclass(frozen=True, slots=True)
class Measured:
    """The numbers of a run; fields as in `RunRecord`."""

    force_mae: dict[PartName, Number]
    zero_force_mae: dict[PartName, float]
    gap: Number
    score: Number
    relative_energy_mae: dict[PartName, Number]
    energies: dict[TestSplitName, dict[ReferenceName, EnergyError]]
    expected_force_mae: float
    excess: Number
    distances: DistanceRecord
    molecules: dict[TestSplitName, tuple[MoleculeError, ...]]
    clusters: ClusterKind
    factors: dict[str, Number]
    contact_force_mae: dict[ContactName, Number]


def measure(
    result: RunResult, task: TaskName, predicted: PredictedTask, distances: Mapping[TestSplitName, AtomDistances]
) -> Measured:
    """Computes the numbers of a run on one task.

    Args:
        result: Result of the run.
        task: One of its tasks.
        predicted: Its predictions on that task.
        distances: Distances of the test atoms to the training set, for the same data set and task.

    Raises:
        DataError: If frames failed, so that the numbers would exclude the hardest ones, or the inputs disagree.
    """
    found, frames = result.tasks[task], predicted.frames
    if found.n_failed:
        raise DataError(
            f"{found.n_failed} frames of {task} failed, first {found.failures[0].molecule_id}: "
            f"{found.failures[0].cause}; a row of the study needs all frames"
        )
    settings = IntervalSettings(result.settings.confidence)
    drawn = Drawn(found.clusters, {row.molecule_id: row.drawn for row in found.by_molecule})
    composition = composition_gap(frames.test_id, frames.test_ood, predicted.smiles, drawn, settings)
    parts = {name: found.splits[name] for name in _PARTS if name in found.splits}
    return Measured(
        force_mae={name: Number.of(part.metrics["force_mae"]) for name, part in parts.items()},
        zero_force_mae={name: rounded(_defined(part.zero_force_mae.value, name)) for name, part in parts.items()},
        gap=Number.of(found.gap),
        score=Number.of(found.score),
        relative_energy_mae={name: Number.of(part.metrics["centred_energy_mae"]) for name, part in parts.items()},
        energies=energy_errors(frames, drawn, settings),
        expected_force_mae=rounded(composition.expected_force_mae),
        excess=Number.of(composition.excess),
        distances=error_against_distance({"test_id": frames.test_id, "test_ood": frames.test_ood}, distances, drawn),
        molecules=_molecules(found, predicted, composition),
        clusters=found.clusters,
        factors={} if found.anatomy is None else {n: Number.of(f) for n, f in found.anatomy.factors.items()},
        contact_force_mae={
            row.contact: Number.of(row.force_mae) for row in found.by_contact if row.split == "test_ood"
        },
    )


def _defined(value: float | None, name: PartName) -> float:
    if value is None:
        raise DataError(f"{name} contains no atoms; expected one or more")
    return value


def _molecules(
    found: TaskResult, predicted: PredictedTask, composition: CompositionGap
) -> dict[TestSplitName, tuple[MoleculeError, ...]]:
    frames = predicted.frames
    molecules = {each.molecule_id: each for part in (frames.test_id, frames.test_ood) for each in part.index.molecules}
    expected = dict(
        zip(
            (each.molecule_id for each in frames.test_ood.index.molecules),
            composition.expected_by_molecule,
            strict=True,
        )
    )

    influence = (
        {}
        if composition.id_influence is None
        else {
            each.molecule_id: rounded(float(own))
            for each, own in zip(frames.test_id.index.molecules, composition.id_influence, strict=True)
        }
    )

    def of(row: MoleculeResult) -> MoleculeError:
        molecule = molecules[row.molecule_id]
        return MoleculeError(
            molecule_id=row.molecule_id,
            subset=molecule.subset,
            spacer=molecule.spacer,
            n_frames=row.n_frames,
            n_atoms=row.n_atoms,
            force_mae=rounded(row.force_mae),
            expected_force_mae=rounded(expected[row.molecule_id]) if row.split == "test_ood" else None,
            relative_energy_mae=None if row.centred_energy_mae is None else rounded(row.centred_energy_mae),
            drawn=row.drawn,
            expected_influence=influence.get(row.molecule_id) if row.split == "test_id" else None,
        )

    splits: tuple[TestSplitName, ...] = ("test_id", "test_ood")
    return {split: tuple(of(row) for row in found.by_molecule if row.split == split) for split in splits}
