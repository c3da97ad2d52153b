"""Fans the units of work out over the workers of an engine."""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from dataset_builders.editions import Edition
from dataset_builders.engines import Pool
from dataset_builders.errors import IncompleteError
from dataset_builders.executors import OpenPool
from dataset_builders.tasks import Task
from dataset_builders.work import UnitReport, WorkUnit, plan_units, read_unit
from dataset_builders.work_folder import frame_basis
from dataset_builders.worker import make_unit_safely

MAX_DEATHS: Final = 3
"""How many workers may die over a unit, and how many engines may break without a finished unit, before that is told."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What to build.

    Attributes:
        tasks: The tasks.
        edition: How many frames of each molecule.
        seed: Seed of every random number of the build.
        work_dir: Where finished units are kept; a larger edition of the same seed goes on from them.
        molecules: Ids of the only molecules to build; empty for all of the tasks.
    """

    tasks: tuple[Task, ...]
    edition: Edition
    seed: int
    work_dir: Path
    molecules: tuple[str, ...] = ()


Progress = Callable[[UnitReport], None]


def provenance(settings: BuildSettings) -> dict[str, Any]:
    """What the frames depend on; stands in the metadata of every file."""
    slice_of = {"molecules": sorted(settings.molecules)} if settings.molecules else {}
    return {"edition": settings.edition.name} | frame_basis(settings.seed) | slice_of


def all_units(settings: BuildSettings) -> list[WorkUnit]:
    """Every unit of the edition."""
    return plan_units(settings.tasks, settings.edition, settings.molecules)


def missing_of(units: Sequence[WorkUnit], settings: BuildSettings) -> list[WorkUnit]:
    """Those of some units whose frames are not there yet."""
    return [unit for unit in units if read_unit(unit, settings.work_dir) is None]


def missing_units(settings: BuildSettings) -> list[WorkUnit]:
    """Units of the edition whose frames are not there yet."""
    return missing_of(all_units(settings), settings)


def make_units(units: Sequence[WorkUnit], settings: BuildSettings, open_pool: OpenPool, progress: Progress) -> None:
    """Makes units on an engine; those that are lost with a dying worker are made again.

    Raises:
        IncompleteError: If units failed; the message names each molecule and cause. Units that
            succeeded stay on disk.
        SetupError: If the engine cannot be reached, or its workers cannot do the work.
    """
    campaign = _Campaign(units, settings, progress)
    breaks = 0
    while campaign.waiting and breaks < MAX_DEATHS:
        before = len(campaign.waiting)
        campaign.run(open_pool)
        breaks = breaks + 1 if len(campaign.waiting) == before else 0
    failures = campaign.failures
    if campaign.waiting:
        failures.append(
            f"the workers died {MAX_DEATHS} times before a unit was done, {len(campaign.waiting)} units are left, "
            f"first {campaign.waiting[0]}: the machine may be short of memory; try fewer --workers"
        )
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(units)} units failed:\n  " + "\n  ".join(failures) + "\n"
            "Finished units are kept: the same command goes on from them"
        )


class _Campaign:
    """Units on their way, and what went wrong with them.

    Args:
        units: The units to make.
        settings: What is built.
        progress: Called with what came of each unit.

    Attributes:
        waiting: Units that are not made and not given up, in the order of their turn.
        failures: Why units failed.
    """

    def __init__(self, units: Sequence[WorkUnit], settings: BuildSettings, progress: Progress) -> None:
        self.waiting = list(units)
        self.failures: list[str] = []
        self._settings = settings
        self._progress = progress
        self._deaths: Counter[WorkUnit] = Counter()
        self._settled: set[WorkUnit] = set()

    def run(self, open_pool: OpenPool) -> None:
        """Makes the waiting units; comes back when all are settled, or when the workers broke as a whole."""
        pending: dict[Future[UnitReport], WorkUnit] = {}
        in_hand = 1
        try:
            with open_pool() as pool:
                in_hand = pool.workers or 1
                self._run_on(pool, pending)
        except (BrokenExecutor, CancelledError):
            for future in pending:
                if future.done() and not future.cancelled() and not future.exception():
                    self._settle(future.result())
            # Units are taken in turn, so one of the first that are left was in the hands of the worker that died.
            for unit in self._unsettled()[:in_hand]:
                self._blame(unit)
        # Suspects come last: what breaks the workers again shall not keep the others from being made.
        self.waiting = sorted(self._unsettled(), key=lambda unit: self._deaths[unit])

    def _run_on(self, pool: Pool, pending: dict[Future[UnitReport], WorkUnit]) -> None:
        done: SimpleQueue[Future[UnitReport]] = SimpleQueue()

        def submit(unit: WorkUnit) -> None:
            future = pool.executor.submit(make_unit_safely, unit, self._settings.work_dir, self._settings.seed)
            pending[future] = unit
            future.add_done_callback(done.put)

        for unit in self.waiting:
            submit(unit)
        while pending:
            future = done.get()
            try:
                self._settle(future.result())
            except pool.lost:
                if self._blame(pending[future]):
                    submit(pending[future])
            del pending[future]

    def _settle(self, report: UnitReport) -> None:
        self._settled.add(report.unit)
        if report.error:
            self.failures.append(report.error)
        self._progress(report)

    def _blame(self, unit: WorkUnit) -> bool:
        """Counts a death of a worker over a unit; whether the unit may be tried again."""
        self._deaths[unit] += 1
        if self._deaths[unit] < MAX_DEATHS:
            return True
        cause = f"{unit}: its worker died {MAX_DEATHS} times; it may be short of memory, try fewer --workers"
        self._settle(UnitReport(unit, 0.0, error=cause))
        return False

    def _unsettled(self) -> list[WorkUnit]:
        return [unit for unit in self.waiting if unit not in self._settled]
