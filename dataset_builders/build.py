"""Builds an edition: makes the frames that are missing, then writes the data-set folder."""

from pathlib import Path

from dataset_builders.fanout import BuildSettings, claim_work_dir, local_executor, make_units, missing_units
from dataset_builders.progress import build_progress
from dataset_builders.repository import write_repository


def build_edition(settings: BuildSettings, directory: Path, workers: int) -> None:
    """Builds an edition on this machine.

    Interrupt it whenever you like: the same call goes on from the finished units and ends with the
    same bytes.

    Args:
        settings: What to build.
        directory: The data-set folder to write.
        workers: Processes, each on one thread.

    Raises:
        UsageError: If the work folder holds frames of another seed or recipe.
        IncompleteError: If a molecule failed; the message names it and the cause.
    """
    claim_work_dir(settings)
    units = missing_units(settings)
    if units:
        with build_progress(units) as progress:
            make_units(units, settings, lambda: local_executor(workers), progress)
    write_repository(settings, directory)
