import math

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dataset_builders.chemistry.atom_descriptors import N_FEATURES, atom_descriptors, nearest_distances
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.core.errors import DataError, ShapeError
from dataset_builders.tasks.words import word

WORDS = (word("OH", 1, "H"), word("SH", 2, "Cl"), word("NH2", 3, "F"), word("CONH2", 6, "CN"))
"""All seven elements and four sizes."""


def described(smiles):
    """The descriptors of all atoms of a conformer."""
    positions, numbers = embed(smiles, 5), atomic_numbers_of(smiles)
    frames = np.repeat(positions[None], len(numbers), axis=0)
    return atom_descriptors(numbers, frames, np.arange(len(numbers)))


def test_two_hydrogens_by_hand():
    """Only radial terms of hydrogen: 0.25 exp(-19.7 (0.8 - r_s)^2) times the cutoff function at 0.8 Å."""
    frames = np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.8]]])
    found = atom_descriptors(np.array([1, 1]), frames, np.array([0]))[0]
    assert found.shape == (N_FEATURES,) == (1008,)
    cutoff = 0.5 * math.cos(math.pi * 0.8 / 5.1) + 0.5
    assert found[0] == pytest.approx(0.25 * cutoff)
    assert found[1] == pytest.approx(0.25 * cutoff * math.exp(-19.7 * (4.3 / 16) ** 2))
    assert not found[16:].any()


@pytest.mark.parametrize("each", WORDS, ids=lambda each: each.molecule_id)
def test_they_equal_those_of_torchani(each):
    pytest.importorskip("torchani")
    from harness.baselines.descriptors import atomic_descriptors
    from harness.core.batch import StructureBatch

    numbers, positions = atomic_numbers_of(each.smiles), embed(each.smiles, 5)
    batch = StructureBatch(
        numbers.astype(np.int64), positions.astype(np.float64), np.array([len(numbers)]), (each.smiles,)
    )
    np.testing.assert_allclose(described(each.smiles), atomic_descriptors(batch, "float64"), atol=2e-5)


def test_they_do_not_change_when_a_molecule_is_moved_and_mirrored():
    smiles = WORDS[2].smiles
    positions, numbers = embed(smiles, 5), atomic_numbers_of(smiles)
    moved = np.stack([positions, positions @ np.diag([1.0, -1.0, 1.0])[[1, 2, 0]] + 3.0])
    first, second = atom_descriptors(numbers, moved, np.array([2, 2]))
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_distances_equal_those_of_a_tree():
    rng = np.random.default_rng(1)
    queries, references = (rng.random((size, 30), dtype=np.float32) for size in (50, 400))
    expected = cKDTree(references.astype(np.float64)).query(queries.astype(np.float64))[0]
    np.testing.assert_allclose(
        nearest_distances(queries, references), expected, rtol=1e-5
    )  # centred in single precision


def test_without_references_every_distance_is_infinite():
    assert nearest_distances(np.ones((2, 3), np.float32), np.ones((0, 3), np.float32)).tolist() == [math.inf] * 2


def test_an_unknown_element_and_wrong_shapes():
    with pytest.raises(DataError, match=r"atomic number 35; expected one of 1, 6, 7, 8, 9, 16, 17"):
        atom_descriptors(np.array([1, 35]), np.zeros((1, 2, 3)), np.array([0]))
    with pytest.raises(ShapeError, match=r"positions has shape \(1, 3, 3\); expected \(1, 2, 3\)"):
        atom_descriptors(np.array([1, 1]), np.zeros((1, 3, 3)), np.array([0]))
    with pytest.raises(ShapeError, match=r"queries has shape \(2, 3\); expected \(any, 4\)"):
        nearest_distances(np.ones((2, 3), np.float32), np.ones((5, 4), np.float32))
