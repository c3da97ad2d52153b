"""Vectors that turn with a molecule."""

import numpy as np
import pytest

from dataset_builders.core.arrays import FloatArray
from harness.baselines.descriptors import ELEMENTS
from harness.baselines.polar_vectors import CUTOFF, N_VECTORS, SHELLS, polar_vectors
from harness.core.batch import StructureBatch
from tests.harness.potentials.molecules import molecules, packed, unpacked


@pytest.fixture(scope="module")
def batch() -> StructureBatch:
    return molecules()


@pytest.fixture(scope="module")
def vectors(batch: StructureBatch) -> FloatArray:
    return polar_vectors(batch)


def test_two_atoms_by_hand() -> None:
    pair = packed([(np.array([1, 17]), np.array([[0.0, 0.0, 0.0], [0.0, 1.6, 0.0]]), "Cl")])
    hydrogen, chlorine = polar_vectors(pair).reshape(2, len(ELEMENTS), len(SHELLS), 3)
    shell = SHELLS.index(pytest.approx(1.6))
    fade = 0.5 * (1.0 + np.cos(np.pi * 1.6 / CUTOFF))
    np.testing.assert_allclose(hydrogen[ELEMENTS.index(17), shell], [0.0, fade, 0.0])
    np.testing.assert_allclose(hydrogen[ELEMENTS.index(17), shell + 1], [0.0, fade / np.e, 0.0])
    np.testing.assert_allclose(chlorine[ELEMENTS.index(1), shell], [0.0, -fade, 0.0])
    assert not hydrogen[ELEMENTS.index(1)].any()


def test_rotation_reflection_and_translation(batch: StructureBatch, vectors: FloatArray) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    for turn in (rotation, -rotation):  # one of the two is a reflection
        positions = batch.positions @ turn.T + [3.0, -2.0, 1.0]
        turned = polar_vectors(StructureBatch(batch.atomic_numbers, positions, batch.n_atoms, batch.smiles))
        np.testing.assert_allclose(turned, vectors @ turn.T, atol=1e-12)


def test_permutation(batch: StructureBatch, vectors: FloatArray) -> None:
    numbers, positions, smiles = unpacked(batch)[1]
    order = np.random.default_rng(1).permutation(len(numbers))
    permuted = polar_vectors(packed([(numbers[order], positions[order], smiles)]))
    np.testing.assert_allclose(permuted, vectors[batch.offsets[1] : batch.offsets[2]][order], atol=1e-12)


def test_no_part_across_a_plane_or_a_line() -> None:
    water = np.array([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.8, -0.5]])
    assert not polar_vectors(packed([(np.array([8, 1, 1]), water, "O")]))[..., 0].any()
    line = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.1], [0.0, 0.0, 2.3]])
    assert not polar_vectors(packed([(np.array([1, 6, 7]), line, "C#N")]))[..., :2].any()


def test_shape_and_the_cutoff(vectors: FloatArray, batch: StructureBatch) -> None:
    assert vectors.shape == (len(batch.atomic_numbers), N_VECTORS, 3)
    apart = packed([(np.array([1, 1]), np.array([[0.0, 0.0, 0.0], [CUTOFF, 0.0, 0.0]]), "[HH]")])
    assert not polar_vectors(apart).any()
