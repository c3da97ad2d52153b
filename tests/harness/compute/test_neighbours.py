"""Neighbours of packed molecules, against a cell list of ASE."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import UsageError
from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch
from tests.harness.potentials.molecules import molecules


def cloud(n_atoms: list[int], seed: int = 0, width: float = 4.0) -> StructureBatch:
    total = sum(n_atoms)
    return StructureBatch(
        atomic_numbers=np.ones(total, dtype=np.int64),
        positions=np.random.default_rng(seed).uniform(0.0, width, size=(total, 3)),
        n_atoms=np.array(n_atoms, dtype=np.int64),
        smiles=("",) * len(n_atoms),
    )


def pairs_one_by_one(batch: StructureBatch, cutoff: float) -> set[tuple[int, int]]:
    return {
        (centre, neighbour)
        for start, end in pairwise(batch.offsets.tolist())
        for centre in range(start, end)
        for neighbour in range(start, end)
        if centre != neighbour and np.linalg.norm(batch.positions[centre] - batch.positions[neighbour]) < cutoff
    }


@settings(deadline=None, max_examples=50)
@given(
    n_atoms=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    seed=st.integers(0, 2**32 - 1),
    cutoff=st.floats(0.1, 9.0),
)
def test_equals_a_loop_over_all_pairs(n_atoms: list[int], seed: int, cutoff: float) -> None:
    batch = cloud(n_atoms, seed)
    edges = packed_neighbours(batch, cutoff)
    assert edges.dtype == np.int64
    found = list(map(tuple, edges.T.tolist()))
    assert found == sorted(pairs_one_by_one(batch, cutoff))


def test_equals_the_cell_list_of_ase() -> None:
    from ase import Atoms
    from ase.neighborlist import neighbor_list

    batch = molecules()
    edges = packed_neighbours(batch, 2.5)
    expected = []
    for start, end in pairwise(batch.offsets.tolist()):
        atoms = Atoms(numbers=batch.atomic_numbers[start:end], positions=batch.positions[start:end])
        centre, neighbour = neighbor_list("ij", atoms, 2.5)
        expected += [(start + int(i), start + int(j)) for i, j in zip(centre, neighbour, strict=True)]
    assert list(map(tuple, edges.T.tolist())) == sorted(expected)


def test_structures_do_not_see_each_other() -> None:
    batch = cloud([2, 2], width=0.1)
    assert packed_neighbours(batch, 1.0).tolist() == [[0, 1, 2, 3], [1, 0, 3, 2]]


def test_a_pair_at_the_cutoff_is_left_out() -> None:
    batch = StructureBatch(np.ones(2, dtype=np.int64), np.array([[0.0, 0, 0], [0, 0, 2.0]]), np.array([2]), ("",))
    assert packed_neighbours(batch, 2.0).shape == (2, 0)
    assert packed_neighbours(batch, 2.0 + 1e-9).shape == (2, 2)


def test_single_atoms_and_no_structures_have_no_neighbours() -> None:
    assert packed_neighbours(cloud([1, 1]), 5.0).shape == (2, 0)
    assert packed_neighbours(cloud([]), 5.0).shape == (2, 0)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, float("nan")])
def test_a_cutoff_that_is_not_positive_is_refused(cutoff: float) -> None:
    with pytest.raises(UsageError, match="expected a positive number"):
        packed_neighbours(cloud([2]), cutoff)
