"""Distributes the work units over the workers of an engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dataset_builders.build.unit_store import frame_basis
from dataset_builders.build.unit_worker import make_unit_safely
from dataset_builders.build.work_units import UnitReport, WorkUnit, plan_units, read_unit
from dataset_builders.core.errors import IncompleteError
from dataset_builders.engines.campaign import Work, do_all
from dataset_builders.engines.choice import OpenPool
from dataset_builders.tasks.editions import Edition
from dataset_builders.tasks.regions import Task


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Settings of a build.

    Attributes:
        tasks: The tasks.
        edition: Number of frames of each molecule.
        seed: Seed of every random number of the build.
        work_dir: Folder of finished units; a larger edition with the same seed reuses them.
        molecules: Ids of the molecules to build; empty for all molecules of the tasks.
    """

    tasks: tuple[Task, ...]
    edition: Edition
    seed: int
    work_dir: Path
    molecules: tuple[str, ...] = ()


Progress = Callable[[UnitReport], None]


def provenance(settings: BuildSettings) -> dict[str, Any]:
    """Provenance of the frames, for the metadata of every file."""
    slice_of = {"molecules": sorted(settings.molecules)} if settings.molecules else {}
    return {"edition": settings.edition.name} | frame_basis(settings.seed) | slice_of


def all_units(settings: BuildSettings) -> list[WorkUnit]:
    """Every unit of the edition."""
    return plan_units(settings.tasks, settings.edition, settings.molecules)


def missing_of(units: Sequence[WorkUnit], settings: BuildSettings) -> list[WorkUnit]:
    """The given units without frames in the work folder."""
    return [unit for unit in units if read_unit(unit, settings.work_dir) is None]


def missing_units(settings: BuildSettings) -> list[WorkUnit]:
    """Units of the edition without frames in the work folder."""
    return missing_of(all_units(settings), settings)


def make_units(units: Sequence[WorkUnit], settings: BuildSettings, open_pool: OpenPool, progress: Progress) -> None:
    """Computes units on an engine; units lost with a dying worker are repeated.

    Raises:
        IncompleteError: If units failed; the message gives each molecule and cause. Finished units stay on disk.
        SetupError: If the engine cannot be reached or its workers cannot do the work.
    """
    work: Work[WorkUnit, UnitReport] = Work(
        noun="units",
        do=partial(make_unit_safely, work_dir=settings.work_dir, seed=settings.seed),
        lost=lambda unit, cause: UnitReport(unit, 0.0, error=cause),
        failures=lambda report: [report.error] if report.error else [],
        progress=progress,
    )
    failures = do_all(units, work, open_pool)
    if failures:
        raise IncompleteError(
            f"{len(failures)} of {len(units)} units failed:\n  " + "\n  ".join(failures) + "\n"
            "Finished units are kept: run the same command again to resume from them"
        )
