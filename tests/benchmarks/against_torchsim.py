"""Structures per second of the harness, beside TorchSim's `static` on the same batches of the same MACE.

TorchSim runs in an environment of its own, which has torch-sim-atomistic and mace-torch:

python -m tests.benchmarks.small_mace small.model
python -m tests.benchmarks.against_torchsim --model small.model --python path/to/environment/bin/python
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from harness.compute.staging import compute_ahead
from harness.core.potential import LoadOptions
from harness.data.dataset import open_dataset
from harness.data.rows import stream_split
from harness.data.scan import scan_splits
from harness.inference.batch_size import batch_atoms_for
from harness.inference.batching import make_plan
from harness.inference.windows import read_windows
from harness.models.registry import load_potential

REPEATS = 5

PROGRAM = """
import json, sys, time, warnings
from importlib.metadata import version
warnings.simplefilter("ignore")
import numpy as np, torch
from mace import calculators  # before e3nn, whose constants torch would refuse otherwise
import torch_sim
from ase import Atoms
from torch_sim.models.mace import MaceModel
batches, path, device, repeats = np.load(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
network = torch.load(path, map_location=device, weights_only=False)
model = MaceModel(network, device=torch.device(device), dtype=torch.float64, compute_forces=True, compute_stress=False)
systems = []
for number in range(len(batches.files) // 3):
    n_atoms, numbers, positions = (batches[f"{name}{number}"] for name in ("n_atoms", "numbers", "positions"))
    ends = np.cumsum(n_atoms)
    # In a box, without periodicity: TorchSim asks for a cell.
    atoms = [slice(end - n, end) for n, end in zip(n_atoms, ends)]
    systems.append([Atoms(numbers[each], positions[each], cell=[100.0] * 3) for each in atoms])
torch_sim.static(systems[0], model)
seconds, cpu_seconds = [], []
for _ in range(repeats):
    started, used = time.perf_counter(), time.process_time()
    found = [each for batch in systems for each in torch_sim.static(batch, model)]
    energies = [float(each["potential_energy"]) for each in found]
    seconds.append(time.perf_counter() - started)
    cpu_seconds.append(time.process_time() - used)
forces = np.concatenate([each["forces"].numpy(force=True) for each in found]).tolist()
versions = {name: version(name) for name in ("torch-sim-atomistic", "torch")} | {"python": sys.version.split()[0]}
times = {"seconds": seconds, "cpu_seconds": cpu_seconds}
print(json.dumps(times | {"energy": energies, "forces": forces, "versions": versions}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a MACE in float64; it is loaded, and so trusted")
    parser.add_argument("--python", required=True, help="interpreter of the environment that has TorchSim")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-atoms", type=int)
    arguments = parser.parse_args()
    potential = load_potential(arguments.model, LoadOptions(device=arguments.device, trust_checkpoint=True))
    dataset = open_dataset("mini")
    scan = scan_splits({("task2", "test_ood"): stream_split(dataset, "task2", "test_ood")})
    plan = make_plan(
        scan, arguments.batch_atoms or batch_atoms_for(potential, read_windows(dataset, make_plan(scan, 512)))
    )
    (window,) = read_windows(dataset, plan)
    batches = [window.batch(first, last) for shard in plan.shards for first, last in pairwise(shard.bounds)]
    seconds, energies = [], np.zeros(0)
    for repeat in range(REPEATS + 1):
        started = time.perf_counter()
        outcomes = list(compute_ahead(potential, iter([(None, batch) for batch in batches]), tuple))
        if repeat:  # the first one warms up
            seconds.append(time.perf_counter() - started)
        energies = np.concatenate([prediction.energy for _, prediction in outcomes])
    theirs = torchsim(batches, arguments.model, potential.traits.device, arguments.python, REPEATS)
    rates = {
        "harness": plan.n_frames / statistics.median(seconds),
        f"TorchSim {theirs['versions']['torch-sim-atomistic']}": plan.n_frames / statistics.median(theirs["seconds"]),
    }
    print(f"{arguments.model} on {potential.traits.device}, {plan.n_frames} structures of task2, median of {REPEATS}")
    for name, rate in rates.items():
        print(f"{name:>15} {rate:>10.1f} structures/s")
    print(f"harness : TorchSim = {rates['harness'] / list(rates.values())[1]:.2f}")
    print(f"largest difference of energies: {np.abs(energies - theirs['energy']).max():.1e} eV")


def torchsim(batches, model: str, device: str, python: str, repeats: int):
    """What the other environment measures, and the energies (eV) and forces (eV/Å) that it finds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "batches.npz"
        arrays = {}
        for number, batch in enumerate(batches):
            arrays |= {f"n_atoms{number}": batch.n_atoms, f"numbers{number}": batch.atomic_numbers}
            arrays[f"positions{number}"] = batch.positions
        np.savez(path, **arrays)
        command = [python, "-c", PROGRAM, str(path), str(Path(model).resolve()), device, str(repeats)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"TorchSim failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
