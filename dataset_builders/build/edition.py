"""Builds an edition: computes missing frames, writes the data-set folder and certifies it."""

from collections.abc import Sequence
from pathlib import Path

from dataset_builders.build.build_progress import build_progress
from dataset_builders.build.edition_folder import write_repository
from dataset_builders.build.fanout import BuildSettings, all_units, make_units, missing_of, missing_units
from dataset_builders.build.shares import units_of_shard
from dataset_builders.build.unit_store import check_claim, claim_work_dir
from dataset_builders.build.work_units import WorkUnit
from dataset_builders.card.certified_card import certify_and_describe
from dataset_builders.certify.audit import CertifyReport
from dataset_builders.certify.config_audit import read_schema
from dataset_builders.certify.row_checks import usable_metadata
from dataset_builders.certify.soundness import require_sound
from dataset_builders.core.errors import IncompleteError, UsageError
from dataset_builders.core.shown import quoted
from dataset_builders.engines.choice import OpenPool
from dataset_builders.engines.shares import Shard
from dataset_builders.folder.configs import CONFIG
from dataset_builders.folder.provenance import is_imported
from dataset_builders.folder.task_folders import task_in, task_names
from dataset_builders.tasks.regions import Task


def build_edition(settings: BuildSettings, directory: Path, open_pool: OpenPool) -> CertifyReport:
    """Builds an edition: frames, data-set folder, certificate and card.

    It may be interrupted at any time: the same call resumes from the finished units and gives identical files.

    Args:
        settings: What to build.
        directory: The data-set folder to write.
        open_pool: The workers.

    Returns:
        The report of the certificate. A slice of an edition does not pass and has no card.

    Raises:
        UsageError: If a task cannot be certified for any frames, the data-set folder keeps imported frames or those of
            another edition, or the work folder contains frames of another seed or recipe.
        IncompleteError: If a molecule failed; the message gives its name and the cause.
        SetupError: If the workers cannot be reached or cannot do the work.
        CertificateError: If the rows fail the certificate; the folder stays, without a card.
    """
    require_same_edition(settings, directory)
    require_sound(settings.tasks, others_in(directory, settings.tasks))
    make_missing_frames(settings, open_pool)
    return write_edition(settings, directory)


def write_edition(settings: BuildSettings, directory: Path) -> CertifyReport:
    """Writes the data-set folder from finished units, certifies it and writes its card.

    Raises:
        IncompleteError: If a unit is missing.
        CertificateError: If the rows fail the certificate; the folder stays, without a card.
    """
    write_repository(settings, directory)
    return certify_and_describe(directory)


def others_in(directory: Path, tasks: Sequence[Task]) -> tuple[Task, ...]:
    """The other tasks in a data-set folder, which share its names of molecules."""
    named = {task.name for task in tasks}
    return tuple(task_in(directory, name) for name in task_names(directory) if name not in named)


def require_same_edition(settings: BuildSettings, directory: Path) -> None:
    """Rejects a data-set folder that keeps imported frames or those of another edition, beside which none is certified.

    Raises:
        UsageError: If a configuration that the build does not replace holds such frames.
        DataError: If a file of such a configuration cannot be read.
    """
    replaced = {task.name for task in settings.tasks}
    for folder in sorted(directory.iterdir()) if directory.is_dir() else ():
        match = CONFIG.fullmatch(folder.name)
        first = min(folder.glob("*.parquet"), default=None)
        if match is None or first is None or folder.name in replaced:
            continue
        metadata = usable_metadata(read_schema(first))
        # Labels at another level, which have a suffix, may be of fewer frames than the edition beside them.
        is_other = match[2] is None and metadata.get("edition") != settings.edition.name
        if is_imported(metadata) or is_other:
            seen = "was imported" if is_imported(metadata) else f"is of edition {quoted(metadata.get('edition'))}"
            raise UsageError(
                f"{directory} contains {folder.name}, which {seen}, but this build is of edition "
                f"{quoted(settings.edition.name)}; expected one edition in a folder. Choose another --out"
            )


def merge_edition(settings: BuildSettings, directory: Path) -> CertifyReport:
    """Writes the data-set folder from the units of finished shards; computes none.

    Raises:
        UsageError: If a task cannot be certified for any frames, the data-set folder keeps imported frames or those of
            another edition, or the work folder contains frames of another seed or recipe.
        IncompleteError: If units are missing; the message gives their number.
        CertificateError: If the rows fail the certificate; the folder stays, without a card.
    """
    require_same_edition(settings, directory)
    require_sound(settings.tasks, others_in(directory, settings.tasks))
    check_claim(settings.work_dir, settings.seed)
    missing = missing_units(settings)
    if missing:
        raise IncompleteError(
            f"{len(missing):,} of {len(all_units(settings)):,} units are missing from {settings.work_dir}, the first "
            "is "
            f"{missing[0]}; expected none. Run the unfinished shards again, with the same --edition, --task "
            "and --molecule, or omit --merge to compute the units here"
        )
    return write_edition(settings, directory)


def make_shard(settings: BuildSettings, open_pool: OpenPool, shard: Shard) -> list[WorkUnit]:
    """Computes one shard of the units of an edition; writes no data-set folder.

    Returns:
        The units of the shard, all finished.

    Raises:
        UsageError: If a task cannot be certified for any frames, or the work folder contains frames of another seed or
            recipe.
        IncompleteError: If a molecule failed; the message gives its name and the cause.
        SetupError: If the workers cannot be reached or cannot do the work.
    """
    require_sound(settings.tasks)
    return make_missing_frames(settings, open_pool, shard)


def make_missing_frames(settings: BuildSettings, open_pool: OpenPool, shard: Shard | None = None) -> list[WorkUnit]:
    """Computes the units of an edition that are missing from its work folder.

    Args:
        settings: What to build.
        open_pool: The workers.
        shard: The shard to compute; `None` for all units.

    Returns:
        The units of the shard, all finished.

    Raises:
        UsageError: If the work folder contains frames of another seed or recipe.
        IncompleteError: If a molecule failed; the message gives its name and the cause.
        SetupError: If the workers cannot be reached or cannot do the work.
    """
    claim_work_dir(settings.work_dir, settings.seed)
    units = all_units(settings)
    ours = units_of_shard(units, shard) if shard else units
    missing = missing_of(ours, settings)
    if missing:
        with build_progress(missing) as progress:
            make_units(missing, settings, open_pool, progress)
    return ours
