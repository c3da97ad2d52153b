"""The contract and what is particular to SO3LR, in its own environment."""

import contextlib
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.errors import ModelError, UsageError
from dataset_builders.tasks.words import word
from harness.core.potential import LoadOptions, Potential
from harness.inference.force_consistency import cautions_about
from harness.models.registry import identify
from harness.potentials import so3lr
from harness.worker.client import WorkerPotential, WorkerSpec
from tests.harness.potentials.molecules import WORDS, molecules
from tests.harness.potentials.other_interpreter import (
    Answers,
    Arrays,
    asked_elsewhere,
    calculate_and_load,
    python_of,
)
from tests.harness.potentials.test_contract import (  # noqa: F401 (the one contract, on the fixtures of this module)
    Case,
    in_float32,
    test_a_batch_equals_its_structures_one_by_one,
    test_an_element_without_parameters_is_refused,
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

CPU = LoadOptions(device="cpu")
FLOAT64 = LoadOptions(device="cpu", dtype="float64")
TRUSTED = LoadOptions(device="cpu", trust_checkpoint=True)

LONG = word("COOH", 12, "H")
"""Longer than the cutoff of the electrostatics, 12 Å."""


class Attack:
    """A pickle that would write a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (Path.touch, (self.place,))


def worker(source: Path | str, options: LoadOptions = CPU) -> WorkerPotential:
    return WorkerPotential(WorkerSpec("harness.potentials.so3lr", source, options, python_of("so3lr")))


def own_calculator(dtype: str) -> Any:
    import contextlib
    import io

    from so3krates_torch.calculator.so3 import SO3LRCalculator

    with contextlib.redirect_stdout(io.StringIO()):
        return SO3LRCalculator(device="cpu", default_dtype=dtype)


@pytest.fixture(scope="module", params=["float32", "float64"])
def case(request: pytest.FixtureRequest) -> Case:
    return in_float32("so3lr", CPU) if request.param == "float32" else Case("so3lr", FLOAT64)


@pytest.fixture(scope="module")
def potential(case: Case) -> Iterator[Potential]:
    with contextlib.closing(worker(case.model, case.options)) as started:
        yield started


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that torch.save wrote, with a call hidden in it."""
    import torch

    folder = tmp_path_factory.mktemp("so3lr")
    torch.save({"model": Attack(folder / "ran")}, folder / "attack.so3lr.pt")
    return folder / "attack.so3lr.pt"


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped weights under a name of their own, as a model of its trainer would lie somewhere."""
    library = python_of("so3lr").parent.parent / "lib"
    shipped = next(library.glob("python*/site-packages/so3krates_torch/pretrained/so3lr/so3lr.model"))
    return Path(shutil.copy(shipped, tmp_path_factory.mktemp("so3lr") / "copied.so3lr.pt"))


@pytest.fixture(scope="module")
def asked(attacked: Path, copied: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the adapter is asked to load in the environment of the family: the model, and with which options."""
    import torch

    folder = tmp_path_factory.mktemp("so3lr")
    torch.save({"weight": torch.zeros(3)}, folder / "state.so3lr.pt")
    (folder / "broken.so3lr.pt").write_bytes(b"PK\x03\x04 this is no archive")
    (folder / "plain.so3lr.pt").write_bytes(pickle.dumps({"a": 1}))
    return {
        "needless head": ("so3lr", LoadOptions(device="cpu", head="pbe")),
        "not shipped": ("so3lr-2", CPU),
        "attack": (attacked, TRUSTED),
        "state dict": (folder / "state.so3lr.pt", TRUSTED),
        "broken": (folder / "broken.so3lr.pt", TRUSTED),
        "plain": (folder / "plain.so3lr.pt", TRUSTED),
        "trusted": (copied, TRUSTED),
    }


@pytest.fixture(scope="module")
def elsewhere(asked: dict[str, Any]) -> Answers:
    """The package's own calculator in both precisions, what the adapter loads and refuses, what the network gets."""
    choices = [{"dtype": "float32"}, {"dtype": "float64"}]
    batch, sources = molecules((*WORDS, LONG)), list(asked.values())
    return asked_elsewhere("so3lr", own_calculator, batch, choices, sources, function=ask_and_spy, helpers=[received])


@pytest.fixture(scope="module")
def refusals(asked: dict[str, Any], elsewhere: Answers) -> dict[str, str]:
    """What the loader says of what it refuses."""
    return dict(zip(asked, elsewhere.messages, strict=True))


def test_agrees_with_the_calculator_of_its_own_family(potential: Potential, case: Case, elsewhere: Answers) -> None:
    energy, forces = elsewhere.numbers[case.options.dtype == "float64"]
    found = potential.compute(molecules((*WORDS, LONG)))
    # The calculator adds up the energies of atoms in the precision of the model, the adapter in double precision.
    rounding, tolerance = (1e-12, 1e-9) if case.options.dtype == "float64" else (2e-7, 1e-5)
    np.testing.assert_allclose(found.energy, energy, rtol=rounding, atol=0)
    np.testing.assert_allclose(found.forces, forces, rtol=0, atol=tolerance)


def test_traits(potential: Potential) -> None:
    traits = potential.traits
    assert (traits.family, traits.protocol, traits.level_of_theory) == ("so3lr", "zero-shot", "PBE0+MBD")
    assert traits.elements == {1, 6, 7, 8, 9, 15, 16, 17}
    assert traits.files == {"so3lr.model": so3lr.SHIPPED_SHA256}
    assert traits.versions["so3krates-torch"] == "0.2.1"


def test_the_network_receives_a_neutral_closed_shell_in_the_type_that_it_takes(elsewhere: Answers) -> None:
    """The package makes charge and spin of the type of the positions, a number for each structure."""
    found = elsewhere.arrays
    np.testing.assert_array_equal(found["total_charge"], np.zeros(4))
    np.testing.assert_array_equal(found["total_spin"], np.zeros(4))
    assert found["total_charge"].dtype == found["total_spin"].dtype == found["own_charge"].dtype == np.float32
    assert found["atomic_numbers"].dtype == found["own_atomic_numbers"].dtype == np.int64
    np.testing.assert_array_equal(found["atomic_numbers"], found["own_atomic_numbers"])
    np.testing.assert_array_equal(found["own_charge"], found["total_charge"])
    np.testing.assert_array_equal(found["own_spin"], found["total_spin"])


def ask_and_spy(arrays: Arrays, **asked: Any) -> Arrays:
    """Runs in the other interpreter."""
    return calculate_and_load(arrays, **asked) | received(arrays)


def received(arrays: Arrays) -> Arrays:
    """Runs in the other interpreter: what the network is given by the adapter and by the package's calculator."""
    import contextlib
    import io

    import numpy as np
    from ase import Atoms
    from so3krates_torch.calculator.so3 import SO3LRCalculator
    from so3krates_torch.modules.models import SO3LR

    from harness.core.batch import StructureBatch
    from harness.core.potential import LoadOptions
    from harness.potentials import so3lr

    seen: list[dict[str, Any]] = []
    forward = SO3LR.forward

    def spying(self: Any, data: Any, *arguments: Any, **named: Any) -> Any:
        names = ("total_charge", "total_spin", "atomic_numbers")
        seen.append({name: data[name].detach().clone().numpy() for name in names})
        return forward(self, data, *arguments, **named)

    SO3LR.forward = spying
    numbers, positions, n_atoms = (arrays[name] for name in ("atomic_numbers", "positions", "n_atoms"))
    so3lr.load("so3lr", LoadOptions(device="cpu")).compute(
        StructureBatch(numbers, positions, n_atoms, ("a", "b", "c", "d"))
    )
    with contextlib.redirect_stdout(io.StringIO()):
        calculator = SO3LRCalculator(device="cpu", default_dtype="float32")
    bounds = np.cumsum(n_atoms)[:-1]
    for part, place in zip(np.split(numbers, bounds), np.split(positions, bounds), strict=True):
        Atoms(numbers=part, positions=place, calculator=calculator).get_forces()
    own = {name: np.concatenate([np.atleast_1d(each[name]) for each in seen[1:]]) for name in seen[0]}
    return {
        **seen[0],
        "own_charge": own["total_charge"],
        "own_spin": own["total_spin"],
        "own_atomic_numbers": own["atomic_numbers"],
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("needless head", "UsageError: so3lr has no readout heads, so it takes no --head; leave out --head pbe"),
        ("not shipped", "UsageError: 'so3lr-2' is not a model shipped with so3krates-torch; expected so3lr, or a"),
        ("attack", "attack.so3lr.pt names builtins.getattr, pathlib.Path, "),
        ("state dict", "state.so3lr.pt contains a dict; expected a whole SO3LR model with one head"),
        ("broken", "ModelError: cannot read the checkpoint"),
        ("plain", "ModelError: cannot"),
    ],
)
def test_what_is_refused_is_said(refusals: dict[str, str], source: str, message: str) -> None:
    assert message in refusals[source]


