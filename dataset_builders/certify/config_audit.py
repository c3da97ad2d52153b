"""Audits the files of one configuration: every row, every label, and its certificate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.certify.correlation import TimeCorrelation, time_correlations
from dataset_builders.certify.coverage import ConfigSummary, TaskCertificate, certify_task
from dataset_builders.certify.geometry.support import GeometricSupport
from dataset_builders.certify.geometry.support_meter import SupportMeter
from dataset_builders.certify.labels.evidence import LabelEvidence
from dataset_builders.certify.labels.label_table import LabelReport, examine_labels
from dataset_builders.certify.ledger import ConfigLedger, FrameHashes
from dataset_builders.certify.row_checks import (
    Place,
    Problem,
    edition_of,
    file_problems,
    frame_counts_of,
    frame_problems,
    frames_by_molecule,
    method_of,
    molecules_of,
    sound_rows,
    usable_metadata,
)
from dataset_builders.chemistry.levels import Level
from dataset_builders.chemistry.sampling import RECIPE
from dataset_builders.core.arrow_arrays import UNREADABLE
from dataset_builders.core.errors import DataError
from dataset_builders.folder.configs import SPLIT_FILE
from dataset_builders.folder.provenance import import_record_of, is_imported
from dataset_builders.folder.schema import SCHEMA, schema_problems
from dataset_builders.folder.split_files import parts_problem
from dataset_builders.tasks.editions import SPLITS, SplitName
from dataset_builders.tasks.regions import Task

ROWS_PER_BATCH: Final = 2_000
REMEDY: Final = "build the folder with `python -m dataset_builders build --out DIR`, or download it again"
_WHOLE: Final = "one complete set of files per split; remove leftover files, or build or download it again"


class ConfigAudit:
    """Runs all checks on the files of one configuration.

    Args:
        folder: Folder of the configuration.
        task: Its task.
        level: Level of theory of its labels.
        hashes: Frames of the previous configurations, for comparison.
        with_geometry: Whether to measure the geometric support of the test frames.
    """

    def __init__(
        self, folder: Path, task: Task, level: Level, hashes: FrameHashes, *, with_geometry: bool = False
    ) -> None:
        self._folder = folder
        self._task = task
        self._level = level
        self._hashes = hashes
        self._ledger = ConfigLedger(folder.name, self._task)
        self._evidence = LabelEvidence()
        self._meter = SupportMeter(folder.name, task) if with_geometry else None
        self._metadata: dict[str, Any] = {}

    def run(self) -> Iterator[Problem]:
        """Checks split by split, then the configuration as a whole."""
        files: dict[str, list[Path]] = {split: [] for split in SPLITS}
        for path in sorted(self._folder.glob("*.parquet")):
            match = SPLIT_FILE.fullmatch(path.name)
            if match:
                files[match[1]].append(path)
            else:
                yield Problem(self._name(path), None, "", "", "a file that belongs to no split", "SPLIT-*.parquet")
        for split in SPLITS:
            if files[split]:
                parts = parts_problem([path.name for path in files[split]], split)
                if parts is not None:
                    yield Problem(self._folder.name, None, "", "", f"{split} is incomplete: {parts}", _WHOLE)
                yield from self._split_problems(split, files[split])
            elif self._frame_counts().get(split) != 0:
                yield Problem(self._folder.name, None, "", "", f"no file of {split}", f"{split}-*.parquet")
        yield from self._ledger.geometry_problems()
        yield from self._ledger.energy_problems(self._temperature())

    def labels(self) -> tuple[LabelReport, list[Problem]]:
        """Checks of the labels; call it after `run`."""
        return examine_labels(self._folder.name, self._level, self._evidence, self._temperature())

    def summary(self) -> ConfigSummary:
        """Content of the configuration; call it after `run`."""
        return ConfigSummary(
            config=self._folder.name,
            task=self._task,
            method=method_of(self._metadata) or self._level.method,
            metadata=self._metadata,
            n_rows={split: self._ledger.n_rows[split] for split in SPLITS},
            n_molecules={split: self._ledger.n_molecules(split) for split in SPLITS},
        )

    def certificates(self) -> Iterator[TaskCertificate]:
        """The coverage certificate, unless there are no training or no OOD molecules."""
        train, ood = self._ledger.smiles["train"], self._ledger.smiles["test_ood"]
        if train and ood:
            yield certify_task(self._folder.name, self._task, train, ood)

    def support(self) -> Iterator[GeometricSupport]:
        """The geometric support, if it was to be measured and there are frames to compare."""
        if self._meter and self._ledger.n_rows["train"] and self._ledger.n_rows["test_ood"]:
            yield self._meter.support()

    def correlations(self) -> Iterator[TimeCorrelation]:
        """The correlation in time of imported trajectories; nothing for frames that this project sampled."""
        record = import_record_of(self._metadata)
        if record is not None:
            yield from time_correlations(self._folder.name, record, self._ledger.energy_series())

    def slices(self) -> Iterator[str]:
        """The missing molecules of the configuration, if its files declare a slice."""
        named = molecules_of(self._metadata)
        if named:
            names = [word.molecule_id for word in (*self._task.train_words(), *self._task.ood_words())]
            lacking = [name for name in names if name not in named]
            yield (
                f"{self._folder.name} is a slice of {len(names) - len(lacking)} of {len(names)} molecules, without "
                + ", ".join(lacking)
            )

    def _split_problems(self, split: SplitName, files: list[Path]) -> Iterator[Problem]:
        complete = True
        for path in files:
            schema = read_schema(path)
            record = import_record_of(usable_metadata(schema))
            n_validation = None if record is None else record.n_validation
            place = Place(self._name(path), self._folder.name, self._task, self._level, split, n_validation)
            yield from file_problems(schema, place.file)
            if schema_problems(schema):
                complete = False
                continue
            yield from self._metadata_problems(schema, place)
            yield from self._row_problems(path, place)
        if complete:
            yield from self._completeness_problems(split)

    def _completeness_problems(self, split: SplitName) -> Iterator[Problem]:
        record = import_record_of(self._metadata)
        if record is not None:
            yield from self._ledger.import_problems(split, record)
        elif not is_imported(self._metadata):
            edition, molecules = edition_of(self._metadata), molecules_of(self._metadata)
            count = self._frame_counts().get(split)
            yield from self._ledger.completeness_problems(split, edition, count, molecules)

    def _temperature(self) -> float:
        record = import_record_of(self._metadata)
        return RECIPE.temperature if record is None else record.temperature

    def _frame_counts(self) -> dict[SplitName, int]:
        return frame_counts_of(self._metadata) or {}

    def _metadata_problems(self, schema: pa.Schema, place: Place) -> Iterator[Problem]:
        metadata = usable_metadata(schema)
        self._metadata = self._metadata or metadata
        for key in sorted(self._metadata.keys() | metadata.keys()):
            if metadata.get(key) != self._metadata.get(key):
                seen, expected = (
                    f"metadata {key} = {metadata.get(key)}",
                    f"{self._metadata.get(key)}, as in other files",
                )
                yield Problem(place.file, None, "", "", seen, expected)
        method = method_of(metadata)
        if method and method != self._level.method:
            expected = f"{self._level.method}, according to the name {place.config}"
            yield Problem(place.file, None, "", "", f"labels of {method}", expected)

    def _row_problems(self, path: Path, place: Place) -> Iterator[Problem]:
        first_row = 0
        for batch in _read_batches(path):
            sound, rows, problems = sound_rows(batch, first_row, place.file)
            yield from problems
            for frames in frames_by_molecule(sound, rows, place.file, self._task.vocabulary):
                yield from frame_problems(frames, place)
                yield from self._ledger.add(frames, place)
                yield from self._hashes.add(frames, place)
                self._evidence.add(frames)
                if self._meter and place.split != "validation":
                    self._meter.add(frames, place.split)
            first_row += batch.num_rows
        # A slice may have no molecule of a split.
        if not first_row and not molecules_of(self._metadata):
            yield Problem(place.file, None, "", "", "no row", f"rows of {place.split}, or no such file")
        elif first_row and _has_empty_group(path):
            # `datasets` takes its batch size from the first row group.
            yield Problem(place.file, None, "", "", "a row group without rows", "rows in each")
        self._ledger.n_rows[place.split] += first_row

    def _name(self, path: Path) -> str:
        return f"{self._folder.name}/{path.name}"


def read_schema(path: Path) -> pa.Schema:
    """Schema of a Parquet file, with its metadata.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        return pq.read_schema(path)
    except UNREADABLE as cause:
        raise unreadable(path, cause) from cause


def row_count(path: Path) -> int:
    """Number of rows of a Parquet file.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except UNREADABLE as cause:
        raise unreadable(path, cause) from cause


def _read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(ROWS_PER_BATCH, columns=SCHEMA.names):
                batch.validate(full=True)
                yield batch
    except UNREADABLE as cause:
        raise unreadable(path, cause) from cause


def _has_empty_group(path: Path) -> bool:
    metadata = pq.read_metadata(path)
    return any(metadata.row_group(number).num_rows == 0 for number in range(metadata.num_row_groups))


def unreadable(path: Path, cause: Exception) -> DataError:
    """The error for a file that cannot be read."""
    return DataError(f"{path} cannot be read as Parquet ({cause}); expected a complete file of the data set; {REMEDY}")
