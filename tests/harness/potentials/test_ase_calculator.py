"""Calculators of ASE that a user's own module makes: the contract, and what users and calculators get wrong."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import MlipOodError, ModelError, SetupError, UsageError
from dataset_builders.engines.threads import require_one_thread
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions, Potential, PotentialTraits
from harness.potentials import xtb
from harness.potentials.ase_calculator import AseCalculatorPotential, load
from harness.trust.pickles import sha256_of
from harness.worker.client import WorkerPotential, WorkerSpec
from tests.harness.potentials.molecules import molecules, packed, unpacked
from tests.harness.potentials.test_contract import (  # noqa: F401 (the one contract, on the fixtures of this module)
    Case,
    test_a_batch_equals_its_structures_one_by_one,
    test_forces_and_energies_are_cautioned_for_nothing,
    test_forces_are_minus_the_derivative_of_the_energy,
    test_forces_are_not_all_alike,
    test_rotation_turns_the_forces_and_keeps_the_energy,
    test_shapes_dtypes_and_finite_values,
    test_single_precision_positions_and_small_integers_are_taken,
    test_the_input_is_left_untouched,
    test_the_order_of_atoms_does_not_matter,
    test_the_order_of_structures_does_not_matter,
    test_traits_describe_the_potential,
    test_translation_changes_nothing,
)

MODULE = '''
import numpy as np
from ase.calculators.calculator import Calculator, CalculationFailed
from ase.calculators.emt import EMT


class Springs(Calculator):
    """Springs between each atom and the centre of its molecule, in eV/Å²."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, constant):
        super().__init__()
        self.constant = constant

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        answer_oddly(len(atoms))
        if atoms.info != {"charge": 0, "spin": 1} or atoms.pbc.any() or atoms.cell.any():
            raise CalculationFailed("not a molecule with charge 0 and spin multiplicity 1")
        stretched = atoms.positions - atoms.positions.mean(axis=0)
        self.results["energy"] = 0.5 * self.constant * (stretched**2).sum()
        self.results["forces"] = -self.constant * stretched
        if len(atoms) == 4:
            self.results["energy"] = np.nan
        if len(atoms) == 5:
            self.results["forces"] = np.zeros((2, 3))


def answer_oddly(n_atoms):
    if n_atoms == 1:
        raise CalculationFailed("the orbitals do not converge")
    if n_atoms == 2:
        raise KeyError("no parameters for H")


class Memory(Springs):
    """Starts from what the last structure left."""

    def reset(self):
        super().reset()
        self.left = 0.0

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        self.left += 1.0
        self.results["energy"] += self.left


def springs(path, device):
    return Springs(2.0 if path is None else float(path.read_text()))


def memory(path, device):
    return Memory(1.0)


def told(path, device):
    assert device == "cpu", device
    return Springs(1.0)


def emt(path, device):
    return EMT()


def tblite(path, device):
    from tblite.ase import TBLite

    return TBLite(method="GFN2-xTB", accuracy=0.1, max_iterations=500, verbosity=0)


def without_forces(path, device):
    calculator = Springs(1.0)
    calculator.implemented_properties = ["energy"]
    return calculator


def failing(path, device):
    raise ValueError("no such weights")


def importing(path, device):
    import no_such_package


def odd(path, device):
    return "springs"


def keyword_only(*, path, device):
    return Springs(1.0)


