"""Sums of a split by molecule, added up piece by piece: the input of all metrics of a task.

The sums do not grow with the number of frames. The energies do, since relative energies are ranked over the whole
split: 20 bytes per frame.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray, require_finite
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName
from harness.core.potential import ProtocolName
from harness.scoring.condition_sums import ConditionSums, ConditionSumsBuilder
from harness.scoring.influences import MoleculeSums, sum_by_molecule
from harness.scoring.metric_terms import Float64Array, force_terms
from harness.scoring.paired_frames import FailedFrame, FrameIndex, Molecule, SplitFrames, TaskFrames, TrainFrames
from harness.scoring.reference_shift import N_ELEMENTS, composition_of
from harness.scoring.training_parts import TrainingParts


@dataclass(frozen=True, slots=True)
class SplitTotals:
    """A split: its force metrics summed by molecule, and its energies.

    Attributes:
        molecules: Molecules with at least one frame, ascending by `molecule_id`.
        n_frames: Frames of each molecule, shape (n_molecules,).
        composition: Atoms of each element in a frame of each molecule, shape (n_molecules, 119), by atomic number.
        forces: Sums of each force metric.
        molecule_idx: Position of the molecule of each frame, shape (n_frames_total,), int32.
        predicted_energy: Shape (n_frames_total,), eV.
        reference_energy: Same shape and unit.
        failures: Frames that the potential could not compute; no other field includes them.
        conditions: Force errors by rotamer and end-to-end contact; `None` if no geometry is known, or for a subset.
    """

    molecules: tuple[Molecule, ...]
    n_frames: IntArray
    composition: IntArray
    forces: Mapping[str, MoleculeSums]
    molecule_idx: IntArray
    predicted_energy: Float64Array
    reference_energy: Float64Array
    failures: tuple[FailedFrame, ...] = ()
    conditions: ConditionSums | None = None

    @property
    def n_atoms(self) -> IntArray:
        """Atoms in a frame of each molecule, shape (n_molecules,)."""
        return np.asarray(self.composition.sum(axis=1))

    def keep(self, positions: IntArray) -> "SplitTotals":
        """Selected molecules, by ascending position, without failures."""
        place = np.full(len(self.molecules), -1, dtype=np.int32)
        place[positions] = np.arange(len(positions), dtype=np.int32)
        frames = place[self.molecule_idx] >= 0
        return SplitTotals(
            tuple(self.molecules[position] for position in positions),
            self.n_frames[positions],
            self.composition[positions],
            {name: sums.select(positions) for name, sums in self.forces.items()},
            place[self.molecule_idx[frames]],
            self.predicted_energy[frames],
            self.reference_energy[frames],
        )


@dataclass(frozen=True, slots=True)
class TaskTotals:
    """The input for the evaluation of a task.

    Attributes:
        task: Name of the task.
        protocol: How the model was trained on the task's molecules.
        train: Energies of training frames.
        test_id: Unseen frames of the training molecules.
        test_ood: Frames of the unseen combinations.
        training_parts: What `train` shows of its molecules; `None` if no geometry is known.
    """

    task: TaskName
    protocol: ProtocolName
    train: TrainFrames
    test_id: SplitTotals
    test_ood: SplitTotals
    training_parts: TrainingParts | None = None

    @classmethod
    def of(cls, frames: TaskFrames) -> "TaskTotals":
        """Sums frames that are all in memory."""
        sums = []
        for split in (frames.test_id, frames.test_ood):
            builder = TotalsBuilder(split.index.split, split.index.n_frames)
            builder.add(split)
            sums.append(builder.finish())
        return cls(frames.task, frames.protocol, frames.train, sums[0], sums[1], frames.training_parts)


class TotalsBuilder:
    """Sums a split piece by piece.

    Args:
        split: Name of the split.
        n_frames: Maximum number of frames to add.
    """

    def __init__(self, split: SplitName, n_frames: int) -> None:
        self._split = split
        self._molecules: dict[str, int] = {}
        self._known: list[Molecule] = []
        self._composition = np.zeros((0, N_ELEMENTS), dtype=np.int32)
        self._forces: dict[str, MoleculeSums] = {}
        self._molecule_idx = np.empty(n_frames, dtype=np.int32)
        self._energies = np.empty((2, n_frames))
        self._n_frames = 0
        self._failures: list[FailedFrame] = []
        self._conditions: ConditionSumsBuilder | None = ConditionSumsBuilder()

    def add(self, frames: SplitFrames) -> None:
        """Adds the frames of a piece; each frame may be added only once.

        Raises:
            DataError: If the word, subset or composition of a molecule changes, or a number is not finite.
        """
        index = frames.index
        for side, labels in (("reference", frames.reference), ("predicted", frames.predicted)):
            require_finite(f"{side} energies", labels.energy)
        positions = self._positions(index)
        self._require_composition(index, positions)
        terms = force_terms(frames.predicted.forces, frames.reference.forces)
        for name, ratio in terms.items():
            sums = sum_by_molecule(ratio, positions[index.atom_molecule_idx], len(self._known))
            before = self._forces.get(name)
            self._forces[name] = sums if before is None else _grown(before, len(self._known)).added(sums)
        if frames.traits is None:
            self._conditions = None
        elif self._conditions is not None:
            self._conditions.add(frames.traits, index, positions, terms["force_mae"].numerator)
        place = slice(self._n_frames, self._n_frames + index.n_frames)
        self._molecule_idx[place] = positions[index.molecule_idx]
        self._energies[0, place], self._energies[1, place] = frames.predicted.energy, frames.reference.energy
        self._n_frames = place.stop
        self._failures.extend(frames.failures)

    def finish(self) -> SplitTotals:
        """The sums over all pieces, with molecules ordered by name."""
        order = np.array([self._molecules[name] for name in sorted(self._molecules)], dtype=np.int64)
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        n = len(order)
        molecules = tuple(self._known[position] for position in order)
        names = tuple(molecule.molecule_id for molecule in molecules)
        molecule_idx = place[self._molecule_idx[: self._n_frames]]
        return SplitTotals(
            molecules,
            np.bincount(molecule_idx, minlength=n),
            self._composition[order],
            {name: _grown(sums, n).select(order) for name, sums in self._forces.items()},
            molecule_idx,
            self._energies[0, : self._n_frames],
            self._energies[1, : self._n_frames],
            tuple(self._failures),
            None if self._conditions is None else self._conditions.finish(names, order),
        )

    def _positions(self, index: FrameIndex) -> IntArray:
        positions = []
        for molecule in index.molecules:
            position = self._molecules.setdefault(molecule.molecule_id, len(self._known))
            if position == len(self._known):
                self._known.append(molecule)
            elif self._known[position] != molecule:
                raise DataError(
                    f"{molecule.molecule_id} of {self._split} is {self._known[position]} in one row and {molecule} in "
                    "another; expected the same word and subset in all rows of a molecule"
                )
            positions.append(position)
        return np.array(positions, dtype=np.int64)

    def _require_composition(self, index: FrameIndex, positions: IntArray) -> None:
        counts = composition_of(index.atomic_numbers, index.n_atoms)
        n_known = len(self._composition)
        grown = np.zeros((len(self._known), N_ELEMENTS), dtype=np.int32)
        grown[:n_known] = self._composition
        molecule = positions[index.molecule_idx]
        is_new = molecule >= n_known
        grown[molecule[is_new]] = counts[is_new]
        self._composition = grown
        differs = np.flatnonzero((counts != grown[molecule]).any(axis=1))
        if len(differs):
            at = int(differs[0])
            name = self._known[int(molecule[at])].molecule_id
            raise DataError(
                f"frame {int(index.frame[at])} of {name} in {self._split} has other atoms than another frame of this "
                "molecule; expected the same atoms in all frames"
            )


def _grown(sums: MoleculeSums, n_molecules: int) -> MoleculeSums:
    def longer(values: FloatArray) -> Float64Array:
        return np.concatenate([values, np.zeros(n_molecules - len(values))])

    return replace(sums, numerator=longer(sums.numerator), weight=longer(sums.weight))
