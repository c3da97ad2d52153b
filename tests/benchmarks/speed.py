"""Structures per second on a CPU: the harness with one process and with all, a loop over ASE, and the bare network.

    python -m tests.benchmarks.speed --out speed.json
    python -m tests.benchmarks.speed --out speed.json --models mace-16 reference --structures 5000
    python -m tests.benchmarks.speed --render speed.json

The harness evaluates a data set of `--structures` structures of task2 by its command, and its speed is the one that its
result states, from the first batch to the last. The network alone computes finished graphs of 512 atoms in one thread.
The loop computes a sample of the same structures one by one with the calculator of the family's own package, with the
number of threads that PyTorch chooses by itself, and with one. What is compared runs one after another on the same
machine, whose load is on record. `MLIP_OOD_TEST_HUB` names the folder with ANI-2x, as `owner/repo/file`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset_builders.core.markdown import markdown_table
from dataset_builders.core.usable_cpus import usable_cpus
from harness.compute.hardware import processor_name
from harness.data.dataset import open_dataset
from harness.data.rows import stream_split
from harness.data.scan import scan_splits
from harness.inference.batching import make_plan
from harness.inference.windows import read_windows
from harness.models.resolve import resolve_model
from harness.worker.family_environments import find_environment
from tests.benchmarks.against_ase import calculator_of, one_by_one
from tests.benchmarks.many_structures import write_many
from tests.harness.potentials.foundation_models import HUB
from tests.harness.potentials.other_interpreter import Arrays, run_elsewhere

TASK: Final = "task2"
BATCH_ATOMS: Final = 512
ANI2X: Final = "roitberg-group/ani2x/ani2x_state_dict.pt"
PACKAGES: Final = {"mace-16": "mace-torch", "reference": "graph-pes", "ani2x": "torchani", "so3lr": "so3krates-torch"}
MODELS: Final = tuple(PACKAGES)


@dataclass(frozen=True, slots=True)
class Timed:
    """Structures per second of one model, by what computes them; `None` where it was not measured."""

    one_job: float
    all_jobs: float
    all_joined: float | None
    n_jobs: int
    ase: float
    ase_one_thread: float
    bare: float
    wall_one_job: float
    wall_all_jobs: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="JSON to write")
    what.add_argument("--render", type=Path, help="print the table of a JSON that was written, and measure nothing")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--structures", type=int, default=20_000, help="of an evaluation (default: 20000)")
    parser.add_argument("--sample", type=int, default=60, help="structures of the loop over ASE (default: 60)")
    parser.add_argument("--repeats", type=int, default=3, help="of the loop and of the network (default: 3)")
    arguments = parser.parse_args()
    if arguments.render is not None:
        print(rendered(json.loads(arguments.render.read_text(encoding="utf-8"))))
        return
    report: dict[str, Any] = machine(arguments)
    with tempfile.TemporaryDirectory() as folder:
        many = Path(folder, "many")
        write_many(many, arguments.structures, TASK)
        for name in arguments.models:
            before = os.getloadavg()[0]
            timed = measured(name, many, Path(folder), arguments)
            report["models"][name] = asdict(timed) | {"load": [round(before, 1), round(os.getloadavg()[0], 1)]}
            arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            print(f"{name}: {json.dumps(report['models'][name])}", file=sys.stderr, flush=True)
    print(rendered(report))


def machine(arguments: argparse.Namespace) -> dict[str, Any]:
    """What it was measured on, with what, and how much of it."""
    import torch

    return {
        "processor": processor_name("cpu"),
        "cpus": usable_cpus(),
        "threads_by_default": int(default_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "versions": {name: package_version(name) for name in arguments.models},
        "structures": arguments.structures,
        "sample": arguments.sample,
        "models": {},
    }


def rendered(report: Mapping[str, Any]) -> str:
    """The table in Markdown, and a line about the machine."""
    rows = []
    for name, each in report["models"].items():
        rows.append(
            [
                f"{name} ({report['versions'][name]})",
                *(f"{each[key]:,.1f}" for key in ("one_job", "all_jobs")),
                "" if each["all_joined"] is None else f"{each['all_joined']:,.1f}",
                *(f"{each[key]:,.1f}" for key in ("ase", "ase_one_thread", "bare")),
                f"{each['all_jobs'] / each['one_job']:.2f}",
                f"{each['all_jobs'] / each['ase']:.1f}",
                f"{each['all_jobs'] / each['ase_one_thread']:.1f}",
                f"{each['bare'] / each['one_job']:.2f}",
                "{} to {}".format(*each["load"]),
            ]
        )
    n = report["cpus"]
    headers = ("model", "1 job", f"{n} jobs", "all joined", "ASE loop", "ASE, 1 thread", "network")
    ratios = (f"{n} jobs : 1", f"{n} jobs : ASE", f"{n} jobs : ASE, 1 thread", "network : 1 job", "load")
    about = (
        f"{report['processor']}, {n} CPUs, Python {report['python']}, PyTorch {report['torch']}, which takes "
        f"{report['threads_by_default']} threads by default; {report['structures']:,} structures of {TASK} and the "
        f"test_ood split of mini, batches of {BATCH_ATOMS} atoms"
    )
    return f"{markdown_table((*headers, *ratios), rows, rule='right')}\n\n{about}"


def measured(name: str, many: Path, folder: Path, arguments: argparse.Namespace) -> Timed:
    """All speeds of one model."""
    model = model_of(name, folder)
    one, wall_one = evaluation(model, many, folder / f"{name}-1", 1)
    several, wall_several = evaluation(model, many, folder / f"{name}-all", None)
    jobs = several["jobs"] or {}
    rates = in_its_interpreter(model, arguments)
    return Timed(
        one_job=one["structures_per_second"],
        all_jobs=several["structures_per_second"],
        all_joined=jobs.get("together_per_second"),
        n_jobs=jobs.get("used", 1),
        ase=float(np.median(rates["ase"])),
        ase_one_thread=float(np.median(rates["ase_one_thread"])),
        bare=float(np.median(rates["bare"])),
        wall_one_job=wall_one,
        wall_all_jobs=wall_several,
    )


def model_of(name: str, folder: Path) -> str:
    """What `--model` takes."""
    if name == "mace-16":
        path = folder / "small.model"
        subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.small_mace", str(path)], check=True, capture_output=True
        )
        return str(path)
    return str(HUB / ANI2X) if name == "ani2x" else name


def evaluation(model: str, data: Path, output: Path, jobs: int | None) -> tuple[dict[str, Any], float]:
    """The cost that a whole evaluation states, and its wall-clock time; one process has one thread, as several have."""
    command = [sys.executable, "-m", "harness", "--model", model, "--trust-checkpoint", "--device", "cpu", "--json"]
    command += [
        "--task",
        TASK,
        "--dataset",
        str(data),
        "--output",
        str(output),
        "--quiet",
        "--jobs",
        str(jobs or "auto"),
    ]
    started = time.perf_counter()
    done = subprocess.run(command, env=one_thread(), capture_output=True, text=True, check=True)
    (line,) = done.stdout.splitlines()
    cost: dict[str, Any] = json.loads(line)["cost"]
    return cost, time.perf_counter() - started


def in_its_interpreter(model: str, arguments: argparse.Namespace) -> Arrays:
    """Rates of the network and of the loop, in the interpreter that the family needs."""
    source = resolve_model(model)
    values = {
        "module": source.family.module,
        "family": source.family.name,
        "place": source.model_id if source.path is None else str(source.path),
        "is_path": source.path is not None,
        "threads": default_threads(),
        "sample": arguments.sample,
        "repeats": arguments.repeats,
        "batch_atoms": BATCH_ATOMS,
    }
    if find_environment(source.family.name) is None:
        return rates_of(frames(), **values)
    return run_elsewhere(source.family.name, rates_of, frames(), [calculator_of, one_by_one], **values)


def rates_of(
    arrays: Arrays,
    *,
    module: str,
    family: str,
    place: str,
    is_path: bool,
    threads: int,
    sample: int,
    repeats: int,
    batch_atoms: int,
) -> Arrays:
    """Structures per second of finished graphs in one thread, and of the loop in several and in one, for each repeat.

    It may run in another interpreter, so it imports what it needs.
    """
    import importlib
    import time
    from itertools import pairwise
    from pathlib import Path

    import numpy as np
    import torch

    from harness.core.batch import StructureBatch
    from harness.core.potential import LoadOptions
    from harness.inference.batching import filled_bounds

    source = Path(place) if is_path else place
    loaded = importlib.import_module(module).load(source, LoadOptions(device="cpu", trust_checkpoint=True))
    potential = getattr(loaded, "potential", loaded)
    whole = StructureBatch(**arrays, smiles=("",) * len(arrays["n_atoms"]))
    bounds = filled_bounds(arrays["n_atoms"], batch_atoms)
    torch.set_num_threads(1)
    inputs = [potential.prepare(whole.slice(start, stop)) for start, stop in pairwise(bounds)]

    class Sample:
        def batch(self, start: int, stop: int) -> StructureBatch:
            place = start * whole.n_structures // sample
            return whole.slice(place, place + stop - start)

    def forward() -> None:
        for each in inputs:
            potential.forward(each.graph, each.tensors)

    calculator = calculator_of(family, potential)
    calls = {
        "bare": (forward, whole.n_structures, 1),
        "ase": (lambda: one_by_one(calculator, Sample(), sample), sample, threads),
        "ase_one_thread": (lambda: one_by_one(calculator, Sample(), sample), sample, 1),
    }
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats + 1):
        for name, (call, count, number) in calls.items():
            torch.set_num_threads(number)
            started = time.perf_counter()
            call()
            if repeat:  # the first one warms up
                rates[name].append(count / (time.perf_counter() - started))
    return {name: np.array(values) for name, values in rates.items()}


def frames() -> Arrays:
    """The structures of the test_id split of mini, largest first, of which the large data set consists."""
    dataset = open_dataset("mini")
    plan = make_plan(scan_splits({(TASK, "test_id"): stream_split(dataset, TASK, "test_id")}), BATCH_ATOMS)
    (window,) = read_windows(dataset, plan)
    batch = window.batch(0, plan.n_frames)
    return {"atomic_numbers": batch.atomic_numbers, "positions": batch.positions, "n_atoms": batch.n_atoms}


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def default_threads() -> int:
    """Threads that PyTorch chooses if nobody tells it."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }
    command = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    return int(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def package_version(name: str) -> str:
    """The package of a model and its version, in the environment of its family."""
    package = PACKAGES[name]
    environment = find_environment(name)
    if environment is None:
        return f"{package} {version(package)}"
    program = f"from importlib.metadata import version; print(version('{package}'))"
    done = subprocess.run([str(environment.python), "-c", program], capture_output=True, text=True, check=True)
    return f"{package} {done.stdout.strip()}"


if __name__ == "__main__":
    main()
