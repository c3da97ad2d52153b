"""Collects evidence on the labels of a configuration from its rows, without the program that computed them.

Two nearby frames of a molecule test energy and forces against each other: the energy rises by the work done against the
forces. The trapezoid -(F1 + F2)/2 . dx has an error from the curvature of the forces along the path, which is nearly
the same for every reasonable potential, so MMFF94, through RDKit, corrects it. For GFN2-xTB dynamics over 20 fs, the
trapezoid alone has a residual of 45 to 53 meV of 160 meV; with the correction it is 10 meV, and the slope of the energy
on the work is 0.998 to 1.000 (0.92 to 0.94 without).
"""

import math
from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dataset_builders.certify.row_checks import Frames
from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of
from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.editions import FRAMES_PER_BURST

CURVE_SHARE: Final = 0.3
"""Assumed relative error of MMFF94's correction."""

CURVE_SCALE: Final = 0.06
"""Additional error of a trapezoid over a path of length d: this times d^2 / sqrt(n_atoms), in eV for d in Å. With
`CURVE_SHARE`, 5,696 pairs of the mini edition, 20 to 80 fs apart and at two levels of theory, have a root mean square
deviation of 0.67 to 0.77 expected deviations, and a maximum of 4.8."""

PLAIN_CURVE_SCALE: Final = 0.35
"""Replaces both if MMFF94 has no parameters for the molecule: 0.90 to 1.15 and 6.8 for the same pairs."""

ENERGY_FLOOR: Final = 2e-3
"""Smallest expected deviation, eV: SCF convergence, integration grid, and energies written with few digits."""

ENERGY_ROUNDING: Final = 1e-7
"""Relative rounding error of total energies stored as float32."""

FAR_PAIR: Final = 8.0
"""Number of expected deviations beyond which a pair of frames deviates."""

FAR_PAIR_PLAIN: Final = 12.0
"""The same without MMFF94."""

PAIRS_KEPT: Final = 1_000
"""Most deviating pairs that are recorded individually."""

OPPOSED: Final = -0.2
"""Correlation of the forces of a frame with those of MMFF94 below which they are opposed. In 6,212 frames of
the mini edition the lowest is 0.28, and 1 % are below 0.65."""

_FIELD_LIMIT: Final = 1e6
"""Largest energy, eV, and force, eV/Å, of MMFF94 that are compared. Atoms that nearly coincide or are far away have
larger ones, which would outweigh all other frames, and coinciding atoms have NaN."""


@dataclass(frozen=True, slots=True)
class RowPlace:
    """Location of a row, for messages.

    Attributes:
        file: File, relative to the data-set folder.
        row: Index of the row in the file.
        molecule_id: Its molecule.
        frame: Trajectory and frame, such as `primary 12`.
    """

    file: str
    row: int
    molecule_id: str
    frame: str


@dataclass(frozen=True, slots=True)
class FarPair:
    """Two neighbouring frames whose energy difference is not the work between them.

    Attributes:
        first: The earlier frame.
        second: The later one.
        change: Difference of the energies, eV.
        work: Work done against the forces, eV.
        sigmas: Difference of the two in expected deviations.
    """

    first: RowPlace
    second: RowPlace
    change: float
    work: float
    sigmas: float


def _numbers() -> "array[float]":
    return array("d")


@dataclass(slots=True)
class MoleculeEvidence:
    """Evidence from the frames of one molecule; the arrays have one entry for each pair or frame.

    Attributes:
        smiles: Its SMILES.
        has_field: Whether MMFF94 has parameters for it.
        changes: Energy difference of each pair, eV.
        works: Trapezoid of the work of each pair, eV.
        corrections: Correction of the work by MMFF94, eV; 0 without parameters.
        sigmas: Expected deviation of each pair, eV.
        energies: Energy of each frame, eV.
        field_energies: MMFF94 energy of each frame, eV.
        products: Sums of F·F, F·M and M·M over all frames, for forces F and those of MMFF94, M, eV²/Å².
        first_forces: Forces of the first frame.
        same_forces: Whether all frames have these forces.
    """

    smiles: str
    has_field: bool
    changes: "array[float]" = field(default_factory=_numbers)
    works: "array[float]" = field(default_factory=_numbers)
    corrections: "array[float]" = field(default_factory=_numbers)
    sigmas: "array[float]" = field(default_factory=_numbers)
    energies: "array[float]" = field(default_factory=_numbers)
    field_energies: "array[float]" = field(default_factory=_numbers)
    products: FloatArray = field(default_factory=lambda: np.zeros(3))
    first_forces: FloatArray | None = None
    same_forces: bool = True


@dataclass(frozen=True, slots=True)
class _Frame:
    place: RowPlace
    number: int
    positions: FloatArray
    forces: FloatArray
    energy: float
    field_energy: float
    field_forces: FloatArray


