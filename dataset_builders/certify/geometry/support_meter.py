"""Measures the geometric support of test frames by training frames, in one pass over the rows.

Training frames must come first; all other frames are compared with them as they come. Memory is bounded: what is kept
of training are ranges of angles and distances, the set of rotamers of each molecule, and a sample of atoms.
"""

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np

from dataset_builders.certify.geometry.atom_sample import AtomSample
from dataset_builders.certify.geometry.seen_values import SeenValues
from dataset_builders.certify.geometry.support import MEASURED_SPLITS, Counts, GeometricSupport, Group, MeasuredSplit
from dataset_builders.certify.row_checks import Frames
from dataset_builders.chemistry.conformations import (
    CONTACT,
    dihedral_angles,
    end_atoms,
    end_contacts,
    end_hydrogen_bonds,
    rotamers,
)
from dataset_builders.chemistry.environments import Subset, subset_of
from dataset_builders.chemistry.mmff94 import atomic_numbers_of, molecule
from dataset_builders.chemistry.molecule_parts import torsion_types
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.words import Word

ANGLE_TOLERANCE: Final = 5.0
"""A torsion angle farther than this from all training angles of its type is unseen, degrees."""

DISTANCE_TOLERANCE: Final = 0.1
"""A distance of two heavy atoms farther than this from all training distances of their elements is unseen, Å."""

DISTANCE_LIMIT: Final = CONTACT
"""Only heavy atoms closer than this are compared, Å."""

_DISTANCE_END: Final = DISTANCE_LIMIT + DISTANCE_TOLERANCE
"""Training distances up to here can be near a distance below the limit."""

QUANTILE: Final = 0.95
"""An atom is remote if its descriptor is farther from training than those of this share of `test_id` atoms."""

N_TRAIN_ATOMS: Final = 10_000
N_TEST_ATOMS: Final = 5_000
"""Largest numbers of sampled atoms, of training and of each test split."""

SAMPLE_SEED: Final = 0


class SupportMeter:
    """Compares the frames of one configuration with its training frames.

    Args:
        config: Name of the configuration.
        task: Its task.
    """

    def __init__(self, config: str, task: Task) -> None:
        self._config = config
        self._task = task
        self._angles: SeenValues[str] = SeenValues(1.0, 180.0)
        self._distances: SeenValues[tuple[int, int]] = SeenValues(DISTANCE_TOLERANCE / 4.0, _DISTANCE_END)
        self._rotamers: defaultdict[str, set[bytes]] = defaultdict(set)
        self._counts: defaultdict[Group, Counts] = defaultdict(Counts)
        sizes = {"train": N_TRAIN_ATOMS, "test_id": N_TEST_ATOMS, "test_ood": N_TEST_ATOMS}
        self._atoms = {split: AtomSample(sizes[split], SAMPLE_SEED) for split in MEASURED_SPLITS}

    def add(self, frames: Frames, split: MeasuredSplit) -> None:
        """Adds frames; those of training before all others.

        Frames that are not finite or not of their molecule are left out: the row checks report them.
        """
        word = frames.word
        if word is None or frames.atomic_numbers.shape[1] != len(atomic_numbers_of(word.smiles)):
            return
        sound = frames.finite & (frames.atomic_numbers == atomic_numbers_of(word.smiles)).all(axis=1)
        positions = frames.positions[sound]
        if not len(positions):
            return
        subset: Subset = subset_of(self._task, word) if split == "test_ood" else ""
        group = Group(split, subset, word.spacer)
        self._atoms[split].add(word.smiles, positions, group)
        with np.errstate(invalid="ignore", divide="ignore"):  # coinciding atoms, which the row checks report
            if split == "train":
                self._learn(word, positions)
            self._counts[group] += self._compared(word, positions, split)

    def _learn(self, word: Word, positions: FloatArray) -> None:
        for name, angles in _folded_angles(word.smiles, positions):
            self._angles.add(name, angles)
        for pair, distances in _heavy_distances(word.smiles, positions):
            self._distances.add(pair, distances[distances < _DISTANCE_END])
        self._rotamers[word.smiles].update(_rows_as_bytes(rotamers(positions, word.smiles)))

    def _compared(self, word: Word, positions: FloatArray, split: MeasuredSplit) -> Counts:
        two_ended = all(end_atoms(word))
        contacts = end_contacts(positions, word) < CONTACT
        own = Counts(
            frames=len(positions),
            two_ended=len(positions) * two_ended,
            contacts=int(contacts.sum()),
            hydrogen_bonds=int(end_hydrogen_bonds(positions, word).sum()),
        )
        if split == "train":
            return own
        known = self._rotamers.get(word.smiles, set())
        seen = sum(each in known for each in _rows_as_bytes(rotamers(positions, word.smiles)))
        return own + self._angles_compared(word, positions) + self._distances_compared(word, positions, seen)

    def _angles_compared(self, word: Word, positions: FloatArray) -> Counts:
        unseen = np.zeros(len(positions), dtype=bool)
        n_torsions = n_beyond = 0
        has_unseen_type = False
        for name, angles in _folded_angles(word.smiles, positions):
            if name not in self._angles:
                has_unseen_type = True
                continue
            beyond = self._angles.distances(name, angles) > ANGLE_TOLERANCE
            n_torsions += beyond.size
            n_beyond += int(beyond.sum())
            unseen |= beyond.any(axis=1)
        return Counts(
            unseen_types=len(positions) * has_unseen_type,
            unseen_angles=int(unseen.sum()),
            torsions=n_torsions,
            torsions_beyond=n_beyond,
        )

    def _distances_compared(self, word: Word, positions: FloatArray, seen_rotamers: int) -> Counts:
        unseen = np.zeros(len(positions), dtype=bool)
        for pair, distances in _heavy_distances(word.smiles, positions):
            beyond = self._distances.distances(pair, distances) > DISTANCE_TOLERANCE
            unseen |= (beyond & (distances < DISTANCE_LIMIT)).any(axis=1)
        return Counts(seen_rotamers=seen_rotamers, unseen_pairs=int(unseen.sum()))

    def support(self) -> GeometricSupport:
        """The result; call it after all frames were added."""
        train, tested, unseen = (self._atoms[split].described() for split in MEASURED_SPLITS)
        counts = dict(self._counts)
        own = tested.distances_to(train)
        if len(own):  # without ID atoms, no distance is known to be usual
            limit = float(np.quantile(own, QUANTILE))
            for atoms, distances in ((tested, own), (unseen, unseen.distances_to(train))):
                remote = Counter(itertools.compress(atoms.groups, distances > limit))
                for group, number in Counter(atoms.groups).items():
                    counts[group] += Counts(atoms=number, remote_atoms=remote[group])
        order = sorted(counts, key=lambda each: (MEASURED_SPLITS.index(each.split), each.subset, each.spacer))
        return GeometricSupport(self._config, {group: counts[group] for group in order})


