"""Checks across rows: duplicates, bursts, completeness, and outlying energies of a configuration.

The ledger stores names, hashes, energies and sixteen distances of each frame, but no positions or forces, so its size
is that of the list of frames and not of the data.
"""

import hashlib
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from dataset_builders.certify.row_checks import Frames, Place, Problem
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.same_geometry import earlier_equals, signatures
from dataset_builders.chemistry.sampling import RECIPE
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.units import BOLTZMANN
from dataset_builders.folder.provenance import ImportRecord
from dataset_builders.tasks.editions import (
    FRAMES_PER_BURST,
    SPLIT_TRAJECTORY,
    SPLITS,
    TRAJECTORIES,
    Edition,
    SplitName,
    TrajectoryName,
)
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.split_words import words_of_split
from dataset_builders.tasks.words import parse_word

ENERGY_SIGMAS: Final = 10.0
"""Largest deviation of a frame's energy from the median of its molecule, in standard deviations of a classical harmonic
molecule, sqrt(3 n_atoms / 2) kT: 1 to 2 eV. The maximum in 4,790 frames of 96 molecules (GFN2-xTB) was 4.8; one more
CH2 group changes the energy by 86 eV."""

COMPOSITION_LIMIT: Final = 5.0
"""Largest residual of a molecule's median energy from a fit on element counts, eV. Residuals of correct molecules are
chemistry: at most 1.64 eV in any of the four tasks, for one GFN2-xTB energy per molecule. NH2 instead of OH changes the
energy by 17 eV; Cl instead of OH only by 0.03 eV, which no check of energies can detect."""


class _Entry(NamedTuple):
    file: str
    row: int
    split: SplitName


class _Named(NamedTuple):
    entry: _Entry
    trajectory: str
    frame: int


class _Energies(NamedTuple):
    file: str
    rows: IntArray
    trajectory: npt.NDArray[Any]
    frame: IntArray
    energy: FloatArray


class FrameHashes:
    """Hashes of the frames of a folder, to compare the same frame in several configurations."""

    def __init__(self) -> None:
        self._geometries: dict[tuple[str, str, int], tuple[bytes, str]] = {}
        self._labels: dict[tuple[str, str, int, str], tuple[bytes, str]] = {}

    def add(self, frames: Frames, place: Place) -> Iterator[Problem]:
        """Adds frames; yields those that differ from the same frame in another configuration."""
        for index, geometry in enumerate(geometry_hashes(frames)):
            key = _key(frames, index)
            known, config = self._geometries.setdefault(key, (geometry, place.config))
            if known != geometry and config != place.config:
                yield frames.problem(index, "different elements or positions", f"those of this frame in {config}")
            label = _digest(frames.columns["energy"][index].tobytes() + frames.forces[index].tobytes())
            known, config = self._labels.setdefault((*key, place.level.method), (label, place.config))
            if known != label and config != place.config:
                yield frames.problem(index, "a different energy or forces", f"those of this frame in {config}")


