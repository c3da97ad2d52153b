"""Fans the units of work out over the processes of an executor."""

import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from dataset_builders.editions import Edition
from dataset_builders.errors import IncompleteError, UsageError
from dataset_builders.geometries import RECIPE
from dataset_builders.labels import label_metadata
from dataset_builders.levels import GFN2
from dataset_builders.schema import SCHEMA_VERSION
from dataset_builders.tasks import Task
from dataset_builders.work import UnitReport, WorkUnit, make_unit, plan_units, read_unit

THREAD_LIMITS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
MAX_POOLS: Final = 3
"""How many times a pool whose worker died is replaced before the build gives up."""


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """What to build.

    Attributes:
        tasks: The tasks.
        edition: How many frames of each molecule.
        seed: Seed of every random number of the build.
        work_dir: Where finished units are kept; a larger edition of the same seed goes on from them.
    """

    tasks: tuple[Task, ...]
    edition: Edition
    seed: int
    work_dir: Path


ExecutorFactory = Callable[[], Executor]
Progress = Callable[[UnitReport], None]


def provenance(settings: BuildSettings) -> dict[str, Any]:
    """What the frames depend on; stands in the metadata of every file."""
    return {
        "edition": settings.edition.name,
        "level_of_theory": label_metadata(GFN2),
        "recipe": RECIPE.as_dict(),
        "seed": settings.seed,
        "versions": {name: version(name) for name in ("ase", "numpy", "rdkit", "tblite")},
    }


def local_executor(workers: int) -> Executor:
    """A pool of processes that each compute on one thread.

    The limits are set before the workers start, since the numerical libraries read them when they are
    imported; more threads gain nothing for molecules of this size and change the last bits.
    """
    for name in THREAD_LIMITS:
        os.environ[name] = "1"
    return ProcessPoolExecutor(max_workers=workers, mp_context=multiprocessing.get_context("spawn"))


def missing_units(settings: BuildSettings) -> list[WorkUnit]:
    """Units of the edition whose frames are not there yet."""
    units = plan_units(settings.tasks, settings.edition)
    return [unit for unit in units if read_unit(unit, settings.work_dir) is None]


def claim_work_dir(settings: BuildSettings) -> None:
    """Makes the work folder, or checks that its frames were made from the same seed, recipe and programs.

    Raises:
        UsageError: If they were not.
    """
    basis = {key: value for key, value in provenance(settings).items() if key != "edition"}
    wanted = basis | {"schema_version": SCHEMA_VERSION, "machine": platform.machine()}
    path = settings.work_dir / "build.json"
    settings.work_dir.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_text(json.dumps(wanted, indent=2, sort_keys=True) + "\n")
        return
    found = json.loads(path.read_text())
    different = sorted(key for key in wanted | found if wanted.get(key) != found.get(key))
    if different:
        key = different[0]
        raise UsageError(
            f"the work folder {settings.work_dir} holds frames made with {key} = {found.get(key)}; this build asks "
            f"for {wanted.get(key)}. Choose another --work folder, or delete this one"
        )


def make_units(
    units: Sequence[WorkUnit], settings: BuildSettings, executor_factory: ExecutorFactory, progress: Progress
) -> None:
    """Makes units on an executor; units lost with a dying worker are made again on a new one.

    Raises:
        IncompleteError: If units failed; the message names each molecule and cause. Units that
            succeeded stay on disk.
    """
    waiting = list(units)
    failures: list[str] = []
    for _ in range(MAX_POOLS):
        waiting = _make_on_one_pool(waiting, settings, executor_factory, progress, failures)
        if not waiting:
            break
    else:
        failures.append(
            f"workers died {MAX_POOLS} times, {len(waiting)} units are left, first {waiting[0]}: "
            "the machine may be short of memory; try fewer --workers"
        )
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(units)} units failed:\n  " + "\n  ".join(failures) + "\n"
            "Finished units are kept: the same command goes on from them"
        )


def _make_on_one_pool(
    units: Sequence[WorkUnit],
    settings: BuildSettings,
    executor_factory: ExecutorFactory,
    progress: Progress,
    failures: list[str],
) -> list[WorkUnit]:
    lost = []
    with executor_factory() as executor:
        futures: dict[Future[UnitReport], WorkUnit] = {}
        try:
            for unit in units:
                futures[executor.submit(make_unit, unit, settings.work_dir, settings.seed)] = unit
            for future in as_completed(futures):
                report = future.result()
                if report.error:
                    failures.append(report.error)
                progress(report)
        except BrokenProcessPool:
            lost = [unit for unit in units if read_unit(unit, settings.work_dir) is None]
        except KeyboardInterrupt:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
    return lost