def _folded_angles(smiles: str, positions: FloatArray) -> Iterator[tuple[str, FloatArray]]:
    """Absolute torsion angles in degrees by type, each of shape (n_frames, n_torsions).

    A molecule and its mirror image have equal energies and mirrored forces, so an angle and its negative count as one.
    This also closes the circle: -179° and 179° become equal.
    """
    quadruples, slices = _torsions(smiles)
    degrees = np.abs(np.degrees(dihedral_angles(positions, quadruples)))
    for name, place in slices:
        yield name, degrees[:, place]


@functools.lru_cache(maxsize=4096)
def _torsions(smiles: str) -> tuple[IntArray, tuple[tuple[str, slice], ...]]:
    types = torsion_types(smiles)
    stops = list(itertools.accumulate((len(found) for found in types.values()), initial=0))
    places = (slice(*each) for each in itertools.pairwise(stops))
    quadruples = np.array([each for found in types.values() for each in found], dtype=np.int64).reshape(-1, 4)
    return quadruples, tuple(zip(types, places, strict=True))


def _heavy_distances(smiles: str, positions: FloatArray) -> Iterator[tuple[tuple[int, int], FloatArray]]:
    """Distances of heavy atoms in Å by pair of elements, each of shape (n_frames, n_pairs)."""
    for pair, first, second in _heavy_atom_pairs(smiles):
        arms = positions[:, first].astype(np.float64) - positions[:, second].astype(np.float64)
        yield pair, np.linalg.norm(arms, axis=2)


@functools.lru_cache(maxsize=4096)
def _heavy_atom_pairs(smiles: str) -> tuple[tuple[tuple[int, int], IntArray, IntArray], ...]:
    heavy = [(atom.GetAtomicNum(), atom.GetIdx()) for atom in molecule(smiles).GetAtoms() if atom.GetAtomicNum() > 1]
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for (element, atom), (other_element, other) in itertools.combinations(sorted(heavy), 2):
        found.setdefault((element, other_element), []).append((atom, other))
    return tuple((pair, *np.array(atoms, dtype=np.int64).T) for pair, atoms in found.items())


def _rows_as_bytes(rows: IntArray) -> list[bytes]:
    return [row.tobytes() for row in rows]
