"""Records of made-up runs, with numbers that can be worked out by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dataset_builders.tasks.regions import TaskName
from harness.results.result import DatasetRecord
from harness.study.run_record import (
    DistanceRecord,
    EnergyError,
    Machine,
    ModelFacts,
    MoleculeError,
    Number,
    ReferenceName,
    RunRecord,
)

CONTENT = "ab" * 32
TRAIN_CODE = "cd" * 32


def number(value: float) -> Number:
    return Number(value=value, low=0.9 * value, high=1.1 * value)


def molecules(
    errors: Sequence[float], subset: str = "", expected: float | None = None, influence: float | None = None
) -> tuple[MoleculeError, ...]:
    """One molecule for each error, of the drawn fragments F0, F1, ...; spacers 2, 3, ... and 10, 20, ... atoms."""
    return tuple(
        MoleculeError(
            molecule_id=f"OH-{place + 2}-H{subset}",
            subset=subset,
            spacer=place + 2,
            n_frames=2,
            n_atoms=10 * (place + 1),
            force_mae=error,
            expected_force_mae=expected,
            relative_energy_mae=0.01,
            drawn=(f"F{place}{subset}",),
            expected_influence=influence,
        )
        for place, error in enumerate(errors)
    )


def mean_error(errors: Sequence[float]) -> float:
    weights = [10 * (place + 1) for place in range(len(errors))]
    return sum(weight * error for weight, error in zip(weights, errors, strict=True)) / sum(weights)


def record(
    row: str,
    task: TaskName = "task1",
    seed: int | None = None,
    known: Sequence[float] = (0.01, 0.02),
    unseen: Sequence[float] = (0.03, 0.06),
    **others: Any,
) -> RunRecord:
    """A record with these force errors (eV/Å) of its ID and OOD molecules; trained if it has a seed."""
    energy = EnergyError(total=number(1.0), per_atom=number(0.1))
    names: tuple[ReferenceName, ...] = ("none", "mean", "elements")
    numbers = {"test_id": number(0.2), "test_ood": number(0.3), "both": number(0.4)}
    training = (
        {} if seed is None else {"steps": 100, "wall_time_s": 60.0, "best_validation": {"validation_force_mae": 0.01}}
    )
    values: dict[str, Any] = {
        "row": row,
        "kind": "control" if seed is None else "trained",
        "task": task,
        "seed": seed,
        "asked": () if seed is None else ("--budget", "5"),
        "identity": {"row": row, "measure_code": CONTENT} | ({} if seed is None else {"train_code": TRAIN_CODE}),
        "dataset": DatasetRecord(
            id="mini", revision=None, content_hash=CONTENT, edition="mini", level_of_theory="GFN2-xTB"
        ),
        "model": ModelFacts(
            family="toy",
            files={} if seed is None else {"model.safetensors": CONTENT},
            protocol="control" if seed is None else "from-scratch",
            dtype="float64",
            device="cpu",
            n_parameters=None if seed is None else 1234,
        ),
        "training": training,
        "machine": Machine(python="3.11", platform="Linux", cores=2, processor="abacus", packages={"numpy": "2"}),
        "commands": ("python -m harness --model toy",),
        "seconds": {"predict": 30.0},
        "created": datetime(2026, 1, 2, tzinfo=UTC),
        "force_mae": {"test_id": number(mean_error(known)), "test_ood": number(mean_error(unseen))},
        "zero_force_mae": {"test_id": 0.6, "test_ood": 0.6},
        "gap": number(3.0),
        "score": number(50.0),
        "relative_energy_mae": {"test_id": number(0.005), "test_ood": number(0.01)},
        "energies": {split: dict.fromkeys(names, energy) for split in ("test_id", "test_ood")},
        "expected_force_mae": 0.025,
        "excess": number(mean_error(unseen) / 0.025),
        "distances": DistanceRecord(
            typical={1: 0.2, 6: 0.4},
            edges=(0.5, 1.0, 2.0),
            middles=(0.7, 1.5),
            n_atoms={"test_id": (20, 10), "test_ood": (0, 30)},
            error={"test_id": (0.01, 0.02), "test_ood": (None, 0.05)},
            rank_correlation=numbers,
            within_elements=numbers,
        ),
        "molecules": {"test_id": molecules(known, influence=0.0), "test_ood": molecules(unseen, expected=0.025)},
    }
    return RunRecord(**{**values, **others})
