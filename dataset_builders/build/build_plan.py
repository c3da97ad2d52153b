"""Estimates the cost of a build before it starts, by timing a few bursts on its workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.build.cost import burst_cost, unit_cost
from dataset_builders.build.fanout import BuildSettings, all_units, missing_of
from dataset_builders.build.unit_store import check_claim
from dataset_builders.build.unit_worker import Probe, probe_burst
from dataset_builders.build.work_units import WorkUnit
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.core.terminal import UNBOUNDED, WIDEST_TEXT, wrapped
from dataset_builders.core.terminal_table import text_table
from dataset_builders.engines.choice import OpenPool
from dataset_builders.engines.probing import (
    BYTES_PER_ATOM,
    NO_RATE,
    Rate,
    Timing,
    number_of_probes,
    rate_of,
    results_of,
    sample_by_cost,
    wall_time_title,
)
from dataset_builders.engines.workers import Pool
from dataset_builders.tasks.editions import SPLITS, TrajectoryName
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.split_words import words_of_split
from dataset_builders.tasks.words import Word

MIN_PROBES: Final = 16
"""Fewest bursts that are timed."""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """Work for one task, or for several together.

    Attributes:
        name: Name of the task.
        n_molecules: Number of molecules.
        n_frames: Number of rows of its splits.
        n_done: Number of finished units.
        n_missing: Number of missing units.
        missing_cost: Cost of the missing units on the scale of `unit_cost`.
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
class BuildPlan:
    """Estimated cost of a build.

    Attributes:
        tasks: Each task alone; molecules shared with other tasks count in each.
        together: All tasks, with each molecule counted once.
        rate: Cost rate measured by the probe.
        workers: Number of workers; `None` if the engine does not report it.
    """

    tasks: tuple[TaskPlan, ...]
    together: TaskPlan
    rate: Rate
    workers: int | None

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the missing units."""
        return self.together.missing_cost * self.rate.cpu_seconds

    def text(self, width: int = UNBOUNDED) -> str:
        """The plan as text for the terminal.

        Args:
            width: Columns of the terminal; unbounded where the text is part of a message.
        """
        header = (
            "task",
            "molecules",
            "frames",
            "units done",
            "to do",
            "core-hours",
            wall_time_title(self.workers),
            "MB",
        )
        rows = [*self.tasks, self.together] if len(self.tasks) > 1 else self.tasks
        table = text_table(header, [self._row(row) for row in rows], width)
        return "\n".join([table, "", *wrapped(self._note(), min(width, WIDEST_TEXT))])

    def _row(self, plan: TaskPlan) -> tuple[str, ...]:
        return (
            plan.name,
            str(plan.n_molecules),
            f"{plan.n_frames:,}",
            f"{plan.n_done:,}",
            f"{plan.n_missing:,}",
            f"{plan.missing_cost * self.rate.cpu_seconds / 3600:,.3g}",
            self.rate.wall_time(plan.missing_cost, self.workers),
            f"{plan.n_bytes / 1e6:,.1f}",
        )

    def _note(self) -> str:
        if not self.rate.timings:
            return "no unit is missing: the build writes the data-set folder from finished units"
        shared = "\nmolecules shared by tasks are computed once; the last line counts them once"
        return self.rate.text("bursts") + (shared if len(self.tasks) > 1 else "")


def plan_build(settings: BuildSettings, open_pool: OpenPool) -> BuildPlan:
    """Counts finished units and times a few bursts of missing ones; writes nothing.

    Args:
        settings: What to build.
        open_pool: The workers of the build.

    Raises:
        UsageError: If the work folder contains frames of another seed or recipe.
        ConvergenceError: If a molecule of the probe fails.
        SetupError: If the engine cannot be reached, or its workers cannot do the work.
    """
    check_claim(settings.work_dir, settings.seed)
    units = all_units(settings)
    missing = missing_of(units, settings)
    rate, workers = NO_RATE, None
    if missing:
        with open_pool() as pool:
            rate, workers = probe_rate(missing, settings.seed, pool), pool.workers
    tasks = tuple(_task_plan(settings, (task,), units, set(missing)) for task in settings.tasks)
    return BuildPlan(tasks, _task_plan(settings, settings.tasks, units, set(missing)), rate, workers)


def probe_rate(missing: Sequence[WorkUnit], seed: int, pool: Pool) -> Rate:
    """Times a sample of bursts on all workers at once."""
    count = number_of_probes(pool, MIN_PROBES)
    by_cost = sorted(missing, key=lambda unit: (burst_cost(unit.word), unit))
    # The most expensive first, so that workers finish at about the same time.
    chosen = list(sample_by_cost(by_cost, count, unit_cost))[::-1]
    probes = results_of(pool, [(probe_burst, *_burst_of(unit), seed) for unit in chosen])
    return rate_of([_timing(probe) for probe in probes])


def _timing(probe: Probe) -> Timing:
    word = probe.word
    return Timing(len(atomic_numbers_of(word.smiles)), burst_cost(word), probe.cpu_seconds, probe.seconds)


def _burst_of(unit: WorkUnit) -> tuple[Word, TrajectoryName, int]:
    return unit.word, unit.trajectory, unit.first_burst


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
