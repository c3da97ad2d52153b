"""What a GPU makes of the harness: throughput, time it waits, agreement with the CPU, training, DFT labels.

    python -m tests.benchmarks.gpu --out gpu.json
    python -m tests.benchmarks.gpu --out gpu.json --ani2x path/to/ani2x --sections reference mace-16 ani2x
    python -m tests.benchmarks.gpu --render gpu.json

About ten minutes on one GPU. Each section runs in a process of its own, so that one that fails (its error stands in the
JSON) harms no other, and the JSON is written anew after each. `--device cpu --seconds 0.2` runs the same code without a
GPU. What a bare machine needs for it stands in docs/gpu.md.

Networks have random weights where no checkpoint is at hand: speed does not depend on them. Rates are of successive
batches that went through the stages of an evaluation (prepare, launch, collect), without reading and writing.
"""

import argparse
import itertools
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from dataset_builders.core.markdown import markdown_table

PACKAGES = ("mace-torch", "graph-pes", "torchani", "e3nn", "torch-sim-atomistic", "gpu4pyscf-cuda13x", "pyscf", "numpy")
BATCH_ATOMS = (512, 2048, 8192, 32768, 131072)
AGREEMENT_STRUCTURES = 64
ASE_STRUCTURES = 60
LABEL_MOLECULES = ("OH-2-OH", "CN-4-CN", "COOH-4-COOH")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="JSON to write")
    what.add_argument("--render", type=Path, help="print the tables of a JSON that was written, and measure nothing")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--ani2x", type=Path, help="folder with the published state dict of ANI-2x")
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument("--seconds", type=float, default=2.0, help="of each timed run (default: 2)")
    parser.add_argument("--batch-atoms", type=int, nargs="+", default=list(BATCH_ATOMS))
    parser.add_argument("--limit", type=float, default=300.0, help="most seconds of a section (default: 300)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.render is not None:
        print(rendered(json.loads(arguments.render.read_text(encoding="utf-8"))))
        return
    if arguments.inside:
        (section,) = arguments.sections
        arguments.out.write_text(json.dumps(SECTIONS[section](arguments)), encoding="utf-8")
        return
    report: dict[str, Any] = {"command": " ".join(sys.argv[1:]), "sections": {}}
    for section in arguments.sections:
        report["sections"][section] = in_own_process(section, arguments)
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"{section}: {json.dumps(report['sections'][section])}", flush=True)


def rendered(report: dict[str, Any]) -> str:
    """The throughput of each model as a Markdown table."""
    headers = ("model", "atoms in a batch", "structures/s", "atoms/s", "beyond bare passes", "memory, GiB", "over ASE")
    rows = []
    for name, section in report["sections"].items():
        loop = section.get("ase", {}).get("structures_per_s")
        for n_atoms, each in section.get("batches", {}).items():
            if "error" in each:
                rows.append([name, n_atoms, each["error"].splitlines()[-1], *[""] * 4])
                continue
            share, memory = each["share_beyond_bare"], each["peak_memory_GiB"]
            rows.append(
                [
                    f"{name}, {section['dtype']}",
                    f"{int(n_atoms):,}",
                    f"{each['structures_per_s']:,.0f}",
                    f"{each['atoms_per_s']:,.0f}",
                    "" if share is None else f"{max(share, 0.0):.0%}",
                    "" if memory is None else f"{memory:.1f}",
                    "" if loop is None else f"{each['structures_per_s'] / loop:,.0f}",
                ]
            )
    return markdown_table(headers, rows, rule="right")


def in_own_process(section: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What a section says, or why it says nothing."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "section.json"
        command = [sys.executable, "-m", "tests.benchmarks.gpu", "--inside", "--sections", section, "--out", str(out)]
        command += ["--device", arguments.device, "--seconds", str(arguments.seconds)]
        command += ["--batch-atoms", *map(str, arguments.batch_atoms)]
        command += [] if arguments.ani2x is None else ["--ani2x", str(arguments.ani2x)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=arguments.limit)
        except subprocess.TimeoutExpired:
            return {"error": f"not finished within {arguments.limit:g} s"}
        if done.returncode:
            return {"error": done.stderr[-1500:], "wall_s": time.perf_counter() - started}
        found = json.loads(out.read_text(encoding="utf-8"))
    return found | {"wall_s": round(time.perf_counter() - started, 1)}


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """What it was measured on."""
    import torch

    found: dict[str, Any] = {"python": platform.python_version(), "torch": torch.__version__, "packages": {}}
    for name in PACKAGES:
        try:
            found["packages"][name] = version(name)
        except PackageNotFoundError:
            found["packages"][name] = None
    if arguments.device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(arguments.device)
        found |= {
            "gpu": properties.name,
            "memory_GiB": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "driver": driver(),
        }
    return found


def driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError):
        return None


