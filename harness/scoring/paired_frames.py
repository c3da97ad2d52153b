"""Predictions and references of one task as arrays, the input of its evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray, require_shape
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName
from harness.core.potential import ProtocolName
from harness.scoring.frame_traits import FrameTraits
from harness.scoring.metric_terms import BoolArray
from harness.scoring.training_parts import TrainingParts

SUBSETS: Final = ("", "far", "near")
"""Values of the column `subset`; it is non-empty only for OOD molecules of task2 and task3."""


@dataclass(frozen=True, slots=True)
class Molecule:
    """A molecule of a split: its name, word and subset."""

    molecule_id: str
    left: str
    spacer: int
    right: str
    subset: str


@dataclass(frozen=True, slots=True)
class FailedFrame:
    """A frame that the potential could not compute, with the cause."""

    split: SplitName
    molecule: Molecule
    trajectory: str
    frame: int
    cause: str


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The frames of a table: molecule, trajectory and atoms of each.

    Attributes:
        split: Split of the frames.
        molecules: Molecules with at least one frame, ascending by `molecule_id`; see `index_molecules`.
        molecule_idx: Position in `molecules` of each frame, shape (n_frames,), integers.
        trajectory: `primary` or `secondary`, shape (n_frames,), strings.
        frame: Index in the trajectory, shape (n_frames,), integers.
        n_atoms: Atoms of each frame, shape (n_frames,), integers.
        atomic_numbers: Packed, shape (n_atoms_total,), integers.
    """

    split: SplitName
    molecules: tuple[Molecule, ...]
    molecule_idx: IntArray
    trajectory: npt.NDArray[np.str_]
    frame: IntArray
    n_atoms: IntArray
    atomic_numbers: IntArray

    def __post_init__(self) -> None:
        for name in ("molecule_idx", "trajectory", "frame", "n_atoms"):
            require_shape(f"{name} of {self.split}", getattr(self, name), (self.n_frames,))
        require_shape(f"atomic_numbers of {self.split}", self.atomic_numbers, (int(self.n_atoms.sum()),))
        if np.any(self.n_atoms < 1):
            raise DataError(f"n_atoms of {self.split} is {int(self.n_atoms.min())}; expected 1 or more")
        self._check_molecules()
        self._check_distinct()

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.n_atoms)

    @property
    def atom_molecule_idx(self) -> IntArray:
        """Position in `molecules` of each atom, shape (n_atoms_total,)."""
        return np.repeat(self.molecule_idx, self.n_atoms)

    def atoms_of(self, keep: BoolArray) -> BoolArray:
        """Which atoms belong to the frames marked True; shape (n_atoms_total,)."""
        return np.repeat(keep, self.n_atoms)

    def keep(self, keep: BoolArray) -> "FrameIndex":
        """The frames marked True, shape (n_frames,), with their molecules renumbered."""
        used, molecule_idx = np.unique(self.molecule_idx[keep], return_inverse=True)
        return FrameIndex(
            split=self.split,
            molecules=tuple(self.molecules[position] for position in used),
            molecule_idx=molecule_idx.astype(np.int64),
            trajectory=self.trajectory[keep],
            frame=self.frame[keep],
            n_atoms=self.n_atoms[keep],
            atomic_numbers=self.atomic_numbers[self.atoms_of(keep)],
        )

    def failed(self, causes: Mapping[int, str]) -> tuple[BoolArray, tuple[FailedFrame, ...]]:
        """Which frames remain, shape (n_frames,), and a record of each failed frame.

        Args:
            causes: Cause of each failure, by position of the frame.

        Raises:
            DataError: If a position is not one of a frame.
        """
        remain = np.ones(self.n_frames, dtype=np.bool_)
        records = []
        for position, cause in sorted(causes.items()):
            if not 0 <= position < self.n_frames:
                raise DataError(f"failure at frame {position} of {self.split}; it has {self.n_frames} frames")
            remain[position] = False
            molecule = self.molecules[self.molecule_idx[position]]
            trajectory, frame = str(self.trajectory[position]), int(self.frame[position])
            records.append(FailedFrame(self.split, molecule, trajectory, frame, cause))
        return remain, tuple(records)

    def _check_molecules(self) -> None:
        # A fixed order of the molecules makes sums, and so results, independent of the frame order.
        for before, after in pairwise(molecule.molecule_id for molecule in self.molecules):
            if before >= after:
                raise DataError(f"molecules of {self.split}: {after!r} follows {before!r}; expected ascending names")
        if not np.array_equal(np.unique(self.molecule_idx), np.arange(len(self.molecules))):
            raise DataError(
                f"molecule_idx of {self.split} does not use exactly the numbers from 0 to {len(self.molecules) - 1}, "
                "one per molecule; make it with index_molecules"
            )
        for molecule in self.molecules:
            if molecule.subset not in SUBSETS:
                raise DataError(f"subset of {molecule.molecule_id} is {molecule.subset!r}; expected one of {SUBSETS}")

    def _check_distinct(self) -> None:
        _, trajectory = np.unique(self.trajectory, return_inverse=True)
        keys = np.stack([self.molecule_idx, trajectory, self.frame], axis=1)
        distinct, first = np.unique(keys, axis=0, return_index=True)
        if len(distinct) < self.n_frames:
            again = int(np.setdiff1d(np.arange(self.n_frames), first)[0])
            raise DataError(
                f"{self.split} contains frame {int(self.frame[again])} of the {self.trajectory[again]} trajectory of "
                f"{self.molecules[self.molecule_idx[again]].molecule_id} more than once; expected once"
            )


