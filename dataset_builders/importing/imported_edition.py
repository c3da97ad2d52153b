"""Imports external trajectories into the schema of the data set, and certifies the result."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from dataset_builders.card.dataset_card import card_facts, remove_card, write_card
from dataset_builders.certify.audit import certify
from dataset_builders.certify.soundness import require_sound
from dataset_builders.core.errors import CertificateError, DataError, UsageError
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.core.whole_folder import whole_folder
from dataset_builders.folder.configs import level_of_config, task_of_config
from dataset_builders.folder.provenance import IMPORTED, ImportRecord, import_record_of
from dataset_builders.folder.schema import SCHEMA, with_metadata
from dataset_builders.folder.split_files import stated_level
from dataset_builders.folder.split_writing import by_burst, write_split
from dataset_builders.folder.task_folders import metadata_by_config
from dataset_builders.importing.import_map import ImportMap
from dataset_builders.importing.import_summary import ImportReport
from dataset_builders.importing.molecule_frames import Collector
from dataset_builders.importing.source_files import find_source_files
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.task_document import task_metadata, task_of_metadata


def import_trajectories(
    sources: Sequence[str | Path], how: ImportMap, directory: Path, *, skip_mismatches: bool = False
) -> ImportReport:
    """Writes trajectories as a configuration of a data-set folder, and certifies the folder.

    Args:
        sources: Files in extended XYZ or ASE's own formats, each with one trajectory of one molecule; folders of such
            files; data sets on the Hub, as `hf://datasets/org/name[@revision]`.
        how: Description of the trajectories.
        directory: The data-set folder; a configuration of the same name is replaced.
        skip_mismatches: Whether to leave out, count and record frames, files and molecules that do not match.

    Raises:
        UsageError: If the task cannot be certified for any frames, the patterns do not determine the trajectory of a
            file, a file is given twice, or the folder contains data of another origin, with other numbers of frames, or
            of a task that uses a name for another molecule.
        DataError: If a file cannot be read, or there are mismatches and they are not skipped; nothing is written.
        SetupError: If the Hub cannot be reached or refuses access.
        CertificateError: If the rows fail the certificate; the folder stays, without a card.
    """
    others = {name: found for name, found in metadata_by_config(directory).items() if name != how.config}
    _require_same_origin(directory, how, others)
    require_sound([how.task], _other_tasks(directory, how, others))
    found = find_source_files(sources, how)
    collector = Collector(how)
    for file in found.files:
        collector.add_file(file)
    record = collector.record(found.repos)
    problems = collector.all_problems()
    report = ImportReport(directory, how.config, record, collector.n_rows(), problems, found.skipped)
    _require_frames(report, how, skip_mismatches=skip_mismatches)
    _write(collector, record, how, directory)
    certificate = certify(directory)
    if not certificate.ok:
        remove_card(directory)
        raise CertificateError(f"{directory} was written, but is not certified:\n{certificate.text()}")
    write_card(directory, card_facts(certificate, DATASET_ID))
    return report


def _require_frames(report: ImportReport, how: ImportMap, *, skip_mismatches: bool) -> None:
    """Rejects mismatches, unless they are skipped, and splits without frames."""
    if report.problems and not skip_mismatches:
        raise DataError(
            f"{report.problem_text()}\nnothing was written. Correct the files or the map, or leave out the "
            "mismatches with --skip-mismatches"
        )
    for split, count in report.n_rows.items():
        if not count:
            listed = f"{report.problem_text()}\n" if report.problems else ""
            raise DataError(
                f"{listed}no frame is left for {split}, so nothing was written; expected at least one. In the "
                f"secondary trajectory of a training molecule, {_split_rule(how)}"
            )


def _split_rule(how: ImportMap) -> str:
    if how.n_validation is None:
        return "the first five frames after the stride are validation and the next 20 test_id"
    first, total = how.n_validation, how.n_secondary
    return f"of {total} frames after the stride, the first {first} are validation and the others test_id"


def _require_same_origin(directory: Path, how: ImportMap, others: Mapping[str, Mapping[str, Any]]) -> None:
    """Rejects data of another origin: a folder has one card and one licence, and each name one level of theory."""
    for config, metadata in others.items():
        record = import_record_of(metadata)
        if record is None or (record.source, record.licence) != (how.source, how.licence):
            seen = "was built" if record is None else f"comes from {record.source!r} under {record.licence!r}"
            raise UsageError(
                f"{directory} contains {config}, which {seen}, but this import is from {how.source!r} under "
                f"{how.licence!r}; import into another folder"
            )
        _require_same_numbers(f"{directory} contains {config}", record, how)
        method = stated_level(metadata)
        if level_of_config(config) == level_of_config(how.config) and method != how.level.method:
            raise UsageError(
                f"{directory} contains {config} with labels of {method!r}, but this import has labels of "
                f"{how.level.method!r}; expected one level of theory for both names: correct labels.method in the map, "
                "or import into another folder"
            )


def _require_same_numbers(place: str, record: ImportRecord, how: ImportMap) -> None:
    """Rejects another stride for the same molecules: a frame of a molecule has one number in all configurations."""
    words = (*how.task.train_words(), *how.task.ood_words())
    shared = [word.molecule_id for word in words if word.molecule_id in record.frames]
    if shared and record.stride != how.stride:
        raise UsageError(
            f"{place}, which has frames of {shared[0]} with stride = {record.stride}, but the map says stride = "
            f"{how.stride}, so that a number would mean two frames; use the same stride, or import into another folder"
        )


def _other_tasks(directory: Path, how: ImportMap, others: Mapping[str, Mapping[str, Any]]) -> tuple[Task, ...]:
    """The tasks of the other configurations of a folder.

    Raises:
        UsageError: If the same task has another declaration at another level of theory.
        DataError: If a configuration declares no task.
    """
    found = {}
    for config, metadata in others.items():
        name = task_of_config(config)
        task = task_of_metadata(metadata, name, str(directory / config))
        if name == how.task.name and task != how.task:
            raise UsageError(
                f"{directory} contains {config} with another declaration of {name} than that of the map; expected one "
                "declaration at all levels: use the same, rename the task, or import into another folder"
            )
        found[name] = task
    return tuple(task for name, task in found.items() if name != how.task.name)


def _write(collector: Collector, record: ImportRecord, how: ImportMap, directory: Path) -> None:
    """Writes the files beside their final folder and then moves them."""
    schema = with_metadata(_metadata(record, how))
    with whole_folder(directory / how.config) as fresh:
        for split in SPLITS:
            rows = pa.concat_tables([SCHEMA.empty_table(), *collector.tables[split]])
            write_split([by_burst(rows)], schema, fresh, split)


def _metadata(record: ImportRecord, how: ImportMap) -> Mapping[str, Any]:
    return {
        "edition": IMPORTED,
        IMPORTED: record.model_dump(exclude_defaults=True),
        "level_of_theory": {"method": how.level.method, "computed": how.computed},
        "versions": {name: version(name) for name in ("ase", "numpy", "rdkit")},
        **task_metadata(how.task),
    }
