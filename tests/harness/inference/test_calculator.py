"""The ASE calculator: the numbers of an evaluation, forces that are minus the derivative, and what it refuses."""

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces
from ase.md.verlet import VelocityVerlet

from dataset_builders.core.errors import DataError, IncompleteError, MlipOodError, ModelError, UsageError
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.words import parse_word
from harness import calculator, evaluate
from harness.api import evaluate_models
from harness.core.batch import Prediction, StructureBatch
from harness.inference.calculator import PotentialCalculator
from harness.worker.family_environments import find_environment
from tests.harness.potentials.molecules import molecules
from tests.harness.small_dataset import frames_of, write_split
from tests.harness.toy_potential import SPRING, Harmonic
from tests.harness.training_set import train, write_training_set

FORCE = 1e-6
"""Agreement with an evaluation, eV/Å; predictions are saved in single precision."""


def ethanol(seed: int = 1) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=seed)
    return atoms


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """task2 with two training molecules and one OOD molecule."""
    directory = tmp_path_factory.mktemp("task2") / "data"
    for split in SPLITS:
        names = ("OH-2-OH",) if split == "test_ood" else ("OH-2-H", "H-2-H")
        write_split(directory, "task2", split, pa.concat_tables([frames_of(parse_word(name), split) for name in names]))
    return directory


def delta_checkpoint(folder: Path) -> Path:
    """A network on top of GFN1-xTB, trained for one step."""
    out = folder / "delta"
    train(write_training_set(folder / "training"), out, "--arch", "painn", "--delta", "gfn1-xtb", "--steps", "1")
    return out


@pytest.fixture(scope="module")
def delta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return delta_checkpoint(tmp_path_factory.mktemp("delta"))


def saved_predictions(run: Path, dataset: Path) -> Iterator[tuple[Atoms, str, float, np.ndarray]]:
    """Every 8th frame of a run: the structure, its SMILES, and the energy and forces that were saved."""
    rows = {
        (row["molecule_id"], row["trajectory"], row["frame"]): row
        for path in dataset.glob("task2/*.parquet")
        for row in pq.read_table(path).to_pylist()
    }
    predictions = [row for path in sorted(run.glob("predictions/*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert len(predictions) > 30
    for found in predictions[::8]:
        row = rows[found["molecule_id"], found["trajectory"], found["frame"]]
        positions = np.reshape(np.array(row["positions"], dtype=np.float32), (-1, 3))
        atoms = Atoms(numbers=row["atomic_numbers"], positions=positions)
        yield atoms, row["smiles"], found["energy"], np.reshape(found["forces"], (-1, 3))


MODELS: dict[str, dict[str, Any]] = {
    "reference": {"dtype": "float64"},
    "gfn2-xtb": {},
    "mmff94": {},
    "mace": {"trust_checkpoint": True},
    "delta": {"dtype": "float64"},
}


@pytest.fixture(scope="module", params=MODELS)
def loaded(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, Any], PotentialCalculator]]:
    """A model, its options and its calculator; each is loaded once."""
    fixture = {"mace": "mace_checkpoint", "delta": "delta"}.get(request.param)
    model = str(request.getfixturevalue(fixture)) if fixture else request.param
    options = {**MODELS[request.param], "device": "cpu"}
    with calculator(model, **options) as calc:
        yield model, options, calc


def test_it_agrees_with_the_predictions_of_an_evaluation(loaded: Any, dataset: Path, tmp_path: Path) -> None:
    model, options, calc = loaded
    (run,) = evaluate_models([model], dataset=dataset, tasks="task2", output=tmp_path, quiet=True, **options)
    for atoms, smiles, energy, forces in saved_predictions(run.directory, dataset):
        atoms.info["smiles"] = smiles
        atoms.calc = calc
        assert np.abs(atoms.get_forces() - forces).max() < FORCE
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-6)
        assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()


def test_forces_are_minus_the_numerical_derivative(loaded: Any) -> None:
    _, _, calc = loaded
    batch = molecules()
    atoms = Atoms(numbers=batch.atomic_numbers[:6], positions=batch.positions[:6], calculator=calc)
    atoms.info["smiles"] = batch.smiles[0]
    numerical = calculate_numerical_forces(atoms, eps=1e-4)
    assert np.abs(atoms.get_forces() - numerical).max() < 2e-5
    assert np.abs(numerical).max() > 0.05


