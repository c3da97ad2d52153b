"""What the build adds to bare sampling and labelling, and what several workers gain.

python -m tests.benchmarks.build_efficiency

The same units are made three ways: by calling the sampler and the labeller directly, in one process; by a build
with one worker; by a build with several. The first two are compared by processor time, which other work on the machine
changes least, and by the clock. Several workers are compared with as many bare processes, since what the machine gives
to several at once is not the build's doing; the plain share of the ideal speed is printed beside it.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from dataset_builders.editions import Edition
from dataset_builders.executors import choose_executor
from dataset_builders.fanout import BuildSettings, make_units
from dataset_builders.geometries import sample_burst
from dataset_builders.shards import Shard, units_of_shard
from dataset_builders.tasks import Region, Task
from dataset_builders.threads import limit_threads_of_children, require_one_thread
from dataset_builders.work import WorkUnit, label_burst, plan_units
from dataset_builders.work_folder import claim_work_dir

SEED = 0
TASK = Task("task1", "", "", (Region(("H", "OH", "CN"), (4, 6), "H"),), (Region(("F",), (6,), "H"),), False, "")


class Cost(NamedTuple):
    clock: float
    cpu: float


def measured(call: Callable[[], None]) -> Cost:
    """Time by the clock, and processor time of this process's children that have ended."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def bare(units: Sequence[WorkUnit]) -> None:
    """Makes the frames of units and drops them."""
    require_one_thread()
    for unit in units:
        for burst in range(unit.first_burst, unit.end_burst):
            positions = sample_burst(unit.word.smiles, unit.molecule_id, unit.trajectory, burst, SEED).positions
            label_burst(unit.word, unit.trajectory, burst, positions)


def in_bare_processes(units: Sequence[WorkUnit], count: int) -> None:
    limit_threads_of_children()
    context = multiprocessing.get_context("spawn")
    shares = [units_of_shard(units, Shard(number, count)) for number in range(1, count + 1)]
    processes: list[BaseProcess] = [context.Process(target=bare, args=(share,)) for share in shares]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a bare process ended with {process.exitcode}")


def built(units: Sequence[WorkUnit], settings: BuildSettings, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = BuildSettings(settings.tasks, settings.edition, settings.seed, Path(folder))
        claim_work_dir(here.work_dir, SEED)
        make_units(units, here, choose_executor("local", workers), lambda _: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--frames", type=int, default=20, help="frames of each of seven molecules, a multiple of 5")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    frames, workers = arguments.frames, arguments.workers
    settings = BuildSettings((TASK,), Edition("", frames, frames, 5, 5), SEED, Path())
    units = plan_units(settings.tasks, settings.edition)
    ways: dict[str, Callable[[], None]] = {
        "bare, 1 process": lambda: in_bare_processes(units, 1),
        "build, 1 worker": lambda: built(units, settings, 1),
        f"bare, {workers} processes": lambda: in_bare_processes(units, workers),
        f"build, {workers} workers": lambda: built(units, settings, workers),
    }
    rounds = [{name: measured(call) for name, call in ways.items()} for _ in range(arguments.repeats)]
    print(f"{len(units)} units of {len(TASK.train_words()) + len(TASK.ood_words())} molecules, median of {len(rounds)}")
    for name in ways:
        clock = statistics.median(each[name].clock for each in rounds)
        cpu = statistics.median(each[name].cpu for each in rounds)
        print(f"{name:<18} {clock:>7.1f} s {cpu:>7.1f} s of processor time")
    one, several = "build, 1 worker", f"build, {workers} workers"
    bare_one, bare_several = "bare, 1 process", f"bare, {workers} processes"

    def ratio(of: Callable[[dict[str, Cost]], float]) -> float:
        return statistics.median(of(each) for each in rounds)

    print(
        f"build : bare on one = {ratio(lambda each: each[one].cpu / each[bare_one].cpu):.3f} in processor time, "
        f"{ratio(lambda each: each[one].clock / each[bare_one].clock):.3f} by the clock"
    )
    print(
        f"{workers} workers, share of the ideal speed = "
        f"{ratio(lambda each: each[one].clock / each[several].clock / workers):.3f}; of bare processes: "
        f"{ratio(lambda each: each[bare_one].clock / each[bare_several].clock / workers):.3f}"
    )
    print(
        f"{workers} workers : {workers} bare processes = "
        f"{ratio(lambda each: each[several].clock / each[bare_several].clock):.3f} by the clock, "
        f"{ratio(lambda each: each[several].cpu / each[bare_several].cpu):.3f} in processor time"
    )


if __name__ == "__main__":
    main()
