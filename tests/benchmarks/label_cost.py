"""What a wB97M-D3(BJ) label costs, and what its errors are: each setting against how labels were made before.

    python -m tests.benchmarks.label_cost OH-2-OH Cl-4-Cl CHO-4-CHO

The molecules are OOD molecules of task2, the frame is the first of each, or `water`. `before` is PySCF alone with the
settings until then and a first density from a coarse grid. CPU seconds of one thread, SCF and gradient apart. Errors
are of force components, meV/Å, and of the energy, meV, against a larger grid, a larger fitting basis (`autoaux`) and a
tighter SCF;
`--exact` takes exact integrals in its place, which takes much longer. `--without-before` leaves out the dear row.
`--sgx` adds semi-numerical exchange (`pyscf.sgx`), timed alone.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from rich.console import Console
from rich.table import Table

from dataset_builders.chemistry import dft
from dataset_builders.chemistry.fitted_kohn_sham import gradient_of, solve
from dataset_builders.chemistry.levels import LEVELS, DftSettings
from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.units import BOHR, HARTREE, HARTREE_PER_BOHR, MILLI
from tests.benchmarks.label_accuracy import frame_of

REFERENCE = {
    "grid": ((75, 590), (99, 974)),
    "auxiliary_basis": "autoaux",
    "energy_convergence": 1e-11,
    "gradient_convergence": 1e-7,
}
WATER = np.array([8, 1, 1]), np.array([[0.0, 0.0, 0.12], [0.0, 0.76, -0.48], [0.1, -0.74, -0.45]])
COLUMNS = ("settings", "points", "SCF, s", "gradient, s", "together", "speed", "max", "MAE", "energy")


@dataclass(frozen=True, slots=True)
class Result:
    """Hartree and Hartree/Bohr, CPU seconds."""

    energy: float
    gradient: FloatArray
    scf: float
    gradient_seconds: float
    n_points: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", nargs="+")
    parser.add_argument("--exact", action="store_true")
    parser.add_argument("--without-before", action="store_true")
    parser.add_argument("--sgx", action="store_true")
    parser.add_argument(
        "--same-fit", action="store_true", help="keep the fit in the reference, for errors of grids alone"
    )
    parser.add_argument("--basis", default="def2-tzvppd", help="a smaller one shows the errors of grids sooner")
    parser.add_argument("--only", nargs="*", help="names of settings (default: all)")
    arguments = parser.parse_args()
    for molecule in arguments.molecules:
        print_table(molecule, arguments)


def print_table(molecule: str, arguments: argparse.Namespace) -> None:
    numbers, positions = WATER if molecule == "water" else frame_of(molecule)
    settings = replace(LEVELS["wb97m-d3bj"].dft, basis=arguments.basis)
    tight = replace(settings, **REFERENCE)
    if arguments.same_fit:
        tight = replace(tight, auxiliary_basis=settings.auxiliary_basis)
    by_pyscf = partial(pyscf_alone, numbers=numbers, positions=positions)
    ours = partial(fast, numbers=numbers, positions=positions)
    reference = by_pyscf(replace(tight, auxiliary_basis=None)) if arguments.exact else ours(tight)
    table = Table(title=f"wB97M-D3(BJ)/{arguments.basis}, {molecule}, {len(numbers)} atoms")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "settings" else "right")
    before = None
    for name, run in rows(settings, ours, by_pyscf, arguments):
        result = run()
        print(name, result.scf, result.gradient_seconds, flush=True)
        before = before or result
        table.add_row(name, *cells(result, reference, before))
    Console(width=120).print(table)


def rows(
    settings: DftSettings,
    ours: Callable[[DftSettings], Result],
    by_pyscf: Callable[[DftSettings], Result],
    arguments: argparse.Namespace,
) -> Iterator[tuple[str, Callable[[], Result]]]:
    variants = {
        "labels": settings,
        "grid (75, 590), H (50, 302)": replace(settings, grid=((50, 302), (75, 590))),
        "grid (75, 434), H (50, 302)": replace(settings, grid=((50, 302), (75, 434))),
        "grid (75, 302), H (50, 302)": replace(settings, grid=((50, 302), (75, 302))),
        "grid (75, 590), H (50, 194)": replace(settings, grid=((50, 194), (75, 590))),
        "grid (75, 590), H (30, 194)": replace(settings, grid=((30, 194), (75, 590))),
        "grid (50, 590), H (40, 302)": replace(settings, grid=((40, 302), (50, 590))),
        "grid (50, 434), H (30, 194)": replace(settings, grid=((30, 194), (50, 434))),
        "grid of the reference": replace(settings, grid=REFERENCE["grid"]),
        "fit by def2-universal-jkfit": replace(settings, auxiliary_basis="def2-universal-jkfit"),
        "fit of the reference": replace(settings, auxiliary_basis=REFERENCE["auxiliary_basis"]),
        "SCF to 1e-8, 1e-4": replace(settings, energy_convergence=1e-8, gradient_convergence=1e-4),
        "SCF of the reference": replace(settings, energy_convergence=1e-11, gradient_convergence=1e-7),
    }
    if not arguments.without_before:
        yield "before", partial(by_pyscf, replace(settings, grid=((50, 302), (75, 590))))
    for name, variant in variants.items():
        if not arguments.only or name in arguments.only:
            yield name, partial(ours, variant)
    if arguments.sgx:
        yield "semi-numerical exchange", partial(by_pyscf, replace(settings, auxiliary_basis=None), sgx=True)


def fast(settings: DftSettings, numbers: IntArray, positions: FloatArray) -> Result:
    started = time.process_time()
    solution = solve(settings, partial(dft._molecule, settings, numbers, positions.astype(float) / BOHR))
    solved = time.process_time()
    gradient = gradient_of(solution)
    ended = time.process_time()
    return Result(solution.energy, gradient, solved - started, ended - solved, solution.field.grids.weights.size)


def pyscf_alone(settings: DftSettings, numbers: IntArray, positions: FloatArray, *, sgx: bool = False) -> Result:
    started = time.process_time()
    molecule = dft._molecule(settings, numbers, positions.astype(float) / BOHR, settings.basis)
    if sgx:
        from pyscf.sgx import sgx_fit

        field = sgx_fit(dft._mean_field(settings, molecule))
        field.kernel()
    else:
        field = dft._converged(settings, molecule)
    solved = time.process_time()
    gradients = field.nuc_grad_method()
    gradients.grid_response = True
    gradient = gradients.kernel()
    return Result(
        float(field.e_tot), gradient, solved - started, time.process_time() - solved, field.grids.weights.size
    )


def cells(result: Result, reference: Result, before: Result) -> Iterator[str]:
    force = np.abs(result.gradient - reference.gradient) * HARTREE_PER_BOHR / MILLI
    together = result.scf + result.gradient_seconds
    yield f"{result.n_points:,}"
    for seconds in (result.scf, result.gradient_seconds, together):
        yield f"{seconds:.1f}"
    yield f"{(before.scf + before.gradient_seconds) / together:.1f} x"
    yield f"{force.max():.3f}"
    yield f"{force.mean():.3f}"
    yield f"{(result.energy - reference.energy) * HARTREE / MILLI:.3f}"


if __name__ == "__main__":
    main()