def test_a_family_in_an_environment_of_its_own_passes_the_same_check() -> None:
    if find_environment("so3lr") is None:
        pytest.skip("no environment for so3lr; make it with `python -m harness env create so3lr`")
    with calculator("so3lr", device="cpu", dtype="float64") as calc:
        atoms = ethanol()
        atoms.calc = calc
        numerical = calculate_numerical_forces(atoms, eps=1e-3, iatoms=[0, 3])
        assert np.abs(atoms.get_forces()[[0, 3]] - numerical).max() < 1e-3 * np.abs(numerical).max()


def test_molecular_dynamics_keep_the_energy() -> None:
    atoms = ethanol()
    with calculator("reference", device="cpu", dtype="float64") as calc:
        atoms.calc = calc
        before = atoms.get_total_energy()
        VelocityVerlet(atoms, timestep=0.25 * units.fs).run(20)
        assert atoms.get_kinetic_energy() > 0.05
        assert atoms.get_total_energy() == pytest.approx(before, abs=0.01)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Harmonic:
    potential = Harmonic()
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: potential)
    return potential


@pytest.fixture
def springs(toy: Harmonic) -> PotentialCalculator:
    return calculator("zero")


def energy_of(atoms: Atoms) -> float:
    arm = atoms.positions - atoms.positions.mean(axis=0)
    return float(0.5 * SPRING * (arm**2).sum())


def test_what_was_computed_is_computed_once_and_again_after_each_change(
    toy: Harmonic, springs: PotentialCalculator
) -> None:
    atoms = ethanol()
    atoms.calc = springs
    for _ in range(2):
        assert atoms.get_potential_energy() == pytest.approx(energy_of(atoms))
        assert atoms.get_forces().shape == (9, 3)
    assert len(toy.sizes) == 1
    atoms.positions[0, 0] += 1e-9
    assert atoms.get_potential_energy() == pytest.approx(energy_of(atoms))
    atoms.numbers[0] = 14
    atoms.get_forces()
    assert len(toy.sizes) == 3
    atoms.get_forces()[:] = 0.0
    assert np.abs(atoms.get_forces()).max() > 0.1
    shorter = atoms[[0, 1]]
    shorter.numbers[:] = 1
    shorter.calc = springs
    assert shorter.get_forces().shape == (2, 3)
    assert shorter.get_potential_energy() == pytest.approx(energy_of(shorter))


def changed(change: Callable[[Atoms], Any]) -> Atoms:
    atoms = ethanol()
    change(atoms)
    return atoms