class LabelEvidence:
    """Collects evidence on the labels of a configuration, by molecule.

    It stores the positions and forces of only one burst of each trajectory, so its size is that of the list of frames.
    """

    def __init__(self) -> None:
        self.molecules: dict[str, MoleculeEvidence] = {}
        self.far_pairs: list[FarPair] = []
        self.n_far_pairs = 0
        self.opposed: list[RowPlace] = []
        self.n_opposed = 0
        self._fields: dict[str, Mmff94 | None] = {}
        self._bursts: defaultdict[tuple[str, str], dict[int, _Frame]] = defaultdict(dict)

    def add(self, frames: Frames) -> None:
        """Adds rows of one molecule.

        Rows with wrong elements, with values that are not finite, or with atoms so close or so far apart that MMFF94
        has no usable value are ignored: the row checks report them.
        """
        word = frames.word
        if word is None or frames.atomic_numbers.shape[1] != len(atomic_numbers_of(word.smiles)):
            return
        potential = self._field(word.smiles)
        molecule = self.molecules.setdefault(
            frames.molecule_id, MoleculeEvidence(word.smiles, has_field=potential is not None)
        )
        usable = frames.finite & (frames.atomic_numbers == atomic_numbers_of(word.smiles)).all(axis=1)
        for index in np.flatnonzero(usable):
            frame = _frame(frames, int(index), potential)
            if potential is not None and not _is_comparable(frame):
                continue
            self._take_labels(molecule, frame)
            self._take_pairs(molecule, frame, str(frames.columns["trajectory"][index]))

    def _field(self, smiles: str) -> Mmff94 | None:
        if smiles not in self._fields:
            try:
                self._fields[smiles] = Mmff94(smiles)
            except UsageError:
                self._fields[smiles] = None
        return self._fields[smiles]

    def _take_labels(self, molecule: MoleculeEvidence, frame: _Frame) -> None:
        molecule.energies.append(frame.energy)
        molecule.field_energies.append(frame.field_energy)
        if molecule.first_forces is None:
            molecule.first_forces = frame.forces
        molecule.same_forces &= bool((molecule.first_forces == frame.forces).all())
        ours, theirs = frame.forces.ravel(), frame.field_forces.ravel()
        products = np.array([ours @ ours, ours @ theirs, theirs @ theirs])
        molecule.products += products
        if not products[0] or products[1] < OPPOSED * math.sqrt(products[0] * products[2]):
            self.n_opposed += 1
            if len(self.opposed) < PAIRS_KEPT:
                self.opposed.append(frame.place)

    def _take_pairs(self, molecule: MoleculeEvidence, frame: _Frame, trajectory: str) -> None:
        """Pairs a frame with its neighbours in the burst; a frame between two others gives two more pairs."""
        burst = self._bursts[frame.place.molecule_id, trajectory]
        if burst and next(iter(burst)) // FRAMES_PER_BURST != frame.number // FRAMES_PER_BURST:
            burst.clear()
        before = max((number for number in burst if number < frame.number), default=None)
        after = min((number for number in burst if number > frame.number), default=None)
        burst[frame.number] = frame
        if before is not None:
            self._take_pair(molecule, burst[before], frame)
        if after is not None:
            self._take_pair(molecule, frame, burst[after])

    def _take_pair(self, molecule: MoleculeEvidence, first: _Frame, second: _Frame) -> None:
        path = second.positions - first.positions
        change, work = second.energy - first.energy, _work(first.forces, second.forces, path)
        correction = 0.0
        if molecule.has_field:
            correction = second.field_energy - first.field_energy
            correction -= _work(first.field_forces, second.field_forces, path)
        scale = CURVE_SCALE if molecule.has_field else PLAIN_CURVE_SCALE
        sigma = math.hypot(
            scale * float((path**2).sum()) / math.sqrt(len(path)),
            CURVE_SHARE * correction,
            ENERGY_FLOOR + ENERGY_ROUNDING * abs(first.energy),
        )
        molecule.changes.append(change)
        molecule.works.append(work)
        molecule.corrections.append(correction)
        molecule.sigmas.append(sigma)
        deviation = abs(change - work - correction) / sigma
        if deviation > (FAR_PAIR if molecule.has_field else FAR_PAIR_PLAIN):
            self.n_far_pairs += 1
            if len(self.far_pairs) < PAIRS_KEPT:
                self.far_pairs.append(FarPair(first.place, second.place, change, work + correction, deviation))


def _frame(frames: Frames, index: int, potential: Mmff94 | None) -> _Frame:
    positions = frames.positions[index].astype(np.float64)
    field_energy, field_forces = (
        (math.nan, np.zeros_like(positions)) if potential is None else potential.singlepoint(positions)
    )
    number = int(frames.columns["frame"][index])
    name = f"{frames.columns['trajectory'][index]} {number}"
    return _Frame(
        place=RowPlace(frames.file, int(frames.rows[index]), frames.molecule_id, name),
        number=number,
        positions=positions,
        forces=frames.forces[index].astype(np.float64),
        energy=float(frames.columns["energy"][index]),
        field_energy=field_energy,
        field_forces=field_forces,
    )


def _is_comparable(frame: _Frame) -> bool:
    """Whether MMFF94 has usable values for a frame; false for NaN."""
    return bool(np.abs([frame.field_energy, *frame.field_forces.ravel()]).max() <= _FIELD_LIMIT)


def _work(first: FloatArray, second: FloatArray, path: FloatArray) -> float:
    """Trapezoid of the work done against the forces along a straight path, eV."""
    return -0.5 * float(((first + second) * path).sum())
