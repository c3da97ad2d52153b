"""Environments as vectors: the descriptors of ANI-2x, and the search for the nearest environments.

Source: atomic environment vectors (AEV), Smith et al., Chem. Sci. 8, 3192 (2017), with the parameters of ANI-2x
(Devereux et al., J. Chem. Theory Comput. 16, 4192, 2020), as TorchANI computes them. They have no learned weights.
"""

import functools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from dataset_builders.core.arrays import FloatArray, IntArray, require_shape
from dataset_builders.core.errors import DataError, MissingPackageError, ModelError, UsageError
from harness.core.batch import StructureBatch

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "float64"]

ELEMENTS: Final = (1, 6, 7, 8, 16, 9, 17)
"""Atomic numbers that the descriptors support, in the order of ANI-2x, which is that of the features."""

CUTOFF: Final = 5.1
"""Radial cutoff, Å. The cutoff of angles is 3.5 Å."""

N_FEATURES: Final = 1008
"""Features of an atom: 16 radial terms x 7 elements and 32 angular terms x 28 pairs of elements."""

_PADDED_ATOMS: Final = 2048
"""Atoms in one call of TorchANI, including padding; its temporary arrays then take some 100 MB."""

_SCORES_PER_BLOCK: Final = 1 << 23
_SPARE_CANDIDATES: Final = 8
"""Additional candidates whose distance is computed exactly, since the preceding search rounds."""


@dataclass(frozen=True, slots=True)
class Environments:
    """Atoms with their descriptors.

    Attributes:
        atomic_numbers: Shape (n_atoms,).
        descriptors: Shape (n_atoms, n_features).
    """

    atomic_numbers: IntArray
    descriptors: FloatArray

    def __post_init__(self) -> None:
        require_shape("descriptors", self.descriptors, (len(self.atomic_numbers), None))


def atomic_descriptors(batch: StructureBatch, precision: Precision = "float32") -> FloatArray:
    """The atomic environment vectors of all atoms of a batch.

    They are invariant under translation, rotation and reflection of a molecule; permuting atoms permutes their rows.

    Args:
        batch: Molecules of any sizes.
        precision: Precision of the arithmetic and of the result.

    Returns:
        Shape (n_atoms_total, 1008), dimensionless, non-negative.

    Raises:
        ModelError: If a molecule contains an element that ANI-2x does not support.
        MissingPackageError: If TorchANI is not installed.
    """
    import torch

    _require_known_elements(batch)
    computer = _computer(precision)
    features = np.empty((len(batch.atomic_numbers), N_FEATURES), dtype=precision)
    offsets = batch.offsets
    index_of = np.full(max(ELEMENTS) + 1, -1, dtype=np.int64)
    index_of[list(ELEMENTS)] = np.arange(len(ELEMENTS))
    for chosen in _of_like_size(batch.n_atoms):
        sizes = batch.n_atoms[chosen]
        row = np.repeat(np.arange(len(chosen)), sizes)
        column = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        atoms = offsets[chosen][row] + column
        species = np.full((len(chosen), int(sizes.max())), -1, dtype=np.int64)  # -1 marks padding
        coordinates = np.zeros((*species.shape, 3), dtype=precision)
        species[row, column] = index_of[batch.atomic_numbers[atoms]]
        coordinates[row, column] = batch.positions[atoms]
        with torch.inference_mode():
            found = computer(torch.as_tensor(species), torch.as_tensor(coordinates))
        features[atoms] = found.numpy()[row, column]
    return features


def nearest_distances(queries: Environments, references: Environments) -> FloatArray:
    """Distance of each environment to the nearest reference environment of the same element.

    Args:
        queries: Environments.
        references: Environments to compare with, such as those of training.

    Returns:
        Euclidean distances, shape (n_queries,); infinite if the references contain no atom of the element.

    Raises:
        ShapeError: If the numbers of features differ.
    """
    distances = np.full(len(queries.atomic_numbers), np.inf, dtype=queries.descriptors.dtype)
    known = np.isin(queries.atomic_numbers, references.atomic_numbers)
    if known.any():
        of_known = Environments(queries.atomic_numbers[known], queries.descriptors[known])
        distances[known] = nearest_environments(of_known, references, 1)[0][:, 0]
    return distances