REFUSED: dict[str, tuple[Callable[[Atoms], Any], type[MlipOodError], str]] = {
    "periodic": (lambda atoms: atoms.set_pbc(True), UsageError, r"\(C2H6O\) is periodic, pbc \[True, True, True\]"),
    "one direction": (lambda atoms: atoms.set_pbc([0, 0, 1]), UsageError, "is periodic"),
    "charge": (lambda atoms: atoms.info.update(charge=1), UsageError, "states charge 1; expected a neutral"),
    "total charge": (lambda atoms: atoms.info.update(total_charge=-1.0), UsageError, "states total_charge -1"),
    "spin": (lambda atoms: atoms.info.update(spin=3), UsageError, "states spin 3; expected a neutral closed-shell"),
    "multiplicity": (lambda atoms: atoms.info.update(spin_multiplicity=2), UsageError, "states spin_multiplicity 2"),
    "charges of atoms": (
        lambda atoms: atoms.set_initial_charges([1.0] + 8 * [0.0]),
        UsageError,
        "states initial_charges",
    ),
    "moments": (
        lambda atoms: atoms.set_initial_magnetic_moments([1.0] + 8 * [0.0]),
        UsageError,
        "states initial_magmoms",
    ),
    "radical": (lambda atoms: atoms.pop(), UsageError, r"\(C2H5O\) has 25 electrons when neutral"),
    "nan": (lambda atoms: atoms.positions.put(4, np.nan), DataError, r"atom 1 of the structure is at \[.*nan.*\]"),
    "infinity": (lambda atoms: atoms.positions.put(0, np.inf), DataError, "expected finite positions"),
    "dummy atom": (lambda atoms: atoms.numbers.put([0], 0), DataError, "atom 0 of the structure has atomic number 0"),
    "no element": (lambda atoms: atoms.numbers.put([0], 200), DataError, "has atomic number 200; expected an element"),
    "nothing": (lambda atoms: atoms.__delitem__(slice(None)), UsageError, "the structure has no atoms"),
    "smiles": (lambda atoms: atoms.info.update(smiles=3), UsageError, r"atoms\.info\['smiles'\] is 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_harness_does_not_compute_is_refused(case: str, springs: PotentialCalculator, toy: Harmonic) -> None:
    change, error, message = REFUSED[case]
    atoms = changed(change)
    atoms.calc = springs
    for ask in (atoms.get_potential_energy, atoms.get_forces):
        with pytest.raises(error, match=message):
            ask()
    assert toy.sizes == []


def test_a_neutral_molecule_may_say_so(springs: PotentialCalculator) -> None:
    atoms = ethanol()
    atoms.info.update(charge=0, spin=1, name="ethanol", config_type="train")
    atoms.set_initial_charges([0.1, -0.1] + 7 * [0.0])
    atoms.center(vacuum=5.0)  # a cell without periodic boundaries
    atoms.calc = springs
    assert atoms.get_potential_energy() == pytest.approx(energy_of(atoms))


def test_a_charge_that_is_stated_later_does_not_get_the_old_energy(springs: PotentialCalculator) -> None:
    atoms = ethanol()
    atoms.calc = springs
    atoms.get_potential_energy()
    atoms.info["charge"] = 1
    with pytest.raises(UsageError, match="states charge 1"):
        atoms.get_potential_energy()


def test_an_element_without_parameters_is_refused() -> None:
    atoms = ethanol()
    atoms.numbers[0] = 14
    with calculator("reference", device="cpu") as calc:
        atoms.calc = calc
        with pytest.raises(ModelError, match=r"reference has no parameters for Si, which CH6OSi contain\(s\)"):
            atoms.get_forces()


class Failing(Harmonic):
    def compute(self, batch: StructureBatch) -> Prediction:
        prediction = super().compute(batch)
        return Prediction(prediction.energy * np.nan, prediction.forces, {})


def test_numbers_that_are_not_finite_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    potential = Failing()
    monkeypatch.setattr("harness.worker.loading.load_potential", lambda model, options: potential)
    atoms = ethanol()
    atoms.calc = calculator("zero")
    for _ in range(2):
        with pytest.raises(IncompleteError, match="cannot compute C2H6O: energy or forces are not finite"):
            atoms.get_potential_energy()
    assert len(potential.sizes) == 2


def test_bonds_are_taken_from_the_smiles_and_nowhere_else() -> None:
    batch = molecules()
    atoms = Atoms(numbers=batch.atomic_numbers[:6], positions=batch.positions[:6])
    with calculator("mmff94") as calc:
        atoms.calc = calc
        with pytest.raises(
            UsageError, match="mmff94 takes the bonds of a molecule from its SMILES, and none was given"
        ):
            atoms.get_potential_energy()
        atoms.info["smiles"] = batch.smiles[0]
        named = atoms.get_potential_energy()
        atoms.info["smiles"] = "CC"
        with pytest.raises(DataError, match="its SMILES CC has"):
            atoms.get_potential_energy()
    with calculator("mmff94", smiles=batch.smiles[0]) as calc:
        atoms.calc = calc
        assert atoms.get_potential_energy() == named


def test_properties_that_no_model_gives_are_refused(springs: PotentialCalculator) -> None:
    atoms = ethanol()
    atoms.calc = springs
    for ask in (atoms.get_stress, atoms.get_dipole_moment, atoms.get_charges):
        with pytest.raises(PropertyNotImplementedError, match="property not implemented"):
            ask()
    with pytest.raises(UsageError, match="there is no structure to compute"):
        springs.get_potential_energy()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_copy_is_refused(copied: Callable[[Any], Any], springs: PotentialCalculator) -> None:
    with pytest.raises(UsageError, match=r"cannot be pickled or copied; make another with harness\.calculator"):
        copied(springs)
    atoms = ethanol()
    atoms.calc = springs
    assert atoms.copy().calc is None


def test_it_says_what_it_is_and_computes_nothing_once_closed(springs: PotentialCalculator) -> None:
    assert springs.name == "mlip-ood"
    assert springs.parameters == {"model": "toy", "family": "toy"}
    assert springs.traits.dtype == "float64"
    springs.close()
    springs.close()
    atoms = ethanol()
    atoms.calc = springs
    with pytest.raises(UsageError, match="toy was closed; load it again"):
        atoms.get_forces()


def test_a_model_that_an_evaluation_refuses_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown model 'nothing'"):
        calculator("nothing")
    with pytest.raises(UsageError, match="unknown model 'nothing'"):
        evaluate("nothing")