class ConfigLedger:
    """The frames of one configuration.

    Args:
        config: Name of the configuration.
        task: Its task.
    """

    def __init__(self, config: str, task: Task) -> None:
        self.config = config
        self.task = task
        self.n_rows: Counter[SplitName] = Counter()
        self.smiles: dict[SplitName, dict[str, str]] = {split: {} for split in SPLITS}
        self._frames: dict[tuple[str, str, int], _Entry] = {}
        self._geometries: dict[bytes, _Entry] = {}
        self._bursts: dict[tuple[str, str, int], SplitName] = {}
        self._found: defaultdict[tuple[SplitName, str], list[int]] = defaultdict(list)
        self._energies: defaultdict[str, list[_Energies]] = defaultdict(list)
        self._signatures: defaultdict[tuple[str, int], list[tuple[FloatArray, list[_Named]]]] = defaultdict(list)

    def add(self, frames: Frames, place: Place) -> Iterator[Problem]:
        """Adds frames; yields duplicates and bursts that are in two splits."""
        word = frames.word
        if word is not None and (frames.columns["smiles"] == word.smiles).any():
            self.smiles[place.split][frames.molecule_id] = word.smiles
        self._found[place.split, frames.molecule_id].extend(int(frame) for frame in frames.columns["frame"])
        finite, whole = frames.finite, []
        for index, geometry in enumerate(geometry_hashes(frames)):
            entry = _Entry(frames.file, int(frames.rows[index]), place.split)
            yield from self._duplicates(frames, index, geometry, entry)
            molecule_id, trajectory, frame = _key(frames, index)
            if self._geometries[geometry] is entry and finite[index]:
                whole.append((index, _Named(entry, trajectory, frame)))
            burst = (molecule_id, trajectory, frame // FRAMES_PER_BURST)
            split = self._bursts.setdefault(burst, place.split)
            if split != place.split:
                yield frames.problem(index, f"burst {burst[2]} in {place.split} and in {split}", "a burst in one split")
        if whole:
            found = signatures(frames.positions[[index for index, _ in whole]])
            self._signatures[frames.molecule_id, frames.positions.shape[1]].append((found, [each for _, each in whole]))
        self._keep_energies(frames)

    def _duplicates(self, frames: Frames, index: int, geometry: bytes, entry: _Entry) -> Iterator[Problem]:
        same_name = self._frames.setdefault(_key(frames, index), entry)
        if same_name != entry:
            yield frames.problem(index, f"a frame that is also {same_name.file} row {same_name.row}", "each frame once")
        same_geometry = self._geometries.setdefault(geometry, entry)
        if same_geometry not in (entry, same_name):
            seen = f"the positions of {same_geometry.file} row {same_geometry.row}"
            yield frames.problem(index, seen, "each geometry once")

    def _keep_energies(self, frames: Frames) -> None:
        if frames.word is None:
            return
        chosen = frames.finite
        columns = frames.columns
        kept = (columns[name][chosen] for name in ("trajectory", "frame", "energy"))
        self._energies[frames.molecule_id].append(_Energies(frames.file, frames.rows[chosen], *kept))

    def n_molecules(self, split: SplitName) -> int:
        """Number of distinct molecules in a split."""
        return sum(found == split for found, _ in self._found)

    def import_problems(self, split: SplitName, record: ImportRecord) -> Iterator[Problem]:
        """Molecules of imported data whose frames in a split differ from the metadata.

        Args:
            split: The split, with all its files added.
            record: Import record of the metadata.
        """
        words = self.task.ood_words() if split == "test_ood" else self.task.train_words()
        for word in words:
            wanted = record.frames_of(word.molecule_id, split)
            yield from self._differences(split, word.molecule_id, wanted, f"{len(wanted)} frames, as in the metadata")

    def completeness_problems(
        self,
        split: SplitName,
        edition: Edition | None,
        count: int | None = None,
        molecules: Collection[str] = (),
    ) -> Iterator[Problem]:
        """Missing molecules of a split, and molecules whose frames differ from the edition.

        Args:
            split: The split, with all its files added.
            edition: Edition according to the files; without one, all molecules must have the same frames.
            count: Number of frames of each molecule according to the files, if not all of the edition.
            molecules: Ids of the molecules of a slice according to the files; empty for all of the task.
        """
        words = words_of_split(self.task, split, molecules)
        found = {word.molecule_id: set(self._found.get((split, word.molecule_id), ())) for word in words}
        wanted = set().union(*found.values()) if edition is None else set(edition.frames(split, count))
        expected = f"{len(wanted)} frames of each molecule"
        if edition is not None:
            expected += f", those of the first bursts of edition {edition.name}"
            expected += "" if count is None else f", of which {count} according to the metadata"
        for molecule_id in found:
            yield from self._differences(split, molecule_id, wanted, expected)

    def _differences(self, split: SplitName, molecule_id: str, wanted: set[int], expected: str) -> Iterator[Problem]:
        frames = set(self._found.get((split, molecule_id), ()))
        for difference, what in ((wanted - frames, "without"), (frames - wanted, "with")):
            if difference:
                seen = f"{len(frames)} frames in {split}, {what} {_shortened(sorted(difference))}"
                yield Problem(self.config, None, molecule_id, SPLIT_TRAJECTORY[split], seen, expected)

    def energy_problems(self, temperature: float = RECIPE.temperature) -> Iterator[Problem]:
        """Energies far from those of the same molecule, or from the value expected for its composition.

        Args:
            temperature: Sampling temperature of the frames, K.
        """
        medians = {}
        for molecule_id, parts in sorted(self._energies.items()):
            energy = np.concatenate([part.energy for part in parts])
            if len(energy):
                medians[molecule_id] = float(np.median(energy))
                limit = ENERGY_SIGMAS * math.sqrt(1.5 * len(self._numbers(molecule_id))) * BOLTZMANN * temperature
                yield from _strays(molecule_id, parts, medians[molecule_id], limit)
        numbers = {molecule_id: self._numbers(molecule_id) for molecule_id in medians}
        for molecule_id, residual in _composition_residuals(medians, numbers).items():
            if abs(residual) > COMPOSITION_LIMIT:
                seen = f"a median energy {residual:+.1f} eV from a fit of all molecules on their element counts"
                yield Problem(self.config, None, molecule_id, "", seen, f"at most {COMPOSITION_LIMIT:g} eV")

    def geometry_problems(self) -> Iterator[Problem]:
        """Geometries of a molecule that occur twice, moved, mirrored or rounded; `add` yields those with equal bits."""
        for (molecule_id, _), parts in sorted(self._signatures.items()):
            named = [each for _, of_part in parts for each in of_part]
            earlier = earlier_equals(np.concatenate([found for found, _ in parts]))
            for index in np.flatnonzero(earlier >= 0):
                (entry, trajectory, frame), (same, *_) = named[index], named[earlier[index]]
                seen = f"the geometry of {same.file} row {same.row}, moved, mirrored or rounded"
                yield Problem(entry.file, entry.row, molecule_id, f"{trajectory} {frame}", seen, "each geometry once")

    def energy_series(self) -> dict[tuple[str, TrajectoryName], FloatArray]:
        """Energies of each molecule and trajectory, in the order of the frames, eV."""
        series = {}
        for molecule_id, parts in sorted(self._energies.items()):
            trajectory, frame, energy = (
                np.concatenate([getattr(part, name) for part in parts]) for name in ("trajectory", "frame", "energy")
            )
            for name in TRAJECTORIES:
                chosen = np.flatnonzero(trajectory == name)
                if len(chosen):
                    series[molecule_id, name] = energy[chosen][np.argsort(frame[chosen], kind="stable")]
        return series

    def _numbers(self, molecule_id: str) -> IntArray:
        return atomic_numbers_of(parse_word(molecule_id, self.task.vocabulary).smiles)


def _strays(molecule_id: str, parts: Sequence[_Energies], median: float, limit: float) -> Iterator[Problem]:
    for part in parts:
        offsets = part.energy - median
        for index in np.flatnonzero(np.abs(offsets) > limit):
            frame = f"{part.trajectory[index]} {part.frame[index]}"
            seen = f"an energy {offsets[index]:+.2f} eV from the median of its molecule"
            yield Problem(part.file, int(part.rows[index]), molecule_id, frame, seen, f"at most {limit:.2f} eV")


def _composition_residuals(medians: dict[str, float], numbers: dict[str, IntArray]) -> dict[str, float]:
    """Residuals of a fit of energies on element counts, eV, by molecule.

    The fit minimises absolute deviations by reweighted least squares: with ordinary least squares, a molecule with a
    wrong energy biases the fit and makes others look wrong. Its design matrix may be rank-deficient (the C and H counts
    of a homologous series are collinear), but the residuals are unique.
    """
    if not medians:
        return {}
    elements = np.unique(np.concatenate(list(numbers.values())))
    counts = np.array([(each[:, None] == elements).sum(axis=0) for each in numbers.values()], dtype=np.float64)
    energies = np.array(list(medians.values()))
    weights = np.ones(len(energies))
    residuals = energies
    for _ in range(50):
        fit, *_ = np.linalg.lstsq(counts * weights[:, None], energies * weights, rcond=None)
        residuals = energies - counts @ fit
        weights = 1.0 / np.sqrt(np.maximum(np.abs(residuals), 0.1))
    return dict(zip(medians, residuals.tolist(), strict=True))


def _shortened(frames: list[int]) -> str:
    shown = ", ".join(str(frame) for frame in frames[:5])
    return f"frame {shown}" + (f" and {len(frames) - 5} more" if len(frames) > 5 else "")


def _key(frames: Frames, index: int) -> tuple[str, str, int]:
    # Interned, since the same names occur in hundreds of thousands of keys.
    trajectory = sys.intern(str(frames.columns["trajectory"][index]))
    return sys.intern(frames.molecule_id), trajectory, int(frames.columns["frame"][index])


def geometry_hashes(frames: Frames) -> list[bytes]:
    """A hash of the elements and positions of each frame."""
    return [
        _digest(numbers.tobytes() + positions.tobytes())
        for numbers, positions in zip(frames.atomic_numbers, frames.positions, strict=True)
    ]


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).digest()
