"""Descriptors of atom environments, and the search for the nearest ones."""

import math
import sys

import numpy as np
import pytest
from scipy.spatial import cKDTree

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import DataError, MissingPackageError, ModelError, ShapeError, UsageError
from dataset_builders.tasks.words import word
from harness.baselines import descriptors
from harness.baselines.descriptors import (
    N_FEATURES,
    Environments,
    atomic_descriptors,
    nearest_distances,
    nearest_environments,
)
from harness.core.batch import StructureBatch
from tests.harness.potentials.molecules import molecules, packed, unpacked

WORDS = (word("OH", 1, "H"), word("SH", 2, "Cl"), word("NH2", 3, "F"), word("H", 6, "CN"))
"""All seven elements and four sizes."""


@pytest.fixture(scope="module")
def batch() -> StructureBatch:
    pytest.importorskip("torchani")
    return molecules(WORDS)


@pytest.fixture(scope="module")
def features(batch: StructureBatch) -> FloatArray:
    return atomic_descriptors(batch, "float64")


def moved(batch: StructureBatch, positions: FloatArray) -> StructureBatch:
    return StructureBatch(batch.atomic_numbers, positions, batch.n_atoms, batch.smiles)


def random_environments(n_atoms: int, seed: int, dtype: str = "float64") -> Environments:
    random = np.random.default_rng(seed)
    features = random.normal(size=(n_atoms, 6)).astype(dtype)
    features[:, 4] = 0.0  # as most features of a molecule are
    return Environments(random.choice([1, 6], size=n_atoms), features)


def test_shape_and_precision(batch: StructureBatch, features: FloatArray) -> None:
    single = atomic_descriptors(batch)
    assert (single.dtype, features.dtype) == (np.float32, np.float64)
    assert single.shape == features.shape == (len(batch.atomic_numbers), N_FEATURES)
    np.testing.assert_allclose(single, features, atol=1e-5)
    assert (features >= 0.0).all()


def test_two_atoms_by_hand(batch: StructureBatch) -> None:
    # HCl at 1.3 Å: each atom sees the other at 16 distances from 0.8 Å on, and no angle.
    pair = packed([(np.array([1, 17]), np.array([[0.0, 0.0, 0.0], [1.3, 0.0, 0.0]]), "Cl")])
    fade = 0.5 * (math.cos(math.pi * 1.3 / 5.1) + 1.0)
    shifts = 0.8 + (5.1 - 0.8) / 16 * np.arange(16)
    expected = 0.25 * np.exp(-19.7 * (1.3 - shifts) ** 2) * fade
    hydrogen, chlorine = atomic_descriptors(pair, "float64")
    np.testing.assert_allclose(hydrogen[6 * 16 : 7 * 16], expected, atol=1e-6)
    np.testing.assert_allclose(chlorine[:16], expected, atol=1e-6)
    assert hydrogen.sum() == pytest.approx(chlorine.sum()) == pytest.approx(expected.sum(), abs=1e-6)


