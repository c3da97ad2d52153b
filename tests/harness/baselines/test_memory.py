"""What remembered frames say of others."""

import numpy as np
import pytest

from dataset_builders.chemistry.mmff94 import Mmff94
from dataset_builders.core.errors import ModelError
from dataset_builders.tasks.words import word
from harness.baselines import memory as module
from harness.baselines.memory import LabelledFrames, Memory
from harness.core.batch import StructureBatch
from tests.harness.potentials.molecules import molecules, packed

pytest.importorskip("torchani")

WORDS = [word("OH", 1, "H")] * 12 + [word("NH2", 2, "H")] * 12


def labelled(seed: int) -> LabelledFrames:
    batch = molecules(WORDS, seed)
    energy, forces = [], []
    for index, smiles in enumerate(batch.smiles):
        each = Mmff94(smiles).singlepoint(batch.positions[batch.offsets[index] : batch.offsets[index + 1]])
        energy.append(each[0])
        forces.append(each[1])
    return LabelledFrames(batch, np.array(energy), np.concatenate(forces))


@pytest.fixture(scope="module")
def frames() -> LabelledFrames:
    return labelled(1)


@pytest.fixture(scope="module")
def memory(frames: LabelledFrames) -> Memory:
    return Memory(frames)


def test_remembers_what_it_saw(memory: Memory, frames: LabelledFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FORCE_RIDGE", 1e-9)
    _, forces = memory.energies_and_forces(frames.batch, 12)
    np.testing.assert_allclose(forces, frames.forces, atol=1e-2 * np.abs(frames.forces).mean())


def test_knows_nothing_of_what_is_far_from_all(memory: Memory, frames: LabelledFrames) -> None:
    # Atoms 4 Å apart are like nothing that was remembered, and have no force.
    lonely = packed([(np.array([1, 6, 8]), np.diag([4.0, 8.0, 12.0]), "far")])
    _, forces = memory.energies_and_forces(lonely, 12)
    assert np.abs(forces).max() < 1e-2 * np.abs(frames.forces).mean()


def test_forces_turn_and_are_mirrored_with_the_molecule(memory: Memory) -> None:
    batch = molecules(WORDS[10:14], 5)
    energy, forces = memory.energies_and_forces(batch, 8)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    for turn in (rotation, -rotation):
        positions = batch.positions @ turn.T + [3.0, -2.0, 1.0]
        turned = StructureBatch(batch.atomic_numbers, positions, batch.n_atoms, batch.smiles)
        other_energy, other_forces = memory.energies_and_forces(turned, 8)
        np.testing.assert_allclose(other_energy, energy, atol=1e-8)
        np.testing.assert_allclose(other_forces, forces @ turn.T, atol=1e-7)


def test_no_force_across_a_plane(memory: Memory) -> None:
    positions = np.array([[0.0, 0.0, 0.1], [0.0, 0.8, -0.5], [0.0, -0.8, -0.5]])
    _, forces = memory.energies_and_forces(packed([(np.array([8, 1, 1]), positions, "O")]), 8)
    np.testing.assert_allclose(forces[:, 0], 0.0, atol=1e-12)
    assert np.abs(forces[:, 2]).min() > 1e-3


def test_more_neighbours_than_there_are(memory: Memory) -> None:
    batch = molecules(WORDS[10:14], 5)
    known = len(WORDS) * 20
    np.testing.assert_array_equal(
        memory.energies_and_forces(batch, known)[1], memory.energies_and_forces(batch, 10 * known)[1]
    )


def test_one_neighbour_by_hand() -> None:
    # One remembered pair, turned by a right angle: v . v' = v² and k = 1, so its force comes back, shortened by the
    # ridge of a thousandth of the mean of the diagonal, which is a third of v² here.
    at = {"x": [[0.0, 0.0, 0.0], [1.3, 0.0, 0.0]], "y": [[0.0, 0.0, 0.0], [0.0, 1.3, 0.0]]}
    first, second = (packed([(np.array([1, 17]), np.array(at[axis]), "Cl")]) for axis in "xy")
    pair = Memory(LabelledFrames(first, np.array([0.6]), np.array([[2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]])))
    energy, forces = pair.energies_and_forces(second, 1)
    assert energy[0] == pytest.approx(0.6 / (1.0 + 1e-5))
    shortened = 2.0 / (1.0 + 1e-3 / 3.0)
    np.testing.assert_allclose(forces, [[0.0, shortened, 0.0], [0.0, -shortened, 0.0]], atol=1e-8)


def test_unknown_element(memory: Memory) -> None:
    strange = packed([(np.array([1, 17]), np.array([[0.0, 0.0, 0.0], [1.3, 0.0, 0.0]]), "Cl")])
    with pytest.raises(ModelError, match="no memorised frame contains atomic number 17"):
        memory.energies_and_forces(strange, 4)
