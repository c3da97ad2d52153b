"""Training and validation frames of a task; this module cannot read test splits."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from dataset_builders.chemistry.levels import GFN2, Level
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.folder.task_folders import task_in
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TaskName
from dataset_builders.tasks.task_document import task_metadata
from harness.data.dataset import UNKNOWN, PinnedDataset, content_hash, provenance_of, split_files
from harness.data.rows import BoolArray, ObjectArray, SplitRows, read_split, require_distinct, selected, stream_split
from harness.networks.checkpoint_format import symbol_of
from harness.scoring.reference_shift import count_elements
from harness.train.data_source import TRAINING_SPLITS, TrainingSplit
from harness.train.fewer_frames import first_frames
from harness.train.frame_storage import FrameStorage
from harness.train.packed_frames import FramePacker, PackedFrames, largest_size

Relabel: TypeAlias = Callable[[str, int, SplitRows], SplitRows]
"""Replaces the labels of a piece of a split, for example by labels minus the energies and forces of a baseline. It
receives the name of the split, the number of the piece, and its rows."""

_FRAMES_COUNTED_AT_ONCE: Final = 65_536


@dataclass(frozen=True, slots=True)
class FramePlan:
    """Which frames are trained on, with which labels, and where they are held.

    Attributes:
        relabel: Replaces the labels, if the network is not trained on the original ones.
        n_frames: Number of frames of `train`, chosen by `first_frames`; `None` for all.
        storage: Where frames are held; `None` for memory.
    """

    relabel: Relabel | None = None
    n_frames: int | None = None
    storage: FrameStorage | None = None


ALL_FRAMES: Final = FramePlan()


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All data of a task that training may use.

    Attributes:
        task: Configuration of the data set.
        train: Frames to fit.
        validation: Frames for model selection.
        n_molecules: Number of distinct training molecules.
        elements: Atomic numbers that the network supports, ascending.
        reference_energies: Energies of elements, eV, by symbol: fitted on `train`, or taken from the initial model
            of the training.
        reference_rank: Rank of the composition matrix of `train`.
        content_hash: sha256 over the relative path and the sha256 of each file read.
        edition: Edition named in the files.
        level_of_theory: Method of the labels, such as GFN2-xTB.
        declaration: Definition of a task that is none of the four, so that the checkpoint is usable without the data.
    """

    task: str
    train: PackedFrames
    validation: PackedFrames
    n_molecules: int
    elements: tuple[int, ...]
    reference_energies: Mapping[str, float]
    reference_rank: int
    content_hash: str
    edition: str
    level_of_theory: str
    declaration: Mapping[str, Any] = field(default_factory=dict)


def read_training_data(
    directory: Path,
    task: TaskName,
    cutoff: float,
    plan: FramePlan = ALL_FRAMES,
    reference_energies: Mapping[str, float] | None = None,
    level: Level = GFN2,
) -> TrainingData:
    """Reads the splits `train` and `validation` of a task, twice and piece by piece.

    Args:
        directory: Data-set folder.
        task: Configuration.
        cutoff: Distance within which atoms are neighbours, Å.
        plan: Which frames, with which labels, held where.
        reference_energies: From the initial model of the training, eV, by symbol; fitted on `train` by default.
        level: Level of theory of the labels.

    Raises:
        DataError: If a file is absent or corrupt, or `validation` contains an element that is not in `train`.
        ModelError: If the initial model of the training lacks an element of `train`.
        SetupError: If frames are to be held in files and there is no room for them.
        UsageError: If `train` has fewer frames than are asked for.
    """
    dataset = pin_training_files(directory, task, level)
    train, validation = (_outline(dataset, task, split) for split in TRAINING_SPLITS)
    seen = tuple(sorted(train.elements))
    unknown = sorted(validation.elements - train.elements)
    if unknown:
        raise DataError(
            f"validation of {task} in {directory} contains {' '.join(symbol_of(number) for number in unknown)}, which "
            "train lacks; build the data set again"
        )
    wanted = None if plan.n_frames is None else first_frames(train, plan.n_frames)
    n_atoms = [train.n_atoms if wanted is None else train.n_atoms[wanted], validation.n_atoms]
    folder = None if plan.storage is None else plan.storage.folder_for(sum(map(largest_size, n_atoms)))
    packers = [FramePacker(cutoff, folder) for _ in TRAINING_SPLITS]
    energy = [
        _pack(packer, _pieces(dataset, task, split, chosen, plan.relabel))
        for packer, split, chosen in zip(packers, TRAINING_SPLITS, (wanted, None), strict=True)
    ]
    frames = [packer.packed(each) for packer, each in zip(packers, energy, strict=True)]
    fitted, rank = _fitted_energies(frames[0], seen)
    if reference_energies is None:
        reference_energies = {symbol_of(number): float(each) for number, each in zip(seen, fitted, strict=True)}
    elements = _known_elements(reference_energies, seen)
    energies = np.array([reference_energies[symbol_of(number)] for number in elements])
    return TrainingData(
        task=task,
        train=_subtract(frames[0], elements, energies),
        validation=_subtract(frames[1], elements, energies),
        n_molecules=len(set(train.molecule_id)),
        elements=elements,
        reference_energies=reference_energies,
        reference_rank=rank,
        content_hash=dataset.content_hash,
        edition=dataset.edition,
        level_of_theory=dataset.level_of_theory,
        declaration=task_metadata(task_in(directory, task, level)),
    )


