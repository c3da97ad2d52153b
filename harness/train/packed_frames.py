"""Packs frames with their neighbours, and forms the batches of a network."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from dataset_builders.core.arrays import FloatArray, IntArray
from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch
from harness.data.rows import SplitRows
from harness.inference.batching import ragged_indices
from harness.networks.graph import MoleculeGraph, pack_graph

if TYPE_CHECKING:
    from torch import Tensor

_FRAMES_PER_SEARCH: Final = 256


@dataclass(frozen=True, slots=True)
class PackedFrames:
    """Frames with labels and neighbours, packed one after the other.

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


def pack(rows: SplitRows, energy: FloatArray, cutoff: float) -> PackedFrames:
    """Packs the rows of a split with the neighbours of their atoms.

    Args:
        rows: The frames.
        energy: Training targets, shape (n_frames,), eV.
        cutoff: Distance within which atoms are neighbours, Å.
    """
    edges, n_edges = [], []
    for start in range(0, len(rows), _FRAMES_PER_SEARCH):
        stop = min(start + _FRAMES_PER_SEARCH, len(rows))
        batch = structures_of(rows, start, stop)
        pairs = packed_neighbours(batch, cutoff)
        frame = batch.system_idx[pairs[0]]
        edges.append((pairs - batch.offsets[frame]).astype(np.int32))
        n_edges.append(np.bincount(frame, minlength=batch.n_structures))
    return PackedFrames(
        atomic_numbers=rows.atomic_numbers.astype(np.int64),
        positions=rows.positions,
        forces=rows.forces,
        energy=energy,
        n_atoms=rows.n_atoms,
        edges=np.concatenate(edges, axis=1),
        n_edges=np.concatenate(n_edges),
    )


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
        yield _on_device(frames, chosen, atoms, frames.edges[:, edges] + first_atom, cutoff, device)


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