def test_batched_equals_one_by_one(
    batch: StructureBatch, features: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    singles = [atomic_descriptors(packed([part]), "float64") for part in unpacked(batch)]
    np.testing.assert_allclose(np.concatenate(singles), features, atol=1e-12)
    monkeypatch.setattr(descriptors, "_PADDED_ATOMS", 25)
    np.testing.assert_allclose(atomic_descriptors(batch, "float64"), features, atol=1e-12)


def test_invariance(batch: StructureBatch, features: FloatArray) -> None:
    random = np.random.default_rng(1)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    for turn in (rotation, -rotation):  # one of the two is a reflection
        turned = atomic_descriptors(moved(batch, batch.positions @ turn.T + [3.0, -2.0, 1.0]), "float64")
        np.testing.assert_allclose(turned, features, atol=1e-9)
    numbers, positions, smiles = unpacked(batch)[1]
    order = random.permutation(len(numbers))
    permuted = atomic_descriptors(packed([(numbers[order], positions[order], smiles)]), "float64")
    of_molecule = features[batch.offsets[1] : batch.offsets[2]]
    np.testing.assert_allclose(permuted, of_molecule[order], atol=1e-9)


def test_input_is_left_untouched(batch: StructureBatch) -> None:
    before = molecules(WORDS)
    atomic_descriptors(batch)
    np.testing.assert_array_equal(batch.positions, before.positions)
    np.testing.assert_array_equal(batch.atomic_numbers, before.atomic_numbers)


def test_unknown_element(batch: StructureBatch) -> None:
    strange = packed([(np.array([1, 35]), np.array([[0.0, 0.0, 0.0], [1.4, 0.0, 0.0]]), "Br")])
    with pytest.raises(
        ModelError, match="Br contains atomic number 35, which the descriptors of ANI-2x do not support"
    ):
        atomic_descriptors(strange)


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors._computer.cache_clear()
    monkeypatch.setitem(sys.modules, "torchani.aev", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'mlip-ood\[torchani\]'"):
        atomic_descriptors(molecules(WORDS[:1]))


def test_a_known_environment_has_distance_zero(batch: StructureBatch, features: FloatArray) -> None:
    known = Environments(batch.atomic_numbers, features)
    np.testing.assert_array_equal(nearest_distances(known, known), 0.0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scores_per_block", [1, 400, 1 << 20])
def test_nearest_are_those_of_a_tree(dtype: str, scores_per_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descriptors, "_SCORES_PER_BLOCK", scores_per_block)
    queries, references = random_environments(60, 1, dtype), random_environments(300, 2, dtype)
    distances, nearest = nearest_environments(queries, references, 4)
    for number in (1, 6):
        asked, of_element = (np.flatnonzero(each.atomic_numbers == number) for each in (queries, references))
        tree = cKDTree(references.descriptors[of_element])
        expected_distances, expected = tree.query(queries.descriptors[asked], k=4)
        np.testing.assert_array_equal(nearest[asked], of_element[expected])
        np.testing.assert_allclose(distances[asked], expected_distances, rtol=1e-6)
    assert distances.dtype == dtype
    np.testing.assert_array_equal(nearest_distances(queries, references), distances[:, 0])


def test_a_feature_that_no_reference_has_counts() -> None:
    references = Environments(np.array([1, 1]), np.array([[0.0, 1.0], [0.0, 2.0]]))
    query = Environments(np.array([1]), np.array([[3.0, 5.0]]))
    # The nearest is the second, at sqrt(3² + 3²).
    assert nearest_distances(query, references) == pytest.approx(3.0 * math.sqrt(2.0))


def test_of_equal_distances_the_first_is_taken() -> None:
    references = Environments(np.ones(12, dtype=int), np.zeros((12, 3)))
    query = Environments(np.array([1]), np.ones((1, 3)))
    np.testing.assert_array_equal(nearest_environments(query, references, 3)[1], [[0, 1, 2]])


def test_an_element_without_reference_is_infinitely_far() -> None:
    references = Environments(np.array([1]), np.array([[1.0]]))
    queries = Environments(np.array([6, 1]), np.array([[1.0], [3.0]]))
    np.testing.assert_array_equal(nearest_distances(queries, references), [np.inf, 2.0])


def test_requests_that_cannot_be_met() -> None:
    references, queries = random_environments(3, 1), random_environments(5, 2)
    with pytest.raises(UsageError, match="0 nearest environments; expected 1 or more"):
        nearest_environments(queries, references, 0)
    with pytest.raises(DataError, match="reference environments of atomic number 1; expected 9 or more"):
        nearest_environments(queries, references, 9)
    with pytest.raises(ShapeError, match="descriptors of the queries"):
        nearest_environments(Environments(queries.atomic_numbers, queries.descriptors[:, :2]), references, 1)
    with pytest.raises(ShapeError, match="descriptors has shape"):
        Environments(np.array([1, 6]), np.zeros((3, 2)))