def throughput(arguments: argparse.Namespace, family: str, make: Callable[[Path], tuple[Any, dict[str, Any]]]) -> Any:
    """Rates of one model against the size of a batch, beside bare forward passes and a loop over ASE.

    Args:
        arguments: Of the command line.
        family: Name of the family, for the calculator.
        make: Given a folder, returns model and options of the loader.
    """
    from harness.core.potential import LoadOptions
    from harness.models.registry import load_potential

    with tempfile.TemporaryDirectory() as folder:
        model, options = make(Path(folder))
        potential = load_potential(model, LoadOptions(device=arguments.device, trust_checkpoint=True, **options))
        on_cpu = load_potential(model, LoadOptions(device="cpu", trust_checkpoint=True, **options))
    pool = list(structures())
    found: dict[str, Any] = {"dtype": potential.traits.dtype, "device": potential.traits.device, "batches": {}}
    found["agreement"] = agreement(potential, on_cpu, pool)
    for n_atoms in arguments.batch_atoms:
        try:
            found["batches"][n_atoms] = rates(potential, packed_batches(pool, n_atoms), arguments)
        except Exception as cause:
            found["batches"][n_atoms] = {"error": "".join(traceback.format_exception_only(cause))[-500:]}
            break
    found["ase"] = ase_rate(family, potential, pool)
    best = max(each.get("structures_per_s", 0.0) for each in found["batches"].values())
    found["harness_over_ase"] = best / found["ase"]["structures_per_s"] if found["ase"]["structures_per_s"] else None
    return found


def structures() -> Iterator[Any]:
    """The structures of task2 of the mini edition, as batches of one."""
    from harness.data.dataset import open_dataset
    from harness.data.scan import scan_dataset
    from harness.inference.batching import make_plan
    from harness.inference.windows import read_windows

    dataset = open_dataset("mini")
    plan = make_plan(scan_dataset(dataset, ("task2",)), 512)
    for window in read_windows(dataset, plan):
        for place in range(window.start, window.stop):
            yield window.batch(place, place + 1)


def joined(parts: list[Any]) -> Any:
    from harness.core.batch import StructureBatch

    return StructureBatch(
        np.concatenate([part.atomic_numbers for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.n_atoms for part in parts]),
        tuple(smiles for part in parts for smiles in part.smiles),
    )


