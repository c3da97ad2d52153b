"""What a build would take, before it starts: from the time of a few bursts on the workers that would do it."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Final

from dataset_builders.certificate import text_table
from dataset_builders.cost import burst_cost, unit_cost
from dataset_builders.editions import SPLITS, TrajectoryName
from dataset_builders.engines import Pool
from dataset_builders.errors import SetupError
from dataset_builders.executors import OpenPool
from dataset_builders.fanout import BuildSettings, all_units, missing_of
from dataset_builders.mmff94 import atomic_numbers_of
from dataset_builders.tasks import Task
from dataset_builders.words import Word
from dataset_builders.work import WorkUnit, words_of_split
from dataset_builders.work_folder import check_claim
from dataset_builders.worker import Probe, probe_burst

MIN_PROBES: Final = 16
MAX_PROBES: Final = 256
"""Bounds on the number of bursts that are timed; between them, one for each worker, so that all are busy at once."""

BYTES_PER_ATOM: Final = 35.3
"""Size of a Parquet file for each atom of each of its frames: 34.5 to 36.9 in the 16 files of the mini edition."""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What is to be done for one task, or for several together.

    Attributes:
        name: Name of the task.
        n_molecules: Number of molecules.
        n_frames: Rows of its splits.
        n_done: Units that are made.
        n_missing: Units that are to be made.
        missing_cost: Their cost on the scale of `unit_cost`.
        n_bytes: Estimated size of its files.
    """

    name: str
    n_molecules: int
    n_frames: int
    n_done: int
    n_missing: int
    missing_cost: int
    n_bytes: float


