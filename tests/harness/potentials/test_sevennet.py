"""The contract and what is particular to SevenNet, in its own environment."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ModelError, UsageError
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions, Potential
from harness.potentials import sevennet
from harness.potentials.sevennet import SHIPPED
from harness.worker.client import WorkerPotential, WorkerSpec
from tests.harness.potentials.other_interpreter import Loaded, asked_elsewhere, python_of
from tests.harness.potentials.test_contract import (  # noqa: F401 (the one contract, on the fixtures of this module)
    Case,
    in_float32,
    test_a_batch_equals_its_structures_one_by_one,
    test_an_element_without_parameters_is_refused,
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

Own = dict[tuple[str, str | None], tuple[FloatArray, FloatArray]]

CPU = LoadOptions(device="cpu")
TRUSTED = LoadOptions(device="cpu", trust_checkpoint=True)
CHOICES = {"7net-0": None, "7net-l3i5": None, "7net-mf-0": "PBE"}
"""The fidelity that is asked for here, of models that have several."""

REFUSALS = {
    "no fidelity": ("7net-mf-0", CPU),
    "unknown fidelity": ("7net-mf-0", LoadOptions(device="cpu", head="mp")),
    "needless fidelity": ("7net-0", LoadOptions(device="cpu", head="PBE")),
    "not shipped": ("7net-omni", CPU),
}


def worker(source: Path | str, options: LoadOptions = CPU) -> WorkerPotential:
    return WorkerPotential(WorkerSpec("harness.potentials.sevennet", source, options, python_of("sevennet")))


def own_calculator(model: str, modal: str | None) -> Any:
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(model, device="cpu", modal=modal)


BY_DEFAULT = ("7net-0", "7net-mf-0")
"""One model of one fidelity, and one of several; `make slow` takes all."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name in BY_DEFAULT else pytest.mark.slow) for name in SHIPPED],
)
def case(request: pytest.FixtureRequest) -> Case:
    return in_float32(request.param, LoadOptions(device="cpu", head=CHOICES[request.param]))


@pytest.fixture(scope="module")
def potential(case: Case) -> Iterator[Potential]:
    with contextlib.closing(worker(case.model, case.options)) as started:
        yield started


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that lies elsewhere than in the package."""
    library = python_of("sevennet").parent.parent / "lib"
    shipped = next(library.glob("python*/site-packages/sevenn/pretrained_potentials/SevenNet_0__11Jul2024/*.pth"))
    return Path(shutil.copy(shipped, tmp_path_factory.mktemp("sevennet") / "copied.pth"))


@pytest.fixture(scope="module")
def elsewhere(
    batch: StructureBatch, copied: Path, tmp_path_factory: pytest.TempPathFactory, slow_tests_run: bool
) -> tuple[Own, dict[str, str], Loaded]:
    """What the package's own calculator gives, what the loader says of what it refuses, and the trusted file."""
    models = [name for name in CHOICES if slow_tests_run or name in BY_DEFAULT]
    choices = [*((name, CHOICES[name]) for name in models), ("7net-mf-0", "R2SCAN")]
    arguments = [{"model": model, "modal": modal} for model, modal in choices]
    broken = tmp_path_factory.mktemp("sevennet") / "broken.pth"
    broken.write_bytes(b"PK\x03\x04 this is no archive")
    asked = REFUSALS | {"broken": (broken, TRUSTED), "trusted": (copied, TRUSTED)}
    answers = asked_elsewhere("sevennet", own_calculator, batch, arguments, list(asked.values()))
    (trusted,) = answers.loaded.values()
    return dict(zip(choices, answers.numbers, strict=True)), dict(zip(asked, answers.messages, strict=True)), trusted


@pytest.fixture(scope="module")
def own(elsewhere: tuple[Own, dict[str, str], Loaded]) -> Own:
    """Energies and forces of the package's own calculator, by model and fidelity."""
    return elsewhere[0]


@pytest.fixture(scope="module")
def refusals(elsewhere: tuple[Own, dict[str, str], Loaded]) -> dict[str, str]:
    return elsewhere[1]


def test_agrees_with_the_calculator_of_its_own_family(case: Case, prediction: Prediction, own: Own) -> None:
    energy, forces = own[case.model, case.options.head]
    np.testing.assert_allclose(prediction.energy, energy, rtol=0, atol=5e-6)
    np.testing.assert_allclose(prediction.forces, forces, rtol=0, atol=1e-5)


def test_the_chosen_fidelity_decides(own: Own) -> None:
    pbe, r2scan = own["7net-mf-0", "PBE"][0], own["7net-mf-0", "R2SCAN"][0]
    assert np.abs(pbe - r2scan).min() > 0.1


def test_traits(potential: Potential, case: Case) -> None:
    traits = potential.traits
    assert (traits.family, traits.dtype, traits.protocol) == ("sevennet", "float32", "zero-shot")
    assert traits.saved_dtype == "float32"
    assert (traits.head, traits.level_of_theory) == (case.options.head, SHIPPED[case.model])
    assert traits.elements is not None
    assert {1, 6, 7, 8, 9, 16, 17} < traits.elements
    assert len(traits.elements) == 89


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "no fidelity",
            "ModelError: 7net-mf-0 has the fidelities R2SCAN PBE, and none was chosen; choose one with --",
        ),
        (
            "unknown fidelity",
            "ModelError: 7net-mf-0 has the fidelities R2SCAN PBE, and 'mp' is not one of them; cho",
        ),
        ("needless fidelity", "UsageError: 7net-0 has only one fidelity, so it takes no --head; leave out --head PBE"),
        (
            "not shipped",
            "UsageError: '7net-omni' is not a model shipped with sevenn; expected one of 7net-0 7net-l3i5",
        ),
        ("broken", "broken.pth cannot be read as a SevenNet checkpoint (RuntimeError: "),
    ],
)
def test_what_is_refused_is_reported(refusals: dict[str, str], asked: str, message: str) -> None:
    assert message in refusals[asked]


def test_double_precision_is_refused() -> None:
    with pytest.raises(UsageError, match="single precision only; leave out --dtype float64"):
        sevennet.load("7net-0", LoadOptions(device="cpu", dtype="float64"))


def test_a_file_from_elsewhere_needs_trust(copied: Path) -> None:
    with pytest.raises(ModelError, match=r"copied\.pth \(sha256 \w{64}\) is a pickle.*--trust-checkpoint"):
        sevennet.load(copied, CPU)


def test_a_trusted_file_is_the_model_that_it_holds(elsewhere: tuple[Own, dict[str, str], Loaded], own: Own) -> None:
    assert elsewhere[1]["trusted"] == "loaded"
    trusted = elsewhere[2]
    assert trusted.traits.level_of_theory is None
    assert list(trusted.traits.files) == ["copied.pth"]
    np.testing.assert_allclose(trusted.energy, own["7net-0", None][0], rtol=0, atol=5e-6)