def packed_batches(pool: list[Any], n_atoms: int, most: int = 64) -> list[Any]:
    """Batches of at most so many atoms, as different as the pool allows, of structures taken in turn."""
    rng = np.random.default_rng(0)
    endless = itertools.cycle(rng.permutation(len(pool)))
    batches = []
    for _ in range(min(most, max(2, 2 * 10**6 // n_atoms))):
        parts, total = [], 0
        for number in endless:
            total += int(pool[number].n_atoms[0])
            if parts and total > n_atoms:
                break
            parts.append(pool[number])
        batches.append(joined(parts))
    return batches


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def rates(potential: Any, batches: list[Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Structures and atoms per second, the share of time beyond the bare forward passes, and peak memory."""
    from harness.compute.staging import compute_ahead

    device = potential.traits.device

    def through_stages(chosen: list[Any]) -> float:
        started = time.perf_counter()
        for _, outcome in compute_ahead(potential, iter([(None, batch) for batch in chosen]), tuple):
            if isinstance(outcome, Exception):
                raise outcome
        synchronise(device)
        return time.perf_counter() - started

    through_stages(batches[:2])
    reset_peak(device)
    once = through_stages(batches[:2]) / 2
    chosen = list(itertools.islice(itertools.cycle(batches), max(4, min(2000, round(arguments.seconds / once)))))
    seconds = statistics.median(through_stages(chosen) for _ in range(3))
    peak = peak_memory(device)
    n_structures, n_atoms = sum(each.n_structures for each in chosen), sum(len(each.atomic_numbers) for each in chosen)
    bare = bare_seconds(potential, batches[:8], device, arguments.seconds)
    per_batch = seconds / len(chosen)
    return {
        "structures_per_s": n_structures / seconds,
        "atoms_per_s": n_atoms / seconds,
        "n_batches": len(chosen),
        "ms_per_batch": 1e3 * per_batch,
        "ms_bare_forward": None if bare is None else 1e3 * bare,
        "share_beyond_bare": None if bare is None else 1.0 - bare / per_batch,
        "peak_memory_GiB": peak,
    }


def bare_seconds(potential: Any, batches: list[Any], device: str, seconds: float) -> float | None:
    """Time of a forward pass with forces whose input lies on the device; `None` where there is no such pass."""
    from harness.compute.torch_potential import TorchPotential

    potential = getattr(potential, "potential", potential)  # a name that stands for a checkpoint wraps it
    if not isinstance(potential, TorchPotential):
        return None
    inputs = [(prepared.graph, prepared.tensors) for prepared in map(potential.prepare, batches)]
    synchronise(device)
    times = []
    for _ in range(3):
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds / 2:
            for graph, tensors in inputs:
                potential.forward(graph, tensors)
            synchronise(device)
            count += len(inputs)
        times.append((time.perf_counter() - started) / count)
    return statistics.median(times)


def reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> float | None:
    if not device.startswith("cuda"):
        return None
    import torch

    return round(torch.cuda.max_memory_reserved(device) / 2**30, 3)


def agreement(potential: Any, on_cpu: Any, pool: list[Any]) -> dict[str, float]:
    """Largest differences between the device and the CPU, and between batched and single on the device."""
    chosen = [pool[number] for number in np.linspace(0, len(pool) - 1, AGREEMENT_STRUCTURES).astype(int)]
    batch = joined(chosen)
    there, here = potential.compute(batch), on_cpu.compute(batch)
    singles = [potential.compute(each) for each in chosen]
    return {
        "energy_vs_cpu_eV": float(np.abs(there.energy - here.energy).max()),
        "forces_vs_cpu_eV_per_A": float(np.abs(there.forces - here.forces).max()),
        "forces_batched_vs_single_eV_per_A": float(
            np.abs(there.forces - np.concatenate([each.forces for each in singles])).max()
        ),
        "mean_abs_force_eV_per_A": float(np.abs(here.forces).mean()),
    }


def ase_rate(family: str, potential: Any, pool: list[Any]) -> dict[str, Any]:
    """Structures per second of a loop over the family's own calculator on the same device."""
    from tests.benchmarks.against_ase import calculator_of, one_by_one

    class Pool:
        def batch(self, start: int, stop: int) -> Any:
            assert stop == start + 1
            return pool[start * (len(pool) // ASE_STRUCTURES)]

    try:
        calculator = calculator_of(family, getattr(potential, "potential", potential))
        one_by_one(calculator, Pool(), 5)
        times = []
        for _ in range(3):
            started = time.perf_counter()
            one_by_one(calculator, Pool(), ASE_STRUCTURES)
            times.append(time.perf_counter() - started)
    except Exception as cause:
        return {"structures_per_s": None, "error": "".join(traceback.format_exception_only(cause))[-500:]}
    return {"structures_per_s": ASE_STRUCTURES / statistics.median(times)}


def reference(arguments: argparse.Namespace) -> Any:
    """The PaiNN that comes with the package (graph-pes)."""
    return throughput(arguments, "graph-pes", lambda _: ("reference", {}))


def mace(channels: int, dtype: str, equivariant: bool) -> Callable[[argparse.Namespace], Any]:
    """A MACE with random weights of so many channels."""

    def measure(arguments: argparse.Namespace) -> Any:
        return throughput(arguments, "mace", lambda folder: (written(folder), {"dtype": dtype}))

    def written(folder: Path) -> str:
        from harness.networks.mace_package import importing_mace
        from tests.harness.potentials.molecules import saved, small_mace

        with importing_mace():
            from e3nn import o3
        elements = (1, 6, 7, 8, 9, 16, 17)
        irreps = f"{channels}x0e+{channels}x1o" if equivariant else f"{channels}x0e"
        network = small_mace(
            r_max=5.0,
            num_bessel=8,
            max_ell=3 if channels > 16 else 2,
            correlation=3 if channels > 16 else 2,
            hidden_irreps=o3.Irreps(irreps),
            MLP_irreps=o3.Irreps("16x0e"),
            radial_MLP=[64, 64, 64] if channels > 16 else [16, 16],
            num_elements=len(elements),
            atomic_numbers=list(elements),
            atomic_energies=np.zeros((1, len(elements))),
        )
        return str(saved(network, folder / "mace.model"))

    return measure


def ani2x(arguments: argparse.Namespace) -> Any:
    """The published ANI-2x."""
    if arguments.ani2x is None:
        return {"error": "no --ani2x"}
    return throughput(arguments, "torchani", lambda _: (str(arguments.ani2x), {}))


def evaluation(arguments: argparse.Namespace) -> dict[str, Any]:
    """A whole evaluation as a user starts it, with the number of atoms that `--batch-atoms auto` chooses."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--model", "reference", "--dataset", "mini", "--task", "task2", "--quiet", "--json"]
        command = [sys.executable, "-m", "harness", *options, "--output", folder, "--device", arguments.device]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            return {"error": done.stderr[-1500:]}
        result = json.loads(next(Path(folder).glob("*/*/result.json")).read_text(encoding="utf-8"))
    splits = result["tasks"]["task2"]["splits"]
    return {
        "seconds": seconds,
        "batch_atoms": result["settings"]["batch_atoms"],
        "device": result["model"]["device"],
        "force_mae": {name: splits[name]["metrics"]["force_mae"]["value"] for name in ("test_id", "test_ood")},
        "warnings": done.stderr[-500:],
    }


def training(arguments: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a training step of PaiNN and MACE as their recipes are, and in batches of 16 times the size."""
    return steps_of(arguments, ("PaiNN", "MACE"), is_compiled=False)


def compiled_training(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same of PaiNN, compiled; compiling alone takes minutes."""
    return steps_of(arguments, ("PaiNN",), is_compiled=True)


def steps_of(arguments: argparse.Namespace, architectures: tuple[Any, ...], *, is_compiled: bool) -> dict[str, Any]:
    import torch

    from harness.data.dataset import open_dataset
    from harness.networks.compiling import compiled
    from harness.train.defaults import RECIPES
    from harness.train.packed_frames import batches
    from harness.train.task_data import read_training_data
    from tests.benchmarks.compiled_training import function_of

    device, found = torch.device(arguments.device), {}
    for architecture in architectures:
        recipe = RECIPES[architecture]
        data = read_training_data(open_dataset("mini").directory, "task2", recipe.arguments.cutoff)
        function = function_of(architecture, data, device, is_compiled)
        function = compiled(function, architecture) if is_compiled else function
        for batch_size in (recipe.batch_size, 16 * recipe.batch_size):
            order = np.arange(data.train.n_frames)[: 20 * batch_size]
            packed = partial(batches, data.train, order, batch_size, recipe.arguments.cutoff, device)
            started = time.perf_counter()
            for batch in packed():
                function(batch)
            synchronise(arguments.device)
            first = time.perf_counter() - started
            found[f"{architecture}, {batch_size} frames"] = step_times(function, packed, arguments.device) | {
                "s_first_pass": first
            }
    return found


def step_times(function: Any, packed: Callable[[], Iterator[Any]], device: str) -> dict[str, float]:
    started = time.perf_counter()
    ready = list(packed())
    synchronise(device)
    packing = (time.perf_counter() - started) / len(ready)
    started = time.perf_counter()
    for batch in ready:
        function(batch)
    synchronise(device)
    step = (time.perf_counter() - started) / len(ready)
    started = time.perf_counter()
    for batch in packed():
        float(function(batch)[0])
    synchronise(device)
    together = (time.perf_counter() - started) / len(ready)
    return {"ms_packing": 1e3 * packing, "ms_gradient": 1e3 * step, "ms_as_trained": 1e3 * together}


def labels(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time of a wB97M label on the device and on the CPU of the same machine, and how far they differ."""
    from dataset_builders.chemistry import dft
    from dataset_builders.chemistry.levels import LEVELS
    from tests.benchmarks.label_accuracy import frame_of

    settings = LEVELS["wb97m-d3bj"].dft
    if not arguments.device.startswith("cuda") or not dft.uses_gpu():
        return {"error": "gpu4pyscf, CuPy or a CUDA device is absent"}
    found: dict[str, Any] = {}
    for molecule in LABEL_MOLECULES:
        numbers, positions = frame_of(molecule)
        times, outcomes = {}, {}
        for name, on_gpu in (("gpu, first", True), ("gpu", True), ("cpu", False)):
            dft.uses_gpu = lambda chosen=on_gpu: chosen
            started = time.perf_counter()
            outcomes[name] = dft.dft_singlepoint(settings, numbers, positions)
            times[name] = time.perf_counter() - started
        found[molecule] = {
            "n_atoms": len(numbers),
            "seconds": times,
            "largest_force_difference_meV_per_A": 1e3 * float(np.abs(outcomes["gpu"][1] - outcomes["cpu"][1]).max()),
            "energy_difference_meV": 1e3 * (outcomes["gpu"][0] - outcomes["cpu"][0]),
        }
    return found


SECTIONS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "machine": machine,
    "reference": reference,
    "mace-16": mace(16, "float64", equivariant=True),
    "mace-96": mace(96, "float32", equivariant=False),
    "ani2x": ani2x,
    "evaluation": evaluation,
    "training": training,
    "labels": labels,
    "compiled-training": compiled_training,
}


if __name__ == "__main__":
    main()
