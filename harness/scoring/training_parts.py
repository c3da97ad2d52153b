"""What `train` shows of its molecules, their SMILES and rotamers, and the traits of test frames beside it.

Memory grows with the number of distinct rotamers of `train`, about 100 bytes each, and not with its frames.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from dataset_builders.chemistry.conformations import CONTACT as CONTACT_DISTANCE
from dataset_builders.chemistry.conformations import end_contacts, rotamers
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.words import Word
from harness.data.rows import SplitRows
from harness.inference.batching import ragged_indices
from harness.scoring.frame_traits import APART, CONTACT, NO_PAIR, FrameTraits


@dataclass(frozen=True, slots=True)
class TrainingParts:
    """The molecules of `train` and their rotamers.

    Attributes:
        smiles: SMILES of the training molecules.
        rotamers: Rotamers of each molecule, by its name, each as the bytes of its wells.
        n_frames: Number of training frames.
        misfit: A frame that has other atoms than its SMILES; `None` if all fit.
    """

    smiles: frozenset[str] = frozenset()
    rotamers: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    n_frames: int = 0
    misfit: str | None = None


class TrainingPartsBuilder:
    """Collects the parts of `train` piece by piece."""

    def __init__(self) -> None:
        self._smiles: set[str] = set()
        self._rotamers: dict[str, set[bytes]] = {}
        self._n_frames = 0
        self._misfit: str | None = None

    def add(self, rows: SplitRows) -> None:
        """Adds the rows of a piece."""
        self._n_frames += len(rows)
        for frames in _by_molecule(rows):
            self._smiles.add(frames.smiles)
            if frames.misfit is None:
                self._rotamers.setdefault(frames.molecule_id, set()).update(frames.rotamers())
            self._misfit = self._misfit or frames.misfit

    def finish(self) -> TrainingParts:
        """The parts of all pieces."""
        rotamers_of = {name: frozenset(found) for name, found in self._rotamers.items()}
        return TrainingParts(frozenset(self._smiles), rotamers_of, self._n_frames, self._misfit)


def traits_of(rows: SplitRows, split: SplitName, training: TrainingParts, words: Mapping[str, Word]) -> FrameTraits:
    """The traits of test frames.

    Args:
        rows: A piece of a test split.
        split: Its name; no rotamer of an OOD molecule occurs in training.
        training: What `train` shows.
        words: Declared molecules of the task, by name.
    """
    is_seen = np.zeros(len(rows), dtype=np.bool_)
    contact = np.full(len(rows), NO_PAIR, dtype=np.int8)
    smiles, misfit = {}, None
    for frames in _by_molecule(rows):
        smiles[frames.molecule_id] = frames.smiles
        misfit = misfit or frames.misfit
        if frames.misfit is not None:
            continue
        known = training.rotamers.get(frames.molecule_id)
        if known and split != "test_ood":
            is_seen[frames.rows] = [each in known for each in frames.rotamers()]
        word = words.get(frames.molecule_id)
        if word is not None and all(word.ends) and word.smiles == frames.smiles:
            touches = end_contacts(frames.positions, word) < CONTACT_DISTANCE
            contact[frames.rows] = np.where(touches, CONTACT, APART)
    return FrameTraits(smiles, is_seen, contact, misfit)


@dataclass(frozen=True, slots=True)
class _MoleculeFrames:
    """The frames of one molecule in a piece; positions have shape (n_frames, n_atoms, 3), Å."""

    molecule_id: str
    smiles: str
    rows: IntArray
    positions: FloatArray
    misfit: str | None

    def rotamers(self) -> Iterable[bytes]:
        """The rotamer of each frame."""
        return (wells.tobytes() for wells in rotamers(self.positions, self.smiles))


def _by_molecule(rows: SplitRows) -> Iterator[_MoleculeFrames]:
    names, codes = np.unique(rows.molecule_id.astype(np.str_), return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = rows.offsets[:-1]
    for name, chosen in zip(names, np.split(order, np.cumsum(np.bincount(codes))[:-1]), strict=True):
        smiles = str(rows.smiles[chosen[0]])
        atoms = ragged_indices(starts[chosen], rows.n_atoms[chosen])
        misfit = _misfit(str(name), smiles, rows.n_atoms[chosen], rows.atomic_numbers[atoms])
        positions = np.empty((0, 0, 3)) if misfit else rows.positions[atoms].reshape(len(chosen), -1, 3)
        yield _MoleculeFrames(str(name), smiles, chosen, positions, misfit)


def _misfit(name: str, smiles: str, n_atoms: IntArray, atomic_numbers: IntArray) -> str | None:
    """How the frames of a molecule differ from its SMILES; an evaluation needs no SMILES, so this is no error."""
    try:
        numbers = atomic_numbers_of(smiles)
    except DataError as cause:
        return str(cause)
    if (n_atoms == len(numbers)).all() and (atomic_numbers.reshape(len(n_atoms), -1) == numbers).all():
        return None
    return f"a frame of {name} has other atoms, or another order of them, than its SMILES {smiles}"
