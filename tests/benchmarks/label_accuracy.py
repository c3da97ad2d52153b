"""How exact the labels of a level of theory are: each setting against a tight one, on a frame of the mini edition.

    python -m tests.benchmarks.label_accuracy --level wb97x --molecule OH-2-OH

The reference has a grid of (150, 974) points on every atom, an SCF converged to 1e-11 Hartree and no density fitting.
Errors are of force components, meV/Å, and of the energy, meV. Takes minutes.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from dataset_builders.chemistry.dft import dft_singlepoint
from dataset_builders.chemistry.levels import LEVELS, DftSettings
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.units import MILLI
from dataset_builders.folder.mini import MINI_DIRECTORY

TIGHT_GRID = ((150, 974), (150, 974))
TIGHT_SCF = {"energy_convergence": 1e-11, "gradient_convergence": 1e-7}
FINITE_STEP = 2e-3  # Å


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", default="wb97x", choices=[name for name, level in LEVELS.items() if level.dft])
    parser.add_argument("--molecule", default="OH-2-OH", help="an OOD molecule of task2")
    arguments = parser.parse_args()
    settings = LEVELS[arguments.level].dft
    numbers, positions = frame_of(arguments.molecule)
    tightest = replace(settings, grid=TIGHT_GRID, auxiliary_basis=None, **TIGHT_SCF)
    reference = dft_singlepoint(tightest, numbers, positions)
    table = Table(title=f"{LEVELS[arguments.level].method}, {arguments.molecule}, {len(numbers)} atoms")
    for column in ("settings", "max", "MAE", "energy", "net force", "net torque", "CPU s"):
        table.add_column(column, justify="left" if column == "settings" else "right")
    for name, variant in variants(settings).items():
        started = time.process_time()
        energy, forces = dft_singlepoint(variant, numbers, positions)
        seconds = time.process_time() - started
        difference = (forces - reference[1]) / MILLI
        arms = positions - positions.mean(axis=0)
        cells = (
            np.abs(difference).max(),
            np.abs(difference).mean(),
            (energy - reference[0]) / MILLI,
            np.linalg.norm(forces.sum(axis=0)) / MILLI,
            np.linalg.norm(np.cross(arms, forces).sum(axis=0)) / MILLI,
            seconds,
        )
        table.add_row(name, *(f"{cell:.3f}" for cell in cells))
    Console(width=120).print(table)
    error = finite_difference_error(settings, numbers, positions)
    print(f"largest deviation from finite differences, step {FINITE_STEP:g} Å: {error:.3f} meV/Å")


def variants(settings: DftSettings) -> dict[str, DftSettings]:
    return {
        "labels": settings,
        "tight grid": replace(settings, grid=TIGHT_GRID),
        "tight SCF": replace(settings, **TIGHT_SCF),
        "no density fitting": replace(settings, auxiliary_basis=None),
        "no response of the grid": replace(settings, grid_response=False),
    }


def finite_difference_error(settings: DftSettings, numbers: IntArray, positions: FloatArray) -> float:
    """Largest deviation of a force from the central difference of energies, on three components, meV/Å."""
    _, forces = dft_singlepoint(settings, numbers, positions)
    errors = []
    for atom, axis in ((0, 0), (1, 1), (len(numbers) - 1, 2)):
        energies = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * FINITE_STEP
            energies.append(dft_singlepoint(settings, numbers, moved)[0])
        errors.append(abs(forces[atom, axis] + (energies[0] - energies[1]) / (2 * FINITE_STEP)))
    return max(errors) / MILLI


def frame_of(molecule_id: str) -> tuple[IntArray, FloatArray]:
    table = pq.read_table(MINI_DIRECTORY / "task2" / "test_ood-00000-of-00001.parquet")
    rows = table.filter(pc.equal(table["molecule_id"], molecule_id)).slice(0, 1).to_pylist()
    if not rows:
        raise SystemExit(f"{molecule_id} is no OOD molecule of task2")
    return np.array(rows[0]["atomic_numbers"]), np.array(rows[0]["positions"]).reshape(-1, 3)


if __name__ == "__main__":
    main()