@dataclass(frozen=True, slots=True)
class _Outline:
    """What is kept of a split until its frames are packed.

    Attributes:
        molecule_id: Shape (n_rows,), text; so is the next one.
        trajectory: `primary` or `secondary`.
        frame: Index in the trajectory, shape (n_rows,).
        n_atoms: Shape (n_rows,).
        elements: Atomic numbers of all frames.
    """

    molecule_id: ObjectArray
    trajectory: ObjectArray
    frame: IntArray
    n_atoms: IntArray
    elements: frozenset[int]


def _outline(dataset: PinnedDataset, task: TaskName, split: str) -> _Outline:
    elements: set[int] = set()
    columns: list[tuple[ObjectArray, ObjectArray, IntArray, IntArray]] = []
    for rows in stream_training_split(dataset, task, split):
        elements.update(np.unique(rows.atomic_numbers).tolist())
        columns.append((rows.molecule_id, rows.trajectory, rows.frame, rows.n_atoms))
    molecule_id, trajectory, frame, n_atoms = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    found = _Outline(molecule_id, trajectory, frame, n_atoms, frozenset(elements))
    require_distinct(found, f"{split} of {task} in {dataset.directory}")
    return found


def _pieces(
    dataset: PinnedDataset, task: TaskName, split: str, wanted: BoolArray | None, relabel: Relabel | None
) -> Iterator[SplitRows]:
    """The frames of a split that are trained on, with their labels, piece by piece.

    Args:
        dataset: The data set.
        task: The task.
        split: The split.
        wanted: Which rows, shape (n_rows,); `None` for all.
        relabel: Replaces labels.
    """
    first = 0
    for piece, rows in enumerate(stream_training_split(dataset, task, split)):
        chosen = rows if wanted is None else selected(rows, wanted[first : first + len(rows)])
        first += len(rows)
        if len(chosen):
            yield chosen if relabel is None else relabel(split, piece, chosen)


def _pack(packer: FramePacker, pieces: Iterator[SplitRows]) -> FloatArray:
    """Packs all pieces of a split, and returns their energies, shape (n_frames,), eV."""
    energy = []
    for rows in pieces:
        packer.add(rows)
        energy.append(rows.energy)
    return np.concatenate(energy)


def pin_training_files(
    directory: Path, task: TaskName, level: Level = GFN2, needed: Collection[TrainingSplit] = TRAINING_SPLITS
) -> PinnedDataset:
    """Describes the part of a data set that training may read.

    `harness.data.dataset.open_dataset` reads every file, including test splits, to hash the whole. Training
    must not read test splits, so this hash covers only the files of `train` and `validation`.

    Args:
        directory: The data-set folder.
        task: The task.
        level: Level of theory of the labels.
        needed: Splits that may not be missing by design.

    Raises:
        DataError: If a file is absent or corrupt, a needed split or each split for training is missing by design, or
            the files do not name one edition and one level of theory.
    """
    left_out = _left_out(directory, task, level, needed)
    present = [split for split in TRAINING_SPLITS if split not in left_out]
    files = [path for split in present for path in split_files(directory, task, split, level)]
    provenance = {(found.edition, found.level_of_theory) for found in map(provenance_of, files)}
    edition, level_of_theory = next(iter(provenance))
    if len(provenance) != 1 or UNKNOWN in (edition, level_of_theory):
        raise DataError(
            f"the files of {level.config(task)} in {directory} state {provenance} as edition and level of theory; "
            "expected one of each, in the metadata that `python -m dataset_builders build` writes"
        )
    content = content_hash(directory, files)
    return PinnedDataset(str(directory), directory, None, content, edition, level_of_theory, level)