def nearest_environments(queries: Environments, references: Environments, k: int) -> tuple[FloatArray, IntArray]:
    """The k nearest reference environments of the same element for each environment.

    Memory is bounded: the full matrix of distances between queries and references is never stored.

    Args:
        queries: Environments.
        references: Environments among which to search.
        k: Number of neighbours.

    Returns:
        Euclidean distances and indices of the references, both of shape (n_queries, k), nearest first; for equal
        distances the lower index comes first.

    Raises:
        UsageError: If k is below 1.
        DataError: If there are fewer than k references of an element.
        ShapeError: If the numbers of features differ.
    """
    if k < 1:
        raise UsageError(f"{k} nearest environments; expected 1 or more")
    require_shape("descriptors of the queries", queries.descriptors, (None, references.descriptors.shape[1]))
    distances = np.empty((len(queries.atomic_numbers), k), dtype=queries.descriptors.dtype)
    nearest = np.empty((len(queries.atomic_numbers), k), dtype=np.int64)
    for number in np.unique(queries.atomic_numbers):
        of_element = np.flatnonzero(references.atomic_numbers == number)
        if len(of_element) < k:
            raise DataError(
                f"{len(of_element)} reference environments of atomic number {number}; expected {k} or more. Use fewer "
                "neighbours, or more references"
            )
        asked = np.flatnonzero(queries.atomic_numbers == number)
        found = _search(queries.descriptors[asked], references.descriptors[of_element], k)
        distances[asked], nearest[asked] = found[0], of_element[found[1]]
    return distances, nearest


def _search(queries: FloatArray, references: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
    """The k nearest of some references, all of one element."""
    import torch

    # Features that are zero in all references contribute equally to every distance.
    used = references.any(axis=0)
    centre = references[:, used].mean(axis=0)  # centred values lose less to rounding
    rows = torch.as_tensor(references[:, used] - centre)
    half_squares = (rows**2).sum(dim=1) / 2.0
    n_candidates = min(len(references), k + _SPARE_CANDIDATES)
    distances = np.empty((len(queries), k), dtype=queries.dtype)
    nearest = np.empty((len(queries), k), dtype=np.int64)
    step = max(1, _SCORES_PER_BLOCK // len(references))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        scores = half_squares - torch.as_tensor(block[:, used] - centre) @ rows.T
        candidates = np.sort(scores.topk(n_candidates, dim=1, largest=False).indices.numpy(), axis=1)
        exact = np.stack(
            [np.linalg.norm(block - references[candidates[:, rank]], axis=1) for rank in range(n_candidates)], axis=1
        )
        order = np.argsort(exact, axis=1, kind="stable")[:, :k]
        distances[start : start + step] = np.take_along_axis(exact, order, axis=1)
        nearest[start : start + step] = np.take_along_axis(candidates, order, axis=1)
    return distances, nearest


def _of_like_size(n_atoms: IntArray) -> Iterator[IntArray]:
    """Indices of the structures, in groups of similar size that fit into one call."""
    order = np.argsort(n_atoms, kind="stable")[::-1]
    start = 0
    while start < len(order):
        count = max(1, _PADDED_ATOMS // int(n_atoms[order[start]]))
        yield order[start : start + count]
        start += count


def _require_known_elements(batch: StructureBatch) -> None:
    unknown = ~np.isin(batch.atomic_numbers, ELEMENTS)
    if unknown.any():
        atom = int(np.flatnonzero(unknown)[0])
        raise ModelError(
            f"{batch.smiles[batch.system_idx[atom]]} contains atomic number {batch.atomic_numbers[atom]}, which the "
            f"descriptors of ANI-2x do not support; expected one of {', '.join(map(str, sorted(ELEMENTS)))}"
        )


@functools.cache
def _computer(precision: Precision) -> "torch.nn.Module":
    import torch

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The extensions")  # optional CUDA kernels
            from torchani.aev import AEVComputer
    except ImportError as cause:
        raise MissingPackageError("torchani", "torchani", "Describing environments") from cause
    computer: Any = AEVComputer.like_2x(num_species=len(ELEMENTS), strategy="pyaev", neighborlist="all_pairs")
    module: torch.nn.Module = computer.to(getattr(torch, precision)).eval().requires_grad_(False)
    return module
