"""One pass over the test frames of a run: what the page shows of single frames and atoms, in bounded memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.tasks.regions import TaskName
from harness.data.scan import FrameNames, stream_needed
from harness.evaluation.run import SavedRun
from harness.pages.report.density import Density, axis_limit
from harness.pages.report.worst_frames import WorstFrame, ten_worst, worse, worst_of_piece
from harness.scoring.group_rows import TestSplit
from harness.scoring.joining import join_pieces
from harness.scoring.metric_terms import Float64Array, centre_energies, force_cosine_terms

COSINE_BINS: Final = 40


@dataclass(frozen=True, slots=True, eq=False)
class SplitErrors:
    """What the frames of a split say.

    Attributes:
        forces: Components of predicted against reference forces, eV/Å.
        energies: Predicted against reference energies relative to the mean of their molecule, eV.
        cosines: Atoms by cosine between predicted and reference force, from -1 to 1, shape (COSINE_BINS,).
        n_without_direction: Atoms whose predicted or reference force is too short to have a direction.
        smiles: SMILES of its molecules, by name.
    """

    forces: Density
    energies: Density
    cosines: IntArray
    n_without_direction: int
    smiles: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class FrameErrors:
    """What the test frames of a task say.

    Attributes:
        splits: By test split.
        worst: The worst frame of each of the ten worst molecules, worst first.
        trained: Names of the molecules in `train`; `None` if the data set has no training frames at this level.
    """

    splits: Mapping[TestSplit, SplitErrors]
    worst: tuple[WorstFrame, ...]
    trained: frozenset[str] | None


def frame_errors(saved: SavedRun, task: TaskName) -> FrameErrors:
    """Reads labels and predictions of a task once more and counts.

    Raises:
        DataError: If labels or predictions cannot be read.
    """
    limit = axis_limit(_largest_force(saved, task))
    splits, worst = {}, dict[str, WorstFrame]()
    for split in get_args(TestSplit):
        splits[split], found = _split_errors(saved, task, split, limit)
        worst = worse(worst, found)
    energy_limit = axis_limit(max(_largest(reference) for reference, _ in (each.energy for each in splits.values())))
    return FrameErrors(
        {split: counted.finish(energy_limit) for split, counted in splits.items()},
        ten_worst(worst.values()),
        _trained(saved, task),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """A split before its energies are counted: both splits share one axis."""

    forces: Density
    cosines: IntArray
    n_without_direction: int
    smiles: Mapping[str, str]
    energy: tuple[Float64Array, Float64Array]

    def finish(self, energy_limit: float) -> SplitErrors:
        """Counts the relative energies."""
        energies = Density.empty(energy_limit).added(*self.energy)
        return SplitErrors(self.forces, energies, self.cosines, self.n_without_direction, self.smiles)


def _split_errors(
    saved: SavedRun, task: TaskName, split: TestSplit, limit: float
) -> tuple[_Counted, dict[str, WorstFrame]]:
    forces, cosines, n_short = Density.empty(limit), np.zeros(COSINE_BINS, dtype=np.int64), 0
    worst: dict[str, WorstFrame] = {}
    smiles: dict[str, str] = {}
    codes: dict[str, int] = {}
    energies: list[tuple[IntArray, FloatArray, FloatArray]] = []
    for rows, frames in join_pieces(saved.dataset, task, split, saved.plan, saved.reader()):
        reference, predicted = (np.asarray(each.forces, np.float64) for each in (frames.reference, frames.predicted))
        forces = forces.added(reference.ravel(), predicted.ravel())
        terms = force_cosine_terms(predicted, reference)
        has_direction = terms.weight > 0.0
        cosines += np.histogram(terms.numerator[has_direction], COSINE_BINS, (-1.0, 1.0))[0]
        n_short += int((~has_direction).sum())
        worst = worse(worst, worst_of_piece(split, rows, frames))
        smiles |= dict(zip(rows.molecule_id, rows.smiles, strict=True))
        names = [molecule.molecule_id for molecule in frames.index.molecules]
        of_molecule = np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int64)
        energies.append((of_molecule[frames.index.molecule_idx], frames.reference.energy, frames.predicted.energy))
    return _Counted(forces, cosines, n_short, smiles, _relative(energies)), worst


def _relative(pieces: Sequence[tuple[IntArray, FloatArray, FloatArray]]) -> tuple[Float64Array, Float64Array]:
    """Reference and predicted energies relative to the mean of their molecule; single frames have none."""
    molecule, reference, predicted = (np.concatenate(column) for column in zip(*pieces, strict=True))
    centred = centre_energies(predicted, reference, molecule)
    return centred.reference[centred.informative], centred.predicted[centred.informative]


def _largest_force(saved: SavedRun, task: TaskName) -> float:
    """The largest component of a reference force in the test splits, eV/Å."""
    return max(
        _largest(rows.forces) for split in get_args(TestSplit) for rows in stream_needed(saved.dataset, (task, split))
    )


def _largest(values: FloatArray) -> float:
    return float(np.abs(values).max(initial=0.0))


def _trained(saved: SavedRun, task: TaskName) -> frozenset[str] | None:
    places = saved.plan.rows.get((task, "train"))
    if places is None:
        return None
    return frozenset(FrameNames.of(saved.plan.keys[places], saved.plan.molecules).molecule_id.tolist())
