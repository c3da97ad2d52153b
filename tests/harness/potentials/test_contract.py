"""What every potential has to do, tested on every potential."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.errors import ModelError
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, Potential
from harness.inference.force_consistency import cautions_about
from harness.models.registry import REFERENCE_DIRECTORY, load_potential
from harness.networks.control_checkpoints import CONTROL_ARCHITECTURES
from harness.networks.mace_package import importing_mace
from harness.potentials import aimnet2, chgnet, torchani
from tests.harness.control_checkpoints import small_control
from tests.harness.potentials.foundation_models import own_torchani, published, random_ani1x, small_aimnet2
from tests.harness.potentials.molecules import molecules, packed, unpacked

TRUSTED = LoadOptions(device="cpu", trust_checkpoint=True)
TRUSTED_FLOAT32 = LoadOptions(device="cpu", trust_checkpoint=True, dtype="float32")
FLOAT64 = LoadOptions(device="cpu", dtype="float64")
FLOAT32 = LoadOptions(device="cpu", dtype="float32")


@dataclass(frozen=True)
class Case:
    """A potential, and how exact it has to be: eV and eV/Å, and Å for the step of a central difference."""

    model: str
    options: LoadOptions = TRUSTED
    rounding: float = 1e-9
    invariance: float = 1e-9
    step: float = 1e-3
    derivative: float = 1e-4


def in_float32(model: str, options: LoadOptions) -> Case:
    return Case(model, options, rounding=1e-5, invariance=1e-4, step=1e-2, derivative=1e-2)


CASES = {
    "zero": Case("zero"),
    "mmff94": Case("mmff94"),
    "gfn1-xtb": Case("gfn1-xtb"),
    "gfn2-xtb": Case("gfn2-xtb"),
    "mace": Case("MACE"),
    "mace-float32": in_float32("MACE", TRUSTED_FLOAT32),
    "reference": in_float32("reference", TRUSTED),
    "random-ani1x": Case("ANI-1x", FLOAT64),
    "ani2x": Case("ANI-2x", FLOAT64),
    "ani2x-float32": in_float32("ANI-2x", FLOAT32),
    "aimnet2": in_float32("AIMNet2", FLOAT32),
    "chgnet": replace(in_float32("chgnet", FLOAT32), step=5e-3),
    "additive": Case("additive"),
    "knn": Case("knn", invariance=1e-7),
}


@pytest.fixture(scope="module", params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    selected: Case = request.param
    return selected


@pytest.fixture(scope="module")
def potential(case: Case, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Potential:
    if case.model == "MACE":
        return load_potential(str(request.getfixturevalue("mace_checkpoint")), case.options)
    if case.model == "ANI-1x":
        return torchani.load(random_ani1x(tmp_path_factory.mktemp("ani")), case.options)
    if case.model == "ANI-2x":
        pytest.importorskip("torchani")
        return torchani.load(published("roitberg-group/ani2x/ani2x_state_dict.pt"), case.options)
    if case.model == "AIMNet2":
        return aimnet2.load(small_aimnet2(tmp_path_factory.mktemp("aimnet2")), case.options)
    if case.model == "chgnet":
        pytest.importorskip("chgnet")
        return chgnet.load(case.model, case.options)
    if case.model == "reference" and not _has_reference():
        pytest.skip("no reference checkpoint, or graph-pes is not installed")
    fitted = next((name for name in CONTROL_ARCHITECTURES if name == case.model), None)
    if fitted == "knn":
        pytest.importorskip("torchani")
    folder = case.model if fitted is None else small_control(tmp_path_factory.mktemp("control"), fitted)
    return load_potential(str(folder), case.options)


def _has_reference() -> bool:
    return REFERENCE_DIRECTORY.is_dir() and importlib.util.find_spec("graph_pes") is not None


def test_traits_describe_the_potential(potential: Potential, case: Case) -> None:
    named_after_file = any(potential.traits.model_id.endswith(name) for name in potential.traits.files)
    assert named_after_file or case.model in (potential.traits.model_id, potential.traits.family, "AIMNet2")
    assert potential.traits.dtype == (case.options.dtype or potential.traits.dtype)
    assert potential.traits.device == "cpu"
    assert potential.traits.packages
    assert all(len(digest) == 64 for digest in potential.traits.files.values())


def test_shapes_dtypes_and_finite_values(prediction: Prediction, batch: StructureBatch) -> None:
    assert prediction.energy.shape == (3,)
    assert prediction.forces.shape == (len(batch.atomic_numbers), 3)
    assert prediction.energy.dtype == prediction.forces.dtype == np.float64
    assert np.isfinite(prediction.energy).all()
    assert np.isfinite(prediction.forces).all()
    assert prediction.failures == {}


def test_forces_are_not_all_alike(potential: Potential, prediction: Prediction) -> None:
    assert (prediction.forces.std() > 1e-3) == (potential.traits.family != "zero")


def test_a_batch_equals_its_structures_one_by_one(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch
) -> None:
    singles = [potential.compute(packed([part])) for part in unpacked(batch)]
    assert prediction.energy == pytest.approx([single.energy[0] for single in singles], rel=0, abs=case.rounding)
    _assert_close(prediction.forces, np.concatenate([single.forces for single in singles]), case.rounding)


def test_the_order_of_structures_does_not_matter(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch
) -> None:
    backwards = potential.compute(packed(unpacked(batch)[::-1]))
    assert backwards.energy[::-1] == pytest.approx(prediction.energy, rel=0, abs=case.rounding)
    forces = np.split(backwards.forces, np.cumsum(batch.n_atoms[::-1])[:-1])
    _assert_close(np.concatenate(forces[::-1]), prediction.forces, case.rounding)


def test_the_order_of_atoms_does_not_matter(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch
) -> None:
    if potential.traits.family in ("mmff94", "additive"):
        pytest.skip("this potential has its bonds from the SMILES, which fixes the order of the atoms")
    parts, orders = [], []
    for numbers, positions, smiles in unpacked(batch):
        order = np.random.default_rng(1).permutation(len(numbers))
        parts.append((numbers[order], positions[order], smiles))
        orders.append(order)
    permuted = potential.compute(packed(parts))
    assert permuted.energy == pytest.approx(prediction.energy, rel=0, abs=case.invariance)
    atoms = np.concatenate([order + offset for order, offset in zip(orders, batch.offsets[:-1], strict=True)])
    _assert_close(permuted.forces, prediction.forces[atoms], case.invariance)


def test_translation_changes_nothing(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch
) -> None:
    moved = potential.compute(_with_positions(batch, batch.positions + np.array([3.0, -2.0, 1.0])))
    assert moved.energy == pytest.approx(prediction.energy, rel=0, abs=case.invariance)
    _assert_close(moved.forces, prediction.forces, case.invariance)


def test_rotation_turns_the_forces_and_keeps_the_energy(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch
) -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    turned = potential.compute(_with_positions(batch, batch.positions @ rotation.T))
    assert turned.energy == pytest.approx(prediction.energy, rel=0, abs=case.invariance)
    _assert_close(turned.forces, prediction.forces @ rotation.T, case.invariance)


def test_forces_are_minus_the_derivative_of_the_energy(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch
) -> None:
    if potential.traits.conservative is False:
        pytest.skip("the forces of this potential are predicted on their own")
    numbers, positions, smiles = unpacked(batch)[0]
    displacements = case.step * np.eye(positions.size).reshape(-1, *positions.shape)
    ahead = potential.compute(packed([(numbers, positions + each, smiles) for each in displacements]))
    behind = potential.compute(packed([(numbers, positions - each, smiles) for each in displacements]))
    derivative = (ahead.energy - behind.energy) / (2.0 * case.step)
    _assert_close(prediction.forces[: len(numbers)], -derivative.reshape(-1, 3), case.derivative)


def test_forces_and_energies_are_cautioned_for_nothing(potential: Potential, batch: StructureBatch) -> None:
    assert cautions_about(potential, [batch.slice(number, number + 1) for number in (0, 2)]) == ()


def test_the_input_is_left_untouched(potential: Potential) -> None:
    batch, before = molecules(), molecules()
    for array in (batch.atomic_numbers, batch.positions, batch.n_atoms):
        array.flags.writeable = True
    potential.compute(batch)
    for name in ("atomic_numbers", "positions", "n_atoms"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(before, name))
        assert getattr(batch, name).dtype == getattr(before, name).dtype


def test_single_precision_positions_and_small_integers_are_taken(
    potential: Potential, case: Case, batch: StructureBatch
) -> None:
    stored = StructureBatch(
        batch.atomic_numbers.astype(np.uint8), batch.positions.astype(np.float32), batch.n_atoms, batch.smiles
    )
    exact = _with_positions(batch, stored.positions.astype(np.float64))
    assert potential.compute(stored).energy == pytest.approx(potential.compute(exact).energy, rel=0, abs=case.rounding)


def test_agrees_with_the_calculator_of_its_own_family(
    potential: Potential, case: Case, prediction: Prediction, batch: StructureBatch, request: pytest.FixtureRequest
) -> None:
    calculator = _calculator(potential, request)
    for index, (numbers, positions, _) in enumerate(unpacked(batch)):
        atoms = _atoms(potential, numbers, positions)
        atoms.calc = calculator
        start, end = batch.offsets[index : index + 2]
        # ASE's Hartree is smaller by 8e-9 and single precision sums 10^4 eV to a few parts in 10^7.
        tolerance = 1e-6 if potential.traits.dtype == "float32" else 2e-8
        assert prediction.energy[index] == pytest.approx(atoms.get_potential_energy(), rel=tolerance, abs=1e-12)
        _assert_close(prediction.forces[start:end], atoms.get_forces(), max(1e-6, 2.0 * case.rounding))


def _atoms(potential: Potential, numbers: IntArray, positions: FloatArray) -> Any:
    from ase import Atoms

    if potential.traits.family != "chgnet":
        return Atoms(numbers=numbers, positions=positions)
    box = chgnet.boxed(numbers, positions, cutoff=6.0)
    return Atoms(numbers=numbers, positions=box.cart_coords, cell=box.lattice.matrix, pbc=True)


def _calculator(potential: Potential, request: pytest.FixtureRequest) -> Any:
    match potential.traits.family:
        case "xtb":
            from tblite.ase import TBLite

            return TBLite(method=potential.traits.level_of_theory, accuracy=0.1, max_iterations=500, verbosity=0)
        case "mace":
            import torch

            with importing_mace():
                from mace.calculators import MACECalculator
            model = torch.load(request.getfixturevalue("mace_checkpoint"), weights_only=False)
            return MACECalculator(models=model, device="cpu", default_dtype=potential.traits.dtype)
        case "torchani":
            fixtures = (request.getfixturevalue(name) for name in ("tmp_path", "monkeypatch"))
            return own_torchani(Path(potential.traits.model_id), potential.traits.dtype, *fixtures).ase()
        case "aimnet2":
            from aimnet.calculators import AIMNet2ASE, AIMNet2Calculator

            return AIMNet2ASE(AIMNet2Calculator(potential.traits.model_id, device="cpu"))
        case "chgnet":
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(use_device="cpu")
        case family:
            pytest.skip(f"{family} has no calculator for ASE that holds its reference energies")


def test_an_element_without_parameters_is_refused(potential: Potential, batch: StructureBatch) -> None:
    elements = potential.traits.elements
    if elements is None:
        pytest.skip("this potential takes any element")
    numbers = batch.atomic_numbers.copy()
    numbers[-1] = next(number for number in range(1, 119) if number not in elements)
    strange = StructureBatch(numbers, batch.positions, batch.n_atoms, batch.smiles)
    with pytest.raises(ModelError, match=rf"has no parameters for [A-Z][a-z]?, which {batch.smiles[-1]} contain"):
        potential.compute(strange)


def _with_positions(batch: StructureBatch, positions: FloatArray) -> StructureBatch:
    return StructureBatch(batch.atomic_numbers, positions, batch.n_atoms, batch.smiles)


def _assert_close(actual: FloatArray, expected: FloatArray, tolerance: float) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)
