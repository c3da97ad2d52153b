"""Builds an edition: makes the frames that are missing, writes the data-set folder and certifies it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dataset_builders.card import write_card
from dataset_builders.certify import certify
from dataset_builders.errors import CertificateError
from dataset_builders.fanout import BuildSettings, claim_work_dir, local_executor, make_units, missing_units
from dataset_builders.progress import build_progress
from dataset_builders.relabel import RelabelSettings, relabel
from dataset_builders.repository import write_repository
from dataset_builders.soundness import require_sound
from dataset_builders.task_folders import task_in, task_names
from dataset_builders.tasks import Task

HUB_ID: Final = "compgen/mlip-ood"
"""Name of the published data set, which the examples on the card use."""


def build_edition(settings: BuildSettings, directory: Path, workers: int) -> None:
    """Builds an edition on this machine: frames, data-set folder, certificate and card.

    Interrupt it whenever you like: the same call goes on from the finished units and ends with the
    same bytes.

    Args:
        settings: What to build.
        directory: The data-set folder to write.
        workers: Processes, each on one thread.

    Raises:
        UsageError: If a task cannot be certified whatever its frames are, or the work folder holds frames of another
            seed or recipe.
        IncompleteError: If a molecule failed; the message names it and the cause.
        CertificateError: If the rows do not pass the certificate; the folder stays, without a card.
    """
    require_sound(settings.tasks, others_in(directory, settings.tasks))
    make_missing_frames(settings, workers)
    write_repository(settings, directory)
    _certify_and_describe(directory)


def relabel_edition(settings: RelabelSettings, workers: int) -> None:
    """Labels frames at another level of theory on this machine, then certifies and describes the folder anew.

    Interrupt it whenever you like: the same call goes on from the finished labels.

    Args:
        settings: What to label.
        workers: Processes, each on one thread.

    Raises:
        UsageError: If more frames are asked for than there are, or none of a split that is needed.
        DataError: If the source is absent or corrupt.
        IncompleteError: If a frame failed; the message names it and the cause.
        CertificateError: If the rows do not pass the certificate; the folder stays, with its old card.
    """
    relabel(settings, lambda: local_executor(workers))
    _certify_and_describe(settings.out)


def _certify_and_describe(directory: Path) -> None:
    report = certify(directory)
    if not report.ok:
        raise CertificateError(f"{directory} was built, but is not certified:\n{report.text()}")
    write_card(directory, report.card_facts(HUB_ID))


def others_in(directory: Path, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The tasks that a data-set folder holds beside these, with which they share the names of molecules."""
    named = {task.name for task in tasks}
    return tuple(task_in(directory, name) for name in task_names(directory) if name not in named)


def make_missing_frames(settings: BuildSettings, workers: int) -> None:
    """Makes the units of an edition that are not in its work folder yet.

    Raises:
        UsageError: If the work folder holds frames of another seed or recipe.
        IncompleteError: If a molecule failed; the message names it and the cause.
    """
    claim_work_dir(settings)
    units = missing_units(settings)
    if units:
        with build_progress(units) as progress:
            make_units(units, settings, lambda: local_executor(workers), progress)
