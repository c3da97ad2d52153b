"""The additive control as a potential."""

from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.tasks.words import word
from harness.core.potential import LoadOptions, Potential
from harness.potentials.additive import load
from tests.harness.control_checkpoints import small_control
from tests.harness.potentials.molecules import molecules, packed, unpacked


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_control(tmp_path_factory.mktemp("control"), "additive")


@pytest.fixture(scope="module")
def potential(checkpoint: Path) -> Potential:
    return load(checkpoint, LoadOptions())


def test_molecules_come_in_any_order(potential: Potential) -> None:
    batch = molecules((word("OH", 1, "H"), word("CHO", 1, "H"), word("OH", 1, "H")))
    together = potential.compute(batch)
    for index, part in enumerate(unpacked(batch)):
        alone = potential.compute(packed([part]))
        assert together.energy[index] == pytest.approx(alone.energy[0], abs=1e-9)
        atoms = slice(batch.offsets[index], batch.offsets[index + 1])
        np.testing.assert_allclose(together.forces[atoms], alone.forces, atol=1e-9)


def test_a_molecule_with_unknown_terms_is_a_failure(potential: Potential) -> None:
    batch = molecules((word("OH", 1, "H"), word("COOH", 1, "H"), word("NH2", 2, "H")))
    prediction = potential.compute(batch)
    assert prediction.failures.keys() == {1}
    assert "has the bond or angle" in prediction.failures[1]
    assert np.isnan(prediction.energy).tolist() == [False, True, False]
    assert np.isnan(prediction.forces).any(axis=1).sum() == batch.n_atoms[1]


def test_atoms_in_another_order(potential: Potential) -> None:
    (numbers, positions, smiles), *_ = unpacked(molecules())
    with pytest.raises(DataError, match=r"structure 0 of the batch has atomic numbers .* but its SMILES CO has"):
        potential.compute(packed([(numbers[::-1], positions, smiles)]))


def test_atoms_in_one_place_have_no_finite_result(potential: Potential) -> None:
    (numbers, positions, smiles), *_ = unpacked(molecules())
    prediction = potential.compute(packed([(numbers, np.zeros_like(positions), smiles)]))
    assert not np.isfinite(prediction.forces).any()


@pytest.mark.parametrize("options", [LoadOptions(device="cuda"), LoadOptions(dtype="float32")])
def test_other_devices_and_precisions(checkpoint: Path, options: LoadOptions) -> None:
    with pytest.raises(UsageError, match=r"on the CPU only|in float64 only"):
        load(checkpoint, options)