@dataclass(frozen=True, slots=True)
class Rate:
    """What a probe found.

    Attributes:
        cpu_seconds: Processor seconds for each unit of `unit_cost`.
        seconds: Seconds by the clock for the same, on one worker while all compute.
        error: Standard error of either, relative.
        probes: What was timed; empty if nothing is to be made.
    """

    cpu_seconds: float
    seconds: float
    error: float
    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What a build would take.

    Attributes:
        tasks: Task by task; one that shares molecules with another counts them too.
        together: All tasks, each molecule once.
        rate: What the probe found.
        workers: Number of workers; `None` where the engine does not say.
    """

    tasks: tuple[TaskPlan, ...]
    together: TaskPlan
    rate: Rate
    workers: int | None

    @property
    def cpu_seconds(self) -> float:
        """Processor time of what is to be made."""
        return self.together.missing_cost * self.rate.cpu_seconds

    def text(self) -> str:
        """The plan for the terminal."""
        plural = "" if self.workers == 1 else "s"
        wall = f"time, {self.workers} worker{plural}" if self.workers else "time"
        header = ("task", "molecules", "frames", "units done", "to do", "core-hours", wall, "MB")
        rows = [*self.tasks, self.together] if len(self.tasks) > 1 else self.tasks
        return f"{text_table(header, [self._row(row) for row in rows])}\n\n{self._note()}"

    def _row(self, plan: TaskPlan) -> tuple[str, ...]:
        seconds = plan.missing_cost * self.rate.seconds / self.workers if self.workers else None
        return (
            plan.name,
            str(plan.n_molecules),
            f"{plan.n_frames:,}",
            f"{plan.n_done:,}",
            f"{plan.n_missing:,}",
            f"{plan.missing_cost * self.rate.cpu_seconds / 3600:,.3g}",
            "-" if seconds is None else duration(seconds),
            f"{plan.n_bytes / 1e6:,.1f}",
        )

    def _note(self) -> str:
        probes = self.rate.probes
        if not probes:
            return "nothing is to be made: the build writes the folder from finished units"
        atoms = [len(atomic_numbers_of(probe.word.smiles)) for probe in probes]
        share = self.rate.cpu_seconds / self.rate.seconds
        lines = [
            f"from {len(probes)} bursts of molecules of {min(atoms)} to {max(atoms)} atoms, which took "
            f"{min(probe.cpu_seconds for probe in probes):.1f} to {max(probe.cpu_seconds for probe in probes):.1f} s "
            f"each; standard error {self.rate.error:.0%}",
            f"each worker had {share:.0%} of a core meanwhile: the time by the clock counts on the same"
            if share < 0.9
            else "",
            "molecules that tasks share are made once: the last line counts them so" if len(self.tasks) > 1 else "",
        ]
        return "\n".join(line for line in lines if line)


def plan_build(settings: BuildSettings, open_pool: OpenPool) -> BuildPlan:
    """Counts what is done and times a few bursts of what is not; makes and writes nothing.

    Args:
        settings: What to build.
        open_pool: The workers that would build it.

    Raises:
        UsageError: If the work folder holds frames of another seed or recipe.
        ConvergenceError: If a molecule of the probe fails.
        SetupError: If the engine cannot be reached, or its workers cannot do the work.
    """
    check_claim(settings.work_dir, settings.seed)
    units = all_units(settings)
    missing = missing_of(units, settings)
    rate, workers = Rate(0.0, 0.0, 0.0, ()), None
    if missing:
        with open_pool() as pool:
            rate, workers = probe_rate(missing, settings.seed, pool), pool.workers
    tasks = tuple(_task_plan(settings, (task,), units, set(missing)) for task in settings.tasks)
    return BuildPlan(tasks, _task_plan(settings, settings.tasks, units, set(missing)), rate, workers)


def probe_rate(missing: Sequence[WorkUnit], seed: int, pool: Pool) -> Rate:
    """Times a sample of bursts on all workers at once.

    Bursts are drawn with chances in proportion to their estimated cost, at equal distances along the
    list of units by cost. The mean of time over estimated cost then tells the whole without bias, however rough
    the estimate: it only decides how many bursts it takes.
    """
    count = min(max(MIN_PROBES, pool.workers or 1), MAX_PROBES)
    # The dearest first, so that no worker waits for another at the end.
    chosen = sorted(_sample(missing, count), key=lambda unit: -burst_cost(unit.word))
    died: tuple[type[Exception], ...] = (BrokenExecutor, *pool.lost)
    try:
        futures = [pool.executor.submit(probe_burst, *_burst_of(unit), seed) for unit in chosen]
        probes = tuple(future.result() for future in futures)
    except died as cause:
        raise SetupError(
            f"a worker died over the probe: {cause}; the machine may be short of memory, try fewer --workers"
        ) from cause
    costs = [burst_cost(probe.word) for probe in probes]
    cpu = [probe.cpu_seconds / cost for probe, cost in zip(probes, costs, strict=True)]
    clock = [probe.seconds / cost for probe, cost in zip(probes, costs, strict=True)]
    return Rate(fmean(cpu), fmean(clock), stdev(cpu) / math.sqrt(count) / fmean(cpu), probes)


def _burst_of(unit: WorkUnit) -> tuple[Word, TrajectoryName, int]:
    return unit.word, unit.trajectory, unit.first_burst


def _sample(units: Sequence[WorkUnit], count: int) -> Iterator[WorkUnit]:
    total = sum(unit_cost(unit) for unit in units)
    passed, drawn = 0, 0
    for unit in sorted(units, key=lambda unit: (burst_cost(unit.word), unit)):
        passed += unit_cost(unit)
        while (2 * drawn + 1) * total < 2 * count * passed:
            drawn += 1
            yield unit


def _task_plan(
    settings: BuildSettings, tasks: tuple[Task, ...], units: Sequence[WorkUnit], missing: set[WorkUnit]
) -> TaskPlan:
    words = {(task.name, split): words_of_split(task, split, settings.molecules) for task in tasks for split in SPLITS}
    names = {word.molecule_id for found in words.values() for word in found}
    ours = [unit for unit in units if unit.molecule_id in names]
    left = [unit for unit in ours if unit in missing]
    frames = {(task, split): int(getattr(settings.edition, split)) for task, split in words}
    n_atoms = sum(
        frames[place] * len(atomic_numbers_of(word.smiles)) for place, found in words.items() for word in found
    )
    return TaskPlan(
        name=tasks[0].name if len(tasks) == 1 else "together",
        n_molecules=len(names),
        n_frames=sum(frames[place] * len(found) for place, found in words.items()),
        n_done=len(ours) - len(left),
        n_missing=len(left),
        missing_cost=sum(unit_cost(unit) for unit in left),
        n_bytes=BYTES_PER_ATOM * n_atoms,
    )


def duration(seconds: float) -> str:
    """A time for people, such as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.1f} h"
