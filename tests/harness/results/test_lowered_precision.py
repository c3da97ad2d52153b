from typing import Any

import pytest
from pydantic import ValidationError

from harness.results.lowered_precision import LoweredPrecision, joint_lowering
from harness.results.result import ModelRecord

MEASURED = LoweredPrecision(
    saved="float64",
    seed=0,
    n_structures=64,
    n_atoms=1160,
    largest_force=3.14159e-5,
    mean_force=2e-6,
    largest_energy_per_atom=4e-7,
    mean_energy_per_atom=1e-7,
)
MISSING = LoweredPrecision(saved="float64", seed=0, n_structures=0, n_atoms=0, reason="the device is full")


def test_the_differences_are_one_line_with_units() -> None:
    assert MEASURED.text == (
        "differs from float64 of the checkpoint by at most 3.1e-05 eV/Å and 4e-07 eV/atom "
        "(mean 2e-06 and 1e-07; 64 structures)"
    )
    assert MISSING.text == "not compared with float64 of the checkpoint: the device is full"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"largest_force": None}, "all differences are needed, or a reason"),
        ({"reason": "none"}, "all differences are needed, or a reason"),
        ({"mean_force": 1.0}, "a mean difference exceeds the largest"),
        ({"mean_energy_per_atom": 1.0}, "a mean difference exceeds the largest"),
        ({"largest_force": -1.0}, "greater than or equal to 0"),
        ({"largest_force": float("nan")}, "finite number"),
        ({"n_structures": 0}, "differences of 0 structures"),
        ({"n_atoms": 63}, "differences of 64 structures with 63 atoms"),
        ({"saved": None}, "differences from an unknown precision"),
        ({"saved": "float8"}, "Input should be"),
    ],
)
def test_impossible_differences_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LoweredPrecision.model_validate({**MEASURED.model_dump(), **change})


def test_models_together_have_the_largest_difference_and_the_mean_of_all_components() -> None:
    other = LoweredPrecision(
        saved="float64",
        seed=0,
        n_structures=16,
        n_atoms=580,
        n_failed=2,
        largest_force=1e-5,
        mean_force=5e-6,
        largest_energy_per_atom=9e-7,
        mean_energy_per_atom=6e-7,
    )
    found = joint_lowering({"seed0": MEASURED, "seed1": other, "in float64": None})
    assert found is not None
    assert (found.n_structures, found.n_atoms, found.n_failed) == (80, 1740, 2)
    assert (found.largest_force, found.largest_energy_per_atom) == (3.14159e-5, 9e-7)
    # (1160 * 2e-6 + 580 * 5e-6) / 1740 and (64 * 1e-7 + 16 * 6e-7) / 80
    assert found.mean_force == pytest.approx(3e-6)
    assert found.mean_energy_per_atom == pytest.approx(2e-7)


def test_one_model_without_differences_leaves_none_together() -> None:
    found = joint_lowering({"task1/seed0": MEASURED, "task1/seed1": MISSING})
    assert found is not None
    assert (found.reason, found.largest_force) == ("task1/seed1: the device is full", None)
    assert joint_lowering({"seed0": None, "seed1": None}) is None
    assert joint_lowering({}) is None


def test_a_record_of_an_earlier_version_has_none() -> None:
    model = ModelRecord(
        id="m",
        family="mace",
        revision=None,
        files={},
        protocol="zero-shot",
        trained_on=None,
        dtype="float32",
        device="cpu",
        level_of_theory=None,
        elements=None,
        conservative=None,
        lowered_precision=MEASURED,
    )
    document = model.model_dump(mode="json")
    assert ModelRecord.model_validate_json(model.model_dump_json()).lowered_precision == MEASURED
    del document["lowered_precision"]
    assert ModelRecord.model_validate(document, strict=False).lowered_precision is None
