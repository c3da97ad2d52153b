"""Structures per second of the harness, beside a loop over the calculator for ASE of the same family.

python -m tests.benchmarks.against_ase --model reference
python -m tests.benchmarks.against_ase --model path/to/ani2x
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from ase import Atoms

from harness.compute.staging import compute_ahead
from harness.core.potential import LoadOptions
from harness.data.dataset import open_dataset
from harness.data.rows import stream_split
from harness.data.scan import scan_splits
from harness.inference.batch_size import batch_atoms_for
from harness.inference.batching import make_plan
from harness.inference.windows import Window, read_windows
from harness.models.registry import load_potential
from harness.models.resolve import resolve_model

REPEATS = 5


def calculator_of(family: str, potential: Any) -> Any:
    """The calculator that the family's own package makes of the model that the harness has loaded."""
    device = potential.traits.device
    match family:
        case "mace":
            from mace.calculators import MACECalculator

            return MACECalculator(models=potential._model, device=device, default_dtype=potential.traits.dtype)
        case "torchani":
            return potential._network.ase()
        case "aimnet2":
            from aimnet.calculators import AIMNet2ASE

            return AIMNet2ASE(potential._calculator)
        case "chgnet":
            from chgnet.model.dynamics import CHGNetCalculator

            return CHGNetCalculator(potential._network, use_device=device)
        case "graph-pes":
            from graph_pes.utils.calculator import GraphPESCalculator

            return GraphPESCalculator(potential.network, device=device)
        case _:
            raise SystemExit(f"{family} has no calculator for ASE to compare with")


def in_batches(potential: Any, window: Window, bounds: list[int]) -> None:
    batches = (((), window.batch(first, last)) for first, last in pairwise(bounds))
    for _ in compute_ahead(potential, batches, tuple):
        pass


def one_by_one(calculator: Any, window: Window, n_structures: int) -> None:
    for number in range(n_structures):
        batch = window.batch(number, number + 1)
        # A cell for families that take none without: molecules lie far from their images in it.
        atoms = Atoms(numbers=batch.atomic_numbers, positions=batch.positions, calculator=calculator)
        atoms.info.update(charge=0, spin=1)
        atoms.get_potential_energy()
        atoms.get_forces()


def rate(call: Callable[[], None], n_structures: int) -> float:
    started = time.perf_counter()
    call()
    return n_structures / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="reference")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-atoms", type=int)
    parser.add_argument("--trust-checkpoint", action="store_true")
    arguments = parser.parse_args()
    source = resolve_model(arguments.model)
    options = LoadOptions(device=arguments.device, trust_checkpoint=arguments.trust_checkpoint)
    potential: Any = load_potential(source, options)
    potential = getattr(potential, "potential", potential)
    calculator = calculator_of(source.family.name, potential)
    dataset = open_dataset("mini")
    scan = scan_splits({("task2", "test_ood"): stream_split(dataset, "task2", "test_ood")})
    batch_atoms = arguments.batch_atoms or batch_atoms_for(potential, read_windows(dataset, make_plan(scan, 512)))
    plan = make_plan(scan, batch_atoms)
    (window,) = read_windows(dataset, plan)
    bounds = sorted({bound for shard in plan.shards for bound in shard.bounds})
    n_structures = next((bound for bound in bounds if bound >= 100), bounds[-1])
    bounds = [bound for bound in bounds if bound <= n_structures]
    in_batches(potential, window, bounds)
    one_by_one(calculator, window, 3)
    rates: dict[str, list[float]] = {"harness": [], "ASE loop": []}
    for _ in range(REPEATS):
        rates["harness"].append(rate(lambda: in_batches(potential, window, bounds), n_structures))
        rates["ASE loop"].append(rate(lambda: one_by_one(calculator, window, n_structures), n_structures))
    print(
        f"{arguments.model} ({source.family.name}, {potential.traits.dtype}) on {potential.traits.device}, "
        f"{n_structures} structures of task2, median of {REPEATS}"
    )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    for name, value in medians.items():
        print(f"{name:>9} {value:>10.1f} structures/s")
    print(f"harness : ASE loop = {medians['harness'] / medians['ASE loop']:.2f}")


if __name__ == "__main__":
    main()
