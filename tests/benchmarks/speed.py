"""Structures per second on a CPU: the harness with one process and with all, a loop over ASE, and the bare network.

    python -m tests.benchmarks.speed --out speed.json
    python -m tests.benchmarks.speed --out speed.json --models mace-16 reference --structures 5000
    python -m tests.benchmarks.speed --render speed.json

The harness evaluates a data set of `--structures` structures of task2 by its command, and its speed is the one that its
result states, from the first batch to the last. The network alone computes finished graphs of 512 atoms in one thread;
preparation is what makes these graphs: neighbour lists, tensors and their packing.
The loop computes a sample of the same structures one by one with the calculator of the family's own package, with the
number of threads that PyTorch chooses by itself, and with one. What is compared runs one after another on the same
machine, whose load is on record. Processor time depends on other load much less than speed does.
`MLIP_OOD_TEST_HUB` names the folder with ANI-2x, as `owner/repo/file`.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
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
from harness.inference.batching import filled_bounds, make_plan
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
    """The speeds of one model, by what computes: one_job, all_jobs, ase, ase_one_thread, bare.

    Attributes:
        rates: Structures per second.
        cpu_ms: Processor time of a structure, over all threads and processes, in milliseconds; of an evaluation without
            what repeating the finished command takes, which loads the model and computes the metrics.
        n_jobs: Processes that computed of those allowed.
        all_joined: Structures per second once all of them computed; `None` if no other one joined.
        preparation: Processor time of neighbour lists, graphs and packing over that of the network.
    """

    rates: dict[str, float]
    cpu_ms: dict[str, float]
    n_jobs: int
    all_joined: float | None
    preparation: float


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
    """Two tables in Markdown, and what they were measured on."""
    n = report["cpus"]
    names = {
        "one_job": "1 job",
        "all_jobs": f"{n} jobs",
        "ase": "ASE loop",
        "ase_one_thread": "ASE, 1 thread",
        "bare": "network",
    }
    pairs = (("all_jobs", "one_job"), ("all_jobs", "ase"), ("all_jobs", "ase_one_thread"), ("bare", "one_job"))
    ratios = [f"{names[first]} : {names[second]}" for first, second in pairs]
    fast, costs = [], []
    for name, each in report["models"].items():
        label, rates, cpu = f"{name} ({report['versions'][name]})", each["rates"], each["cpu_ms"]
        joined = "" if each["all_joined"] is None else f"{each['all_joined']:,.1f}"
        load = "{} to {}".format(*each["load"])
        quotients = [f"{rates[first] / rates[second]:.2f}" for first, second in pairs]
        fast.append([label, *(f"{rates[key]:,.1f}" for key in names), joined, *quotients, load])
        quotients = [f"{cpu[second] / cpu[first]:.2f}" for first, second in pairs]
        preparation = f"{100 * each['preparation']:.1f} %"
        costs.append([label, *(f"{cpu[key]:,.1f}" for key in names), *quotients, preparation])
    headers = ("structures/s", *names.values(), f"{n} jobs, all joined", *ratios, "load")
    about = (
        f"{report['processor']}, {n} CPUs, Python {report['python']}, PyTorch {report['torch']}, which takes "
        f"{report['threads_by_default']} threads by default; {report['structures']:,} structures of {TASK} "
        f"beside those of test_ood, batches of {BATCH_ATOMS} atoms"
    )
    speeds = markdown_table(headers, fast, rule="right")
    headers = ("CPU ms a structure", *names.values(), *ratios, "preparation : network")
    processor = markdown_table(headers, costs, rule="right")
    return f"{speeds}\n\n{processor}\n\n{about}"


def measured(name: str, many: Path, folder: Path, arguments: argparse.Namespace) -> Timed:
    """All speeds of one model."""
    model = model_of(name, folder)
    one, cpu_one = evaluation(model, many, folder / f"{name}-1", 1)
    several, cpu_several = evaluation(model, many, folder / f"{name}-all", None)
    jobs = several["jobs"] or {}
    found = {key: float(np.median(values)) for key, values in in_its_interpreter(model, arguments).items()}
    keys = ("ase", "ase_one_thread", "bare")
    return Timed(
        rates={
            "one_job": one["structures_per_second"],
            "all_jobs": several["structures_per_second"],
            **{key: found[key] for key in keys},
        },
        cpu_ms={"one_job": cpu_one, "all_jobs": cpu_several, **{key: found[f"{key}_cpu_ms"] for key in keys}},
        n_jobs=jobs.get("used", 1),
        all_joined=jobs.get("together_per_second"),
        preparation=found["preparation_cpu_ms"] / found["bare_cpu_ms"],
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
    """The cost that a whole evaluation states, and the processor time of a structure in ms.

    One process has one thread, as each of several has.
    """
    command = [sys.executable, "-m", "harness", "--model", model, "--trust-checkpoint", "--device", "cpu", "--json"]
    command += ["--task", TASK, "--dataset", str(data), "--output", str(output), "--quiet"]
    command += ["--jobs", str(jobs or "auto")]
    first, cost = processor_seconds(command)
    again, _ = processor_seconds(command)  # finds everything
    return cost, 1e3 * (first - again) / cost["n_structures"]


def processor_seconds(command: Sequence[str]) -> tuple[float, dict[str, Any]]:
    """Processor time of a command and the processes that it starts, and the cost that its result states."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=one_thread(), capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    (line,) = done.stdout.splitlines()
    cost: dict[str, Any] = json.loads(line)["cost"]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, cost