@dataclass(frozen=True, slots=True)
class Labels:
    """Energies and forces for the frames of an index.

    Attributes:
        energy: Total energies, shape (n_frames,), float64, eV.
        forces: Shape (n_atoms_total, 3), eV/Å.
    """

    energy: FloatArray
    forces: FloatArray


@dataclass(frozen=True, slots=True)
class SplitFrames:
    """A test split: predictions and reference labels.

    Attributes:
        index: The frames, excluding failures.
        reference: Their labels in the data set.
        predicted: Predictions of the potential.
        failures: Frames of the split that the potential could not compute; see `without_failures`.
        traits: What their geometries say; `None` if no geometry is known.
    """

    index: FrameIndex
    reference: Labels
    predicted: Labels
    failures: tuple[FailedFrame, ...] = ()
    traits: FrameTraits | None = None

    def __post_init__(self) -> None:
        for name, labels in (("reference", self.reference), ("predicted", self.predicted)):
            _require_label_shapes(f"{name} {{}} of {self.index.split}", labels, self.index)

    def without_failures(self, causes: Mapping[int, str]) -> "SplitFrames":
        """Removes failed frames from the arrays and records them.

        Args:
            causes: Cause of each failure, by position of the frame; a failed frame may contain NaN.

        Raises:
            DataError: If a position is not one of a frame.
        """
        remain, failed = self.index.failed(causes)
        return replace(self.keep(remain), failures=self.failures + failed)

    def keep(self, keep: BoolArray) -> "SplitFrames":
        """The frames marked True, shape (n_frames,), without the failures."""
        atoms = self.index.atoms_of(keep)
        return SplitFrames(
            self.index.keep(keep),
            Labels(self.reference.energy[keep], self.reference.forces[atoms]),
            Labels(self.predicted.energy[keep], self.predicted.forces[atoms]),
            traits=None if self.traits is None else self.traits.keep(keep),
        )