def test_no_code_of_a_trusted_file_runs(attacked: Path, elsewhere: object) -> None:
    assert not (attacked.parent / "ran").exists()


def test_other_weights_in_the_package_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "pretrained" / "so3lr" / "so3lr.model"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"other weights")
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    monkeypatch.setattr(so3lr, "version", lambda _: "0.3.0")
    with pytest.raises(ModelError, match=r"so3krates-torch 0.3.0 has sha256 \w{64}; expected b5145.*env create so3lr"):
        so3lr.load("so3lr", CPU)


def test_a_file_from_elsewhere_needs_trust(copied: Path) -> None:
    assert identify(str(copied)).family.name == "so3lr"
    with pytest.raises(ModelError, match=r"copied\.so3lr\.pt \(sha256 \w{64}\) is a pickle.*--trust-checkpoint"):
        so3lr.load(copied, CPU)


def test_a_trusted_file_is_the_model_that_it_holds(elsewhere: Answers) -> None:
    (trusted,) = elsewhere.loaded.values()
    assert elsewhere.messages[-1] == "loaded"
    assert trusted.traits.level_of_theory is None
    assert list(trusted.traits.files) == ["copied.so3lr.pt"]
    np.testing.assert_allclose(trusted.forces, elsewhere.numbers[0][1], rtol=0, atol=1e-5)


def test_a_head_is_refused_without_the_package() -> None:
    with pytest.raises(UsageError, match="leave out --head pbe"):
        so3lr.load("so3lr", LoadOptions(device="cpu", head="pbe"))


def test_a_long_chain_is_cautioned_for_nothing(potential: Potential) -> None:
    assert cautions_about(potential, [molecules((LONG,))]) == ()
