"""Packs frames with their neighbours, and forms the batches of a network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray
from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch
from harness.data.rows import SplitRows
from harness.inference.batching import ragged_indices
from harness.networks.graph import MoleculeGraph, pack_graph
from harness.train.growing_array import GrowingArray

if TYPE_CHECKING:
    from torch import Tensor

_FRAMES_PER_SEARCH: Final = 256
_BYTES_PER_ATOM: Final = 8 + 12 + 12
_BYTES_PER_PAIR: Final = 8


@dataclass(frozen=True, slots=True)
class PackedFrames:
    """Frames with labels and neighbours, packed one after the other, in memory or mapped from files.

    Attributes:
        atomic_numbers: Shape (n_atoms_total,), int64.
        positions: Shape (n_atoms_total, 3), float32, Å.
        forces: Shape (n_atoms_total, 3), float32, eV/Å.
        energy: Total energies minus reference energies, shape (n_frames,), float64, eV.
        n_atoms: Shape (n_frames,), int64.
        edges: Centre and neighbour of each edge, as indices within the frame, shape (2, n_edges_total), int32.
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
        """Number of frames."""
        return len(self.n_atoms)


@dataclass(frozen=True, slots=True)
class LabelledGraph:
    """A batch with labels on its device.

    Attributes:
        graph: The molecules.
        energy: Shape (n_structures,), float64, eV, minus reference energies.
        forces: Shape (n_atoms_total, 3), eV/Å.
        n_atoms: Shape (n_structures,), int64.
    """

    graph: MoleculeGraph
    energy: "Tensor"
    forces: "Tensor"
    n_atoms: "Tensor"


class FramePacker:
    """Packs the rows of a split, piece by piece, with the neighbours of their atoms.

    Args:
        cutoff: Distance within which atoms are neighbours, Å.
        folder: Folder of the files that hold what grows with the number of atoms; `None` for memory.
    """

    def __init__(self, cutoff: float, folder: Path | None = None) -> None:
        self._cutoff = cutoff
        self._atomic_numbers = GrowingArray(np.int64, (), folder)
        self._positions = GrowingArray(np.float32, (3,), folder)
        self._forces = GrowingArray(np.float32, (3,), folder)
        self._edges = GrowingArray(np.int32, (2,), folder)
        self._n_atoms: list[IntArray] = []
        self._n_edges: list[IntArray] = []

    def add(self, rows: SplitRows) -> None:
        """Packs one piece."""
        self._atomic_numbers.append(rows.atomic_numbers)
        self._positions.append(rows.positions)
        self._forces.append(rows.forces)
        self._n_atoms.append(rows.n_atoms)
        for start in range(0, len(rows), _FRAMES_PER_SEARCH):
            stop = min(start + _FRAMES_PER_SEARCH, len(rows))
            batch = structures_of(rows, start, stop)
            pairs = packed_neighbours(batch, self._cutoff)
            frame = batch.system_idx[pairs[0]]
            self._edges.append((pairs - batch.offsets[frame]).T)
            self._n_edges.append(np.bincount(frame, minlength=batch.n_structures))

    def packed(self, energy: FloatArray) -> PackedFrames:
        """All pieces; none can be added afterwards.

        Args:
            energy: Training targets, shape (n_frames,), eV.
        """
        return PackedFrames(
            atomic_numbers=self._atomic_numbers.whole(),
            positions=self._positions.whole(),
            forces=self._forces.whole(),
            energy=energy,
            n_atoms=np.concatenate(self._n_atoms),
            edges=self._edges.whole().T,
            n_edges=np.concatenate(self._n_edges),
        )


def largest_size(n_atoms: IntArray) -> int:
    """Upper bound of the size of packed frames, in bytes: that with every pair of atoms as neighbours.

    Args:
        n_atoms: Atoms of each frame, shape (n_frames,).
    """
    n_pairs = int((n_atoms * (n_atoms - 1)).sum())
    return _BYTES_PER_ATOM * int(n_atoms.sum()) + _BYTES_PER_PAIR * n_pairs


def structures_of(rows: SplitRows, start: int, stop: int) -> StructureBatch:
    """Consecutive rows of a split as the input of a potential."""
    atoms = slice(int(rows.offsets[start]), int(rows.offsets[stop]))
    return StructureBatch(
        rows.atomic_numbers[atoms], rows.positions[atoms], rows.n_atoms[start:stop], tuple(rows.smiles[start:stop])
    )


def batches(
    frames: PackedFrames, order: IntArray, batch_size: int, cutoff: float, device: "str | Any"
) -> Iterator[LabelledGraph]:
    """Packs frames into batches in a given order; the last batch may be smaller.

    Args:
        frames: Frames to take them from.
        order: Indices of the frames.
        batch_size: Frames per batch.
        cutoff: Neighbour cutoff, Å.
        device: Device of the batch.
    """
    atoms_before = np.concatenate([[0], np.cumsum(frames.n_atoms)])
    edges_before = np.concatenate([[0], np.cumsum(frames.n_edges)])
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        n_atoms, n_edges = frames.n_atoms[chosen], frames.n_edges[chosen]
        atoms = ragged_indices(atoms_before[chosen], n_atoms)
        edges = ragged_indices(edges_before[chosen], n_edges)
        first_atom = np.repeat(np.cumsum(n_atoms) - n_atoms, n_edges)
        edge_index = np.ascontiguousarray(frames.edges[:, edges] + first_atom)
        yield _on_device(frames, chosen, atoms, edge_index, cutoff, device)


def _on_device(
    frames: PackedFrames, chosen: IntArray, atoms: IntArray, edge_index: IntArray, cutoff: float, device: "str | Any"
) -> LabelledGraph:
    import torch

    def tensor(array: npt.NDArray[Any]) -> "Tensor":
        return torch.as_tensor(array, device=device)

    n_atoms = tensor(frames.n_atoms[chosen])
    graph = pack_graph(
        tensor(frames.atomic_numbers[atoms]), tensor(frames.positions[atoms]), n_atoms, tensor(edge_index), cutoff
    )
    return LabelledGraph(graph, tensor(frames.energy[chosen]), tensor(frames.forces[atoms]), n_atoms)