def in_its_interpreter(model: str, arguments: argparse.Namespace) -> Arrays:
    """Rates of the network and of the loop, in the interpreter that the family needs."""
    source = resolve_model(model)
    values = {
        "module": source.family.module,
        "name": source.family.name,
        "place": source.model_id if source.path is None else str(source.path),
        "is_path": source.path is not None,
        "threads": default_threads(),
        "sample": arguments.sample,
        "repeats": arguments.repeats,
    }
    arrays = frames()
    arrays["bounds"] = np.array(filled_bounds(arrays["n_atoms"], BATCH_ATOMS))
    if find_environment(source.family.name) is None:
        return rates_of(arrays, **values)
    return run_elsewhere(source.family.name, rates_of, arrays, [calculator_of, one_by_one], **values)


def rates_of(
    arrays: Arrays,
    *,
    module: str,
    name: str,
    place: str,
    is_path: bool,
    threads: int,
    sample: int,
    repeats: int,
) -> Arrays:
    """Structures per second of finished graphs in one thread, and of the loop in several and in one, for each repeat.

    Beside them the making of the graphs, from the arrays of all structures to the tensors of each batch.

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

    source = Path(place) if is_path else place
    loaded = importlib.import_module(module).load(source, LoadOptions(device="cpu", trust_checkpoint=True))
    potential = getattr(loaded, "potential", loaded)
    bounds = arrays.pop("bounds").tolist()
    whole = StructureBatch(**arrays, smiles=("",) * len(arrays["n_atoms"]))
    torch.set_num_threads(1)
    inputs = [potential.prepare(whole.slice(start, stop)) for start, stop in pairwise(bounds)]

    class Sample:
        def batch(self, start: int, stop: int) -> StructureBatch:
            place = start * whole.n_structures // sample
            return whole.slice(place, place + stop - start)

    def preparation() -> None:
        for start, stop in pairwise(bounds):
            potential.prepare(whole.slice(start, stop))

    def forward() -> None:
        for each in inputs:
            potential.forward(each.graph, each.tensors)

    calculator = calculator_of(name, potential)
    calls = {
        "preparation": (preparation, whole.n_structures, 1),
        "bare": (forward, whole.n_structures, 1),
        "ase": (lambda: one_by_one(calculator, Sample(), sample), sample, threads),
        "ase_one_thread": (lambda: one_by_one(calculator, Sample(), sample), sample, 1),
    }
    rates: dict[str, list[float]] = {each: [] for key in calls for each in (key, f"{key}_cpu_ms")}
    for repeat in range(repeats + 1):
        for key, (call, count, number) in calls.items():
            torch.set_num_threads(number)
            started, used = time.perf_counter(), time.process_time()
            call()
            if repeat:  # the first one warms up
                rates[key].append(count / (time.perf_counter() - started))
                rates[f"{key}_cpu_ms"].append(1e3 * (time.process_time() - used) / count)
    return {key: np.array(values) for key, values in rates.items()}


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
