"""Structures per second of SO3LR in batches, beside a loop over the calculator for ASE of its package.

Both run in one process of the family's own environment: `python -m harness env create so3lr` makes it.

python -m tests.benchmarks.against_ase_elsewhere
"""

import argparse
from itertools import islice
from typing import Any

import numpy as np

from harness.data.dataset import open_dataset
from tests.harness.potentials.other_interpreter import Arrays, run_elsewhere
from tests.harness.potentials.test_so3lr import own_calculator

REPEATS = 5


def both_rates(arrays: Arrays, batch_atoms: int, repeats: int) -> Arrays:
    """Runs in the other interpreter: structures per second of the adapter and of the loop, for each repeat."""
    import time
    from itertools import pairwise

    import numpy as np
    from ase import Atoms

    from harness.core.batch import StructureBatch
    from harness.core.potential import LoadOptions
    from harness.potentials import so3lr

    numbers, positions, n_atoms = (arrays[name] for name in ("atomic_numbers", "positions", "n_atoms"))
    whole = StructureBatch(numbers, positions, n_atoms, ("",) * len(n_atoms))
    ends = [0]
    for index in range(1, len(n_atoms) + 1):
        if index == len(n_atoms) or n_atoms[ends[-1] : index + 1].sum() > batch_atoms:
            ends.append(index)
    batches = [whole.slice(start, stop) for start, stop in pairwise(ends)]
    potential, calculator = so3lr.load("so3lr", LoadOptions(device="cpu")), own_calculator("float32")
    bounds = np.cumsum(n_atoms)[:-1]
    molecules = list(zip(np.split(numbers, bounds), np.split(positions, bounds), strict=True))

    def in_batches() -> None:
        for batch in batches:
            potential.compute(batch)

    def one_by_one() -> None:
        for part, place in molecules:
            Atoms(numbers=part, positions=place, calculator=calculator).get_forces()

    potential.compute(batches[0])
    Atoms(numbers=molecules[0][0], positions=molecules[0][1], calculator=calculator).get_forces()
    rates: dict[str, list[float]] = {"harness": [], "ase": []}
    for _ in range(repeats):
        for name, call in (("harness", in_batches), ("ase", one_by_one)):
            started = time.perf_counter()
            call()
            rates[name].append(len(n_atoms) / (time.perf_counter() - started))
    return {name: np.array(values) for name, values in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-atoms", type=int, default=512)
    parser.add_argument("--structures", type=int, default=100)
    arguments = parser.parse_args()
    frames: list[Any] = list(islice(open_dataset("mini").to_ase("task2", "validation"), arguments.structures))
    frames.sort(key=len, reverse=True)
    arrays = {
        "atomic_numbers": np.concatenate([atoms.numbers for atoms in frames]),
        "positions": np.concatenate([atoms.positions for atoms in frames]),
        "n_atoms": np.array([len(atoms) for atoms in frames], dtype=np.int64),
    }
    options = {"batch_atoms": arguments.batch_atoms, "repeats": REPEATS}
    rates = run_elsewhere("so3lr", both_rates, arrays, [own_calculator], **options)
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    print(f"so3lr (float32) on cpu, {len(frames)} structures of task2, {arguments.batch_atoms} atoms a batch")
    print(f"  harness {medians['harness']:>10.1f} structures/s")
    print(f" ASE loop {medians['ase']:>10.1f} structures/s")
    print(f"harness : ASE loop = {float(np.median(rates['harness'] / rates['ase'])):.2f} (median of {REPEATS})")


if __name__ == "__main__":
    main()
