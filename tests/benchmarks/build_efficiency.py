"""What the build adds to bare sampling and labelling, and what several workers gain.

python -m tests.benchmarks.build_efficiency

What is added: each unit is made as a worker makes it (checks, frames, labels, file) and by calling the sampler and the
labeller directly, in turn in one process, and compared by processor time, which other work on the machine changes
least. What starting a worker costs comes once and is printed beside it.

What several workers gain: the same units on one worker and on several, by the clock, beside as many bare processes,
since what the machine gives to several at once is not the build's doing.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from dataset_builders.build.fanout import BuildSettings, make_units
from dataset_builders.build.shares import units_of_shard
from dataset_builders.build.unit_store import claim_work_dir
from dataset_builders.build.unit_worker import make_unit_safely
from dataset_builders.build.work_units import WorkUnit, label_burst, plan_units
from dataset_builders.chemistry.sampling import sample_burst
from dataset_builders.engines.choice import choose_executor
from dataset_builders.engines.shares import Shard
from dataset_builders.engines.threads import limit_threads_of_children, require_one_thread
from dataset_builders.tasks.editions import Edition
from dataset_builders.tasks.regions import Region, Task

SEED = 0
TASK = Task("task1", "", "", (Region(("H", "OH", "CN"), (4, 6), "H"),), (Region(("F",), (6,), "H"),), False, "")


def bare(units: Sequence[WorkUnit]) -> None:
    """Makes the frames of units and drops them."""
    require_one_thread()
    for unit in units:
        for burst in range(unit.first_burst, unit.end_burst):
            positions = sample_burst(unit.word.smiles, unit.molecule_id, unit.trajectory, burst, SEED).positions
            label_burst(unit.word, unit.trajectory, burst, positions)


def seconds(clock: Callable[[], float], call: Callable[[], object]) -> float:
    started = clock()
    call()
    return clock() - started


def added(units: Sequence[WorkUnit], repeats: int) -> tuple[float, float]:
    """Processor seconds of all units, bare and as a worker makes them; the median of each."""
    totals = [0.0, 0.0]
    with tempfile.TemporaryDirectory() as folder:
        work_dir = Path(folder)
        claim_work_dir(work_dir, SEED)
        make_unit_safely(units[0], work_dir, SEED)  # imports what is imported once
        for unit in units:
            times: tuple[list[float], list[float]] = ([], [])
            for repeat in range(2 * repeats):
                # Now one first, now the other, so that neither has the better place.
                way = (repeat + repeat // 2) % 2
                call = (lambda: make_unit_safely(unit, work_dir, SEED)) if way else (lambda: bare([unit]))  # noqa: B023
                times[way].append(seconds(time.process_time, call))
            totals = [total + statistics.median(each) for total, each in zip(totals, times, strict=True)]
    return totals[0], totals[1]


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
    """Makes units with the build, in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        here = BuildSettings(settings.tasks, settings.edition, settings.seed, Path(folder))
        claim_work_dir(here.work_dir, SEED)
        make_units(units, here, choose_executor("local", workers), lambda _: None)


def start_worker() -> None:
    """Opens a pool of one worker that imports what a unit needs, and closes it."""
    with choose_executor("local", 1)() as pool:
        pool.executor.submit(bare, []).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--frames", type=int, default=50, help="frames of each of seven molecules, a multiple of 5")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    frames, workers, repeats = arguments.frames, arguments.workers, arguments.repeats
    settings = BuildSettings((TASK,), Edition("", frames, frames, 5, 5), SEED, Path())
    units = plan_units(settings.tasks, settings.edition)
    bare_cpu, built_cpu = added(units, repeats)
    start = statistics.median(seconds(time.perf_counter, start_worker) for _ in range(repeats))
    print(f"{len(units)} units of {len(TASK.train_words()) + len(TASK.ood_words())} molecules, median of {repeats}")
    print(f"worker : bare calls = {built_cpu / bare_cpu:.3f} in processor time ({built_cpu:.1f} and {bare_cpu:.1f} s)")
    print(f"starting a worker: {start:.1f} s, once")
    ways: dict[str, Callable[[], None]] = {
        "1 bare process": lambda: in_bare_processes(units, 1),
        f"{workers} bare processes": lambda: in_bare_processes(units, workers),
        "build, 1 worker": lambda: built(units, settings, 1),
        f"build, {workers} workers": lambda: built(units, settings, workers),
    }
    rounds = [[seconds(time.perf_counter, call) for call in ways.values()] for _ in range(repeats)]
    for name, times in zip(ways, zip(*rounds, strict=True), strict=True):
        print(f"{name:<18} {statistics.median(times):>7.1f} s")
    bare_share = statistics.median(one / several / workers for one, several, _, _ in rounds)
    share = statistics.median(one / several / workers for _, _, one, several in rounds)
    print(f"share of the ideal speed at {workers}: build {share:.2f}, bare processes {bare_share:.2f}")


if __name__ == "__main__":
    main()