@dataclass(frozen=True, slots=True)
class TrainFrames:
    """A sample of training frames; the reference shift is fitted on their energies. They enter no test metric.

    Their forces show how accurately a model reproduces its own training set.

    Attributes:
        index: The frames, excluding failures.
        reference_energy: Total energies in the data set, shape (n_frames,), eV.
        predicted_energy: Predictions of the potential, same shape and unit.
        failures: Frames that the potential could not compute; see `without_failures`.
        reference_forces: Forces in the data set, shape (n_atoms_total, 3), eV/Å; `None` if they are not needed.
        predicted_forces: Predictions of the potential, likewise.
    """

    index: FrameIndex
    reference_energy: FloatArray
    predicted_energy: FloatArray
    failures: tuple[FailedFrame, ...] = ()
    reference_forces: FloatArray | None = None
    predicted_forces: FloatArray | None = None

    def __post_init__(self) -> None:
        for name, forces in (("reference", self.reference_forces), ("predicted", self.predicted_forces)):
            if forces is not None:
                require_shape(f"{name} forces of train", forces, (len(self.index.atomic_numbers), 3))
        require_shape("reference energies of train", self.reference_energy, (self.index.n_frames,))
        require_shape("predicted energies of train", self.predicted_energy, (self.index.n_frames,))

    @classmethod
    def none(cls) -> "TrainFrames":
        """An empty sample, for a data set without a training split."""
        empty = np.empty(0, dtype=np.int64)
        index = FrameIndex("train", (), empty, np.empty(0, dtype=np.str_), empty, empty, empty)
        return cls(index, np.empty(0), np.empty(0))

    def without_failures(self, causes: Mapping[int, str]) -> "TrainFrames":
        """Removes failed frames from the arrays and records them; as in `SplitFrames.without_failures`."""
        remain, failed = self.index.failed(causes)
        atoms = self.index.atoms_of(remain)
        return TrainFrames(
            self.index.keep(remain),
            self.reference_energy[remain],
            self.predicted_energy[remain],
            self.failures + failed,
            None if self.reference_forces is None else self.reference_forces[atoms],
            None if self.predicted_forces is None else self.predicted_forces[atoms],
        )


@dataclass(frozen=True, slots=True)
class TaskFrames:
    """All inputs for the evaluation of one task.

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
    test_id: SplitFrames
    test_ood: SplitFrames
    training_parts: TrainingParts | None = None

    def __post_init__(self) -> None:
        expected: tuple[SplitName, ...] = ("train", "test_id", "test_ood")
        for split, index in zip(expected, (self.train.index, self.test_id.index, self.test_ood.index), strict=True):
            if index.split != split:
                raise DataError(f"frames of {index.split} are given where {self.task} expects frames of {split}")


def index_molecules(columns: Mapping[str, Sequence[Any] | npt.NDArray[Any]]) -> tuple[tuple[Molecule, ...], IntArray]:
    """Finds the distinct molecules of a table of frames.

    Args:
        columns: The columns `molecule_id`, `left`, `spacer`, `right` and `subset` of the data set, one
            value per frame; other columns are ignored.

    Returns:
        The molecules, ascending by `molecule_id`, and the position of each frame's molecule among them,
        shape (n_frames,), int64.

    Raises:
        DataError: If a column is missing, the lengths differ, or a molecule has two different words or subsets.
    """
    names = ("molecule_id", "left", "spacer", "right", "subset")
    missing = [name for name in names if name not in columns]
    if missing:
        raise DataError(f"no column {missing[0]!r}; expected the columns {', '.join(names)}")
    values = {name: np.asarray(columns[name], dtype=np.int64 if name == "spacer" else np.str_) for name in names}
    distinct, first, molecule_idx = np.unique(values["molecule_id"], return_index=True, return_inverse=True)
    for name in names:
        require_shape(f"column {name}", values[name], (len(molecule_idx),))
        differs = np.flatnonzero(values[name][first][molecule_idx] != values[name])
        if len(differs):
            at = int(differs[0])
            raise DataError(
                f"{values['molecule_id'][at]} has {name} {values[name][first[molecule_idx[at]]]} in one frame and "
                f"{values[name][at]} in another; expected one value per molecule"
            )
    left, spacer, right, subset = (values[name][first] for name in names[1:])
    molecules = tuple(
        Molecule(str(distinct[i]), str(left[i]), int(spacer[i]), str(right[i]), str(subset[i]))
        for i in range(len(distinct))
    )
    return molecules, molecule_idx.astype(np.int64)


def _require_label_shapes(name: str, labels: Labels, index: FrameIndex) -> None:
    require_shape(name.format("energies"), labels.energy, (index.n_frames,))
    require_shape(name.format("forces"), labels.forces, (len(index.atomic_numbers), 3))
