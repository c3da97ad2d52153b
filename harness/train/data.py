"""Training and validation frames, packed with their neighbours; test splits cannot be read here."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from dataset_builders.errors import DataError, UsageError
from dataset_builders.structures import FloatArray, IntArray
from dataset_builders.tasks import TaskName
from harness.batching import ragged_indices
from harness.checkpoints.format import symbol_of
from harness.dataset import UNKNOWN, PinnedDataset, content_hash, provenance_of, split_files
from harness.potentials.neighbours import packed_neighbours
from harness.reference_shift import count_elements
from harness.rows import SplitRows, read_split
from harness.structures import StructureBatch

if TYPE_CHECKING:
    from graph_pes import AtomicGraph
    from torch import Tensor

TrainingSplit = Literal["train", "validation"]
TRAINING_SPLITS: Final[tuple[TrainingSplit, ...]] = get_args(TrainingSplit)

_FRAMES_PER_SEARCH: Final = 256


@dataclass(frozen=True, slots=True)
class PackedFrames:
    """Frames with labels and neighbours, packed one after the other.

    Attributes:
        atomic_numbers: Shape (n_atoms_total,), int64.
        positions: Shape (n_atoms_total, 3), float32, Å.
        forces: Shape (n_atoms_total, 3), float32, eV/Å.
        energy: Total less reference energies, shape (n_frames,), float64, eV.
        n_atoms: Shape (n_frames,), int64.
        edges: Centre and neighbour of each edge, counted within the frame, shape (2, n_edges_total), int32.
        n_edges: Shape (n_frames,), int64.
    """

    atomic_numbers: IntArray
    positions: FloatArray
    forces: FloatArray
    energy: FloatArray
    n_atoms: IntArray
    edges: IntArray
    n_edges: IntArray

    @property
    def n_frames(self) -> int:
        """How many frames there are."""
        return len(self.n_atoms)


@dataclass(frozen=True, slots=True)
class LabelledGraph:
    """A batch on its device.

    Attributes:
        graph: The molecules.
        energy: Shape (n_structures,), float64, eV, less reference energies.
        forces: Shape (n_atoms_total, 3), eV/Å.
        n_atoms: Shape (n_structures,), int64.
    """

    graph: "AtomicGraph"
    energy: "Tensor"
    forces: "Tensor"
    n_atoms: "Tensor"


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that training sees of a task.

    Attributes:
        task: Configuration of the data set.
        train: Frames to fit.
        validation: Frames to choose by.
        n_molecules: Distinct training molecules.
        elements: Atomic numbers of the training molecules, ascending.
        reference_energies: Per-element energies fitted on `train`, eV, by symbol.
        reference_rank: Rank of the composition matrix of that fit.
        content_hash: sha256 over the relative path and the sha256 of each file that was read.
        edition: Edition that the files say they are.
        level_of_theory: Method of the labels, such as GFN2-xTB.
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


def read_training_data(directory: Path, task: TaskName, cutoff: float) -> TrainingData:
    """Reads the splits `train` and `validation` of a task.

    Args:
        directory: Data-set folder.
        task: Configuration.
        cutoff: Distance within which atoms are neighbours, Å.

    Raises:
        DataError: If a file is absent or corrupt, or `validation` holds an element that `train` does not.
    """
    dataset = pin_training_files(directory, task)
    train = read_training_split(dataset, task, "train")
    validation = read_training_split(dataset, task, "validation")
    elements = tuple(int(number) for number in np.unique(train.atomic_numbers))
    unknown = sorted(set(np.unique(validation.atomic_numbers).tolist()) - set(elements))
    if unknown:
        raise DataError(
            f"validation of {task} in {directory} holds {' '.join(symbol_of(number) for number in unknown)}, which "
            "train does not; build the data set again"
        )
    energies, rank = fit_reference_energies(train, elements)
    return TrainingData(
        task=task,
        train=_pack(train, elements, energies, cutoff),
        validation=_pack(validation, elements, energies, cutoff),
        n_molecules=len(set(train.molecule_id)),
        elements=elements,
        reference_energies={
            symbol_of(number): float(energy) for number, energy in zip(elements, energies, strict=True)
        },
        reference_rank=rank,
        content_hash=dataset.content_hash,
        edition=dataset.edition,
        level_of_theory=dataset.level_of_theory,
    )


def pin_training_files(directory: Path, task: TaskName) -> PinnedDataset:
    """Describes the part of a data set that training may read.

    `harness.dataset.open_dataset` reads every file, test splits included, to hash the whole; training
    must not, so the hash here is over the files of `train` and `validation` alone.

    Raises:
        DataError: If a file is absent or corrupt, or the files do not name one edition and one level of theory.
    """
    files = [path for split in TRAINING_SPLITS for path in split_files(directory, task, split)]
    provenance = {provenance_of(path) for path in files}
    edition, level_of_theory = next(iter(provenance))
    if len(provenance) != 1 or UNKNOWN in (edition, level_of_theory):
        raise DataError(
            f"the files of {task} in {directory} give {provenance} as edition and level of theory; expected one of "
            "each, in the metadata that `python -m dataset_builders build` writes"
        )
    return PinnedDataset(str(directory), directory, None, content_hash(directory, files), edition, level_of_theory)


def read_training_split(dataset: PinnedDataset, task: TaskName, split: str) -> SplitRows:
    """Reads one split for training.

    Raises:
        UsageError: If the split is not `train` or `validation`.
        DataError: If a file is absent or corrupt.
    """
    for allowed in TRAINING_SPLITS:
        if split == allowed:
            return read_split(dataset, task, allowed)
    raise UsageError(
        f"training was asked to read the split {split!r}; it may read {' and '.join(TRAINING_SPLITS)} only"
    )


def fit_reference_energies(train: SplitRows, elements: tuple[int, ...]) -> tuple[FloatArray, int]:
    """Fits one energy an element to the total energies of training frames, by least squares.

    Returns:
        Energies, shape (n_elements,), eV, and the rank of the composition matrix. Where the rank is
        below the number of elements, the solution of least norm is taken.
    """
    counts = count_elements(train.atomic_numbers, train.n_atoms, elements)
    energies, _, rank, _ = np.linalg.lstsq(counts, train.energy)
    return energies, int(rank)


def batches(
    frames: PackedFrames, order: IntArray, batch_size: int, cutoff: float, device: "str | Any"
) -> Iterator[LabelledGraph]:
    """Packs successive frames of an order into batches; the last one may be smaller.

    Args:
        frames: Where they are taken from.
        order: Numbers of the frames.
        batch_size: Frames of a batch.
        cutoff: Of the neighbours, Å.
        device: Where the batch goes.
    """
    atoms_before = np.concatenate([[0], np.cumsum(frames.n_atoms)])
    edges_before = np.concatenate([[0], np.cumsum(frames.n_edges)])
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        n_atoms, n_edges = frames.n_atoms[chosen], frames.n_edges[chosen]
        atoms = ragged_indices(atoms_before[chosen], n_atoms)
        edges = ragged_indices(edges_before[chosen], n_edges)
        first_atom = np.repeat(np.cumsum(n_atoms) - n_atoms, n_edges)
        yield _on_device(frames, chosen, atoms, frames.edges[:, edges] + first_atom, cutoff, device)


def _on_device(
    frames: PackedFrames, chosen: IntArray, atoms: IntArray, edge_index: IntArray, cutoff: float, device: "str | Any"
) -> LabelledGraph:
    import torch

    from harness.checkpoints.networks import pack_graph

    def tensor(array: npt.NDArray[Any]) -> "Tensor":
        return torch.as_tensor(array, device=device)

    n_atoms = tensor(frames.n_atoms[chosen])
    graph = pack_graph(
        tensor(frames.atomic_numbers[atoms]), tensor(frames.positions[atoms]), n_atoms, tensor(edge_index), cutoff
    )
    return LabelledGraph(graph, tensor(frames.energy[chosen]), tensor(frames.forces[atoms]), n_atoms)


def _pack(rows: SplitRows, elements: tuple[int, ...], energies: FloatArray, cutoff: float) -> PackedFrames:
    offsets = rows.offsets
    edges, n_edges = [], []
    for start in range(0, len(rows), _FRAMES_PER_SEARCH):
        stop = min(start + _FRAMES_PER_SEARCH, len(rows))
        atoms = slice(int(offsets[start]), int(offsets[stop]))
        batch = StructureBatch(
            rows.atomic_numbers[atoms], rows.positions[atoms], rows.n_atoms[start:stop], tuple(rows.smiles[start:stop])
        )
        pairs = packed_neighbours(batch, cutoff)
        frame = batch.system_idx[pairs[0]]
        edges.append((pairs - batch.offsets[frame]).astype(np.int32))
        n_edges.append(np.bincount(frame, minlength=batch.n_structures))
    reference = count_elements(rows.atomic_numbers, rows.n_atoms, elements) @ energies
    return PackedFrames(
        atomic_numbers=rows.atomic_numbers.astype(np.int64),
        positions=rows.positions,
        forces=rows.forces,
        energy=rows.energy - reference,
        n_atoms=rows.n_atoms,
        edges=np.concatenate(edges, axis=1),
        n_edges=np.concatenate(n_edges),
    )