def _left_out(directory: Path, task: TaskName, level: Level, needed: Collection[TrainingSplit]) -> set[SplitName]:
    """Splits that are missing by design, as a test-only edition has no `validation`; none of them may be needed."""
    folder = directory / level.config(task)
    present = [path for split in TRAINING_SPLITS for path in sorted(folder.glob(f"{split}-*.parquet"))]
    left_out = {split for path in present for split in provenance_of(path).left_out}
    for split in TRAINING_SPLITS:
        if split in left_out and (split in needed or left_out.issuperset(TRAINING_SPLITS)):
            raise DataError(
                f"{folder} has no frames of {split}, as its files state; training needs "
                f"{' and '.join(TRAINING_SPLITS)}. Label them too, or train on labels of another level"
            )
    return left_out


def read_training_split(dataset: PinnedDataset, task: TaskName, split: str) -> SplitRows:
    """Reads one split for training.

    Raises:
        UsageError: If the split is not `train` or `validation`.
        DataError: If a file is absent or corrupt.
    """
    return read_split(dataset, task, _training_split(split))


def stream_training_split(dataset: PinnedDataset, task: TaskName, split: str) -> Iterator[SplitRows]:
    """Reads one split for training, piece by piece; the caller must check for duplicate frames.

    Raises:
        UsageError: If the split is not `train` or `validation`.
        DataError: If a file is absent or corrupt.
    """
    return stream_split(dataset, task, _training_split(split))


def _training_split(name: str) -> TrainingSplit:
    for allowed in TRAINING_SPLITS:
        if name == allowed:
            return allowed
    raise UsageError(f"training must not read the split {name!r}; expected {' or '.join(TRAINING_SPLITS)}")


def fit_reference_energies(train: SplitRows, elements: tuple[int, ...]) -> tuple[FloatArray, int]:
    """Fits one energy per element to the total energies of training frames, by least squares.

    Returns:
        Energies, shape (n_elements,), eV, and the rank of the composition matrix. If the rank is
        below the number of elements, the solution has least norm.
    """
    return _least_squares(count_elements(train.atomic_numbers, train.n_atoms, elements), train.energy)


def _fitted_energies(frames: PackedFrames, elements: tuple[int, ...]) -> tuple[FloatArray, int]:
    """As `fit_reference_energies`, for packed frames with their total energies."""
    return _least_squares(_composition(frames, elements), frames.energy)


def _least_squares(counts: FloatArray, energy: FloatArray) -> tuple[FloatArray, int]:
    energies, _, rank, _ = np.linalg.lstsq(counts, energy, rcond=None)
    return energies, int(rank)


def _composition(frames: PackedFrames, elements: tuple[int, ...]) -> FloatArray:
    """Atoms of each element in each frame, shape (n_frames, n_elements); memory holds a part of the atoms at a time."""
    ends = np.cumsum(frames.n_atoms)
    parts = []
    for start in range(0, frames.n_frames, _FRAMES_COUNTED_AT_ONCE):
        n_atoms = frames.n_atoms[start : start + _FRAMES_COUNTED_AT_ONCE]
        end = int(ends[start + len(n_atoms) - 1])
        parts.append(count_elements(frames.atomic_numbers[end - int(n_atoms.sum()) : end], n_atoms, elements))
    return np.concatenate(parts)


def shifted(data: TrainingData, predicted: FloatArray) -> TrainingData:
    """Shifts the reference energies to the level of theory of the labels.

    One energy per element is fitted, by least squares, to the difference between labels and predictions on `train`;
    elements that are not in `train` keep the reference energy of the model.

    Args:
        data: Frames, with the reference energies of the model.
        predicted: Predictions of its network for the frames of `train`, shape (n_frames,), eV.
    """
    counts = _composition(data.train, data.elements)
    # Least norm, so that the energy of an absent element gets a shift of zero.
    shift, _, _, _ = np.linalg.lstsq(counts, data.train.energy - predicted, rcond=None)
    symbols = [symbol_of(number) for number in data.elements]
    return replace(
        data,
        train=_subtract(data.train, data.elements, shift),
        validation=_subtract(data.validation, data.elements, shift),
        reference_energies={
            symbol: data.reference_energies[symbol] + float(each) for symbol, each in zip(symbols, shift, strict=True)
        },
    )


def _subtract(frames: PackedFrames, elements: tuple[int, ...], energies: FloatArray) -> PackedFrames:
    return replace(frames, energy=frames.energy - _composition(frames, elements) @ energies)


def _known_elements(reference_energies: Mapping[str, float], seen: tuple[int, ...]) -> tuple[int, ...]:
    from ase.data import atomic_numbers

    known = tuple(sorted(int(atomic_numbers[symbol]) for symbol in reference_energies))
    missing = [symbol_of(number) for number in seen if number not in known]
    if missing:
        raise ModelError(
            f"the initial model has no parameters for {' '.join(missing)}, which train contains; it supports "
            f"{' '.join(symbol_of(number) for number in known)}. Choose another model or task"
        )
    return known