constant = 3.0
'''

SMALL = "small_calculators"
ATOMS = {
    "one": (np.array([1]), np.zeros((1, 3)), "[H]"),
    "two": (np.array([1, 1]), np.eye(3)[:2], "[H][H]"),
    "three": (np.array([8, 1, 1]), np.eye(3), "O"),
    "four": (np.array([7, 1, 1, 1]), np.arange(12.0).reshape(4, 3), "N"),
    "five": (np.array([6, 1, 1, 1, 1]), np.arange(15.0).reshape(5, 3), "C"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("working-directory")
    (made / f"{SMALL}.py").write_text(MODULE, encoding="utf-8")
    (made / "broken_calculators.py").write_text("def make(path, device):\n    return (\n", encoding="utf-8")
    (made / "needing_calculators.py").write_text("import no_such_package\n", encoding="utf-8")
    (made / "folder_of_calculators").mkdir()
    (made / "spring.txt").write_text("3.0", encoding="utf-8")
    return made


@pytest.fixture(scope="module", autouse=True)
def _importable(folder: Path) -> Any:
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    sys.modules.pop(SMALL, None)


def asked(function: str, **options: Any) -> LoadOptions:
    return LoadOptions(device="cpu", calculator=f"{SMALL}:{function}", **options)


@pytest.fixture(scope="module", params=["emt", "tblite", "springs"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


@pytest.fixture(scope="module")
def potential(case: Case) -> Potential:
    return load(case.model, asked(case.model))


LOWERS = """
def lowering(path, device):
    import torch

    torch.set_float32_matmul_precision("medium")
    return EMT()
"""
LOADED = """
import sys
from harness.core.potential import LoadOptions
from harness.models.foreign import load_foreign
from harness.potentials.ase_calculator import load

for name in sys.argv[1:]:
    options = LoadOptions(device="cpu", calculator=f"of_users:{name}")
    load_foreign("harness.potentials.ase_calculator", name, lambda: load(name, options), contained=True, alone=True)
    torch = sys.modules.get("torch")
    print(name, torch is not None, *([] if torch is None else [torch.get_float32_matmul_precision()]))
"""


def test_traits(folder: Path) -> None:
    traits = load("springs", asked("springs")).traits
    module = sha256_of(folder / f"{SMALL}.py")
    assert traits == PotentialTraits(
        "springs", "ase", None, files={f"{SMALL}:springs": module}, packages=("ase",), conservative=None
    )


def test_functions_of_one_module_are_different_models() -> None:
    assert load("here", asked("springs")).traits.files != load("here", asked("emt")).traits.files


def test_the_package_of_the_calculator_belongs_to_the_result() -> None:
    assert load("tblite", asked("tblite")).traits.packages == ("ase", "tblite")


def test_agrees_with_the_adapter_of_the_same_method(batch: StructureBatch) -> None:
    expected = xtb.load("gfn2-xtb", LoadOptions()).compute(batch)
    prediction = load("tblite", asked("tblite")).compute(batch)
    # ASE's Hartree is smaller by 8e-9.
    np.testing.assert_allclose(prediction.energy, expected.energy, rtol=2e-8)
    np.testing.assert_allclose(prediction.forces, expected.forces, rtol=0, atol=1e-6)


@pytest.mark.parametrize("function", ["tblite", "memory"])
def test_nothing_is_left_from_one_structure_to_the_next(function: str) -> None:
    require_one_thread()  # several add in another order each time
    numbers, positions, smiles = unpacked(molecules())[0]
    shaken = positions + np.random.default_rng(3).normal(scale=0.05, size=positions.shape)
    potential = load(function, asked(function))
    forth = potential.compute(packed([(numbers, positions, smiles), (numbers, shaken, smiles)]))
    back = potential.compute(packed([(numbers, shaken, smiles), (numbers, positions, smiles)]))
    np.testing.assert_array_equal(forth.energy, back.energy[::-1])
    np.testing.assert_array_equal(forth.forces, np.concatenate(np.split(back.forces, 2)[::-1]))


def test_the_checkpoint_is_handed_over(folder: Path, batch: StructureBatch) -> None:
    path = folder / "spring.txt"
    potential = load(path, asked("springs", trust_checkpoint=True))
    assert potential.traits.files["spring.txt"] == sha256_of(path)
    default = load("springs", asked("springs"))
    np.testing.assert_allclose(potential.compute(batch).forces, 1.5 * default.compute(batch).forces)


def test_what_a_module_imports_from_beside_it_is_part_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    text = (
        "from ase.calculators.emt import EMT\ndef make(path, device):\n    import beside_constants\n    return EMT()\n"
    )
    (tmp_path / "beside_factory.py").write_text(text)
    constants = tmp_path / "beside_constants.py"
    found = []
    for value in (1, 2):
        constants.write_text(f"CONSTANT = {value}\n")
        found.append(load("model", LoadOptions(device="cpu", calculator="beside_factory:make")).traits.files)
    assert found[1]["beside_constants"] == sha256_of(constants)
    assert set(found[0]) == {"beside_factory:make", "beside_constants"}
    assert found[0] != found[1]


def test_the_files_of_a_folder_are_all_named(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "weights" / "first.bin").write_bytes(b"1")
    files = load(tmp_path, asked("told", trust_checkpoint=True)).traits.files
    assert set(files) == {"config.json", "weights/first.bin", f"{SMALL}:told"}


def test_a_checkpoint_that_is_not_trusted_is_not_handed_over(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"spring\.txt is passed to small_calculators:springs.*--trust-checkpoint"):
        load(folder / "spring.txt", asked("springs"))


def test_a_structure_that_cannot_be_computed_does_not_stop_the_others() -> None:
    parts = [ATOMS["three"], ATOMS["one"], ATOMS["two"], ATOMS["four"], ATOMS["three"]]
    prediction = load("springs", asked("springs")).compute(packed(parts))
    assert prediction.failures == {
        1: "CalculationFailed: the orbitals do not converge",
        2: "KeyError: 'no parameters for H'",
        3: "ArithmeticError: energy or forces are not finite",
    }
    np.testing.assert_array_equal(np.isnan(prediction.energy), [False, True, True, True, False])
    np.testing.assert_array_equal(np.isnan(prediction.forces).all(axis=1), [False] * 3 + [True] * 7 + [False] * 3)
    assert prediction.energy[0] == prediction.energy[4]


def test_an_element_that_a_calculator_lacks_is_a_failure() -> None:
    chlorine = (np.array([17, 1]), np.eye(3)[:2], "Cl")
    prediction = load("emt", asked("emt")).compute(packed([chlorine, ATOMS["three"]]))
    assert prediction.failures == {0: "NotImplementedError: No EMT-potential for Cl"}


def test_forces_of_another_shape_are_an_error() -> None:
    with pytest.raises(ModelError, match=r"forces of springs.*\(2, 3\).*\(5, 3\)"):
        load("springs", asked("springs")).compute(packed([ATOMS["five"]]))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no room"), RuntimeError("CUDA out of memory")])
def test_lack_of_memory_is_for_the_caller_to_see(error: Exception) -> None:
    class Large:
        def get_forces(self, atoms: Any) -> Any:
            raise error

    potential = AseCalculatorPotential(Large(), PotentialTraits("large", "ase", None))
    with pytest.raises(torch.OutOfMemoryError):
        potential.compute(packed([ATOMS["three"]]))


@pytest.mark.parametrize(
    ("calculator", "error", "message"),
    [
        (None, UsageError, "the family ase needs a function that makes the calculator; expected --calculator package"),
        ("springs", UsageError, "--calculator 'springs' names no function; expected --calculator package.module:func"),
        ("springs.py:make", UsageError, "--calculator springs.py:make: No module named 'springs'; expected"),
        ("no-module:make", UsageError, "--calculator 'no-module:make' names no function"),
        ("no_module:make", UsageError, "--calculator no_module:make: No module named 'no_module'; expected"),
        ("ase.no_module:make", UsageError, "--calculator ase.no_module:make: No module named 'ase.no_module'"),
        ("folder_of_calculators:make", UsageError, "folder_of_calculators is not a module with a file"),
        ("sys:exit", UsageError, "sys is not a module with a file"),
        (
            "needing_calculators:make",
            SetupError,
            "imports a package that is not installed: No module named 'no_such_package'",
        ),
        ("broken_calculators:make", ModelError, "its module cannot be imported: SyntaxError: '(' was never closed"),
        (f"{SMALL}:no", UsageError, f"{SMALL}.py has no 'no'; it has: answer_oddly springs memory told emt tblite"),
        (f"{SMALL}:EMT", UsageError, f"--calculator {SMALL}:EMT is a class; expected a function(path: Path | None, d"),
        (f"{SMALL}:constant", UsageError, f"--calculator {SMALL}:constant is a float; expected a function(path"),
        (f"{SMALL}:keyword_only", UsageError, f"{SMALL}:keyword_only takes other arguments (too many positional"),
        (f"{SMALL}:failing", ModelError, "failed on no path and device 'cpu': ValueError: no such weights"),
        (f"{SMALL}:importing", ModelError, "failed on no path and device 'cpu': ModuleNotFoundError: No module named"),
        (f"{SMALL}:odd", ModelError, f"{SMALL}:odd returned a str; expected an ASE Calculator"),
        (f"{SMALL}:without_forces", ModelError, f"the calculator of {SMALL}:without_forces has no forces; both are"),
    ],
)
def test_what_a_user_gets_wrong_is_reported(calculator: str | None, error: type[MlipOodError], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        load("mine", LoadOptions(device="cpu", calculator=calculator))


@pytest.mark.parametrize(("option", "value"), [("dtype", "float32"), ("head", "omol")])
def test_what_the_function_decides_on_is_not_taken(option: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"springs determines this itself, so it takes no --{option} {value}"):
        load("springs", asked("springs", **{option: value}))


def test_a_calculator_without_pytorch_is_loaded_without_it(tmp_path: Path) -> None:
    text = f"from ase.calculators.emt import EMT\n\n\ndef plain(path, device):\n    return EMT()\n\n\n{LOWERS}"
    (tmp_path / "of_users.py").write_text(text)
    command = [sys.executable, "-c", LOADED, "plain", "lowering"]
    search = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["plain False", "lowering True highest"], done.stderr
    assert re.search(
        r"^lowering set torch\.\S*matmul\S* to \S+; it is reset to full precision$", done.stderr, re.MULTILINE
    )
    assert "cudnn" not in done.stderr


def test_a_module_of_the_working_directory_works_in_a_worker(folder: Path, batch: StructureBatch) -> None:
    spec = WorkerSpec("harness.potentials.ase_calculator", "springs", asked("springs"), module_folders=(folder,))
    with contextlib.closing(WorkerPotential(spec)) as worker:
        assert worker.traits.files == load("springs", asked("springs")).traits.files
        prediction = worker.compute(batch)
        np.testing.assert_array_equal(prediction.energy, load("springs", asked("springs")).compute(batch).energy)
        assert worker.compute(packed([ATOMS["one"]])).failures == {0: "CalculationFailed: the orbitals do not converge"}
