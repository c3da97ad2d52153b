"""Certifies a data-set folder from its Parquet files alone.

No information of the builder is used: the rows are read back, checked one by one and against each other, and the
solvability certificate is computed from their molecules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from dataset_builders.certify.coverage import (
    CERTIFICATE_HEADER,
    RADII,
    SUMMARY_HEADER,
    ConfigSummary,
    DataSetCertificate,
    TaskCertificate,
    certificate_notes,
    certificate_rows,
    certify_task,
    summary_rows,
    text_table,
)
from dataset_builders.certify.labels.evidence import LabelEvidence
from dataset_builders.certify.labels.label_table import (
    LABEL_HEADER,
    LabelReport,
    examine_labels,
    label_notes,
    label_rows,
)
from dataset_builders.certify.ledger import ConfigLedger, FrameHashes
from dataset_builders.certify.recompute import Recomputation, recompute
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
from dataset_builders.chemistry.levels import GFN2, LEVELS, LEVELS_BY_SUFFIX, Level, other_level
from dataset_builders.chemistry.sampling import RECIPE
from dataset_builders.core.errors import DataError
from dataset_builders.core.whole_folder import settle_all
from dataset_builders.folder.configs import CONFIG, SPLIT_FILE
from dataset_builders.folder.provenance import import_record_of, is_imported
from dataset_builders.folder.schema import SCHEMA, schema_problems
from dataset_builders.folder.split_files import parts_problem
from dataset_builders.tasks.editions import SPLITS, SplitName
from dataset_builders.tasks.regions import TASKS, Task
from dataset_builders.tasks.task_document import task_of_metadata

ROWS_PER_BATCH: Final = 2_000
PROBLEMS_SHOWN: Final = 50

_LAYOUT: Final = "expected files such as DIR/task1/train-00000-of-00001.parquet"
_WHOLE: Final = "one complete set of files per split; remove leftover files, or build or download it again"
_REMEDY: Final = "build the folder with `python -m dataset_builders build --out DIR`, or download it again"


@dataclass(frozen=True, slots=True)
class CertifyReport:
    """Results of the audit of a data-set folder.

    Attributes:
        directory: The folder.
        n_files: Number of Parquet files read.
        certificate: Content summary and solvability certificate.
        problems: All deviations of its rows and files.
        slices: Description of each configuration that has only some of its molecules on purpose.
        recomputation: Results of recomputed labels; `None` if none were recomputed.
    """

    directory: Path
    n_files: int
    certificate: DataSetCertificate
    problems: tuple[Problem, ...]
    slices: tuple[str, ...] = ()
    recomputation: Recomputation | None = None

    @property
    def ok(self) -> bool:
        """Whether every present configuration is complete and passes its certificate, and no row deviates."""
        return self.certificate.ok and not self.problems and not self.slices

    @property
    def is_sound_slice(self) -> bool:
        """Whether the folder is an intended slice of an edition in which no row deviates."""
        return bool(self.slices) and not self.problems

    def text(self) -> str:
        """The report as text for the terminal."""
        certificate = self.certificate
        n_rows = sum(sum(summary.n_rows.values()) for summary in certificate.summaries)
        parts = [
            f"certificate of {self.directory}: {n_rows:,} frames in {self.n_files} files",
            text_table(SUMMARY_HEADER, summary_rows(certificate.summaries)),
            f"OOD molecules with every heavy-atom environment in training, at radius {', '.join(map(str, RADII))}:",
            text_table(CERTIFICATE_HEADER, certificate_rows(certificate.tasks)),
            "\n".join(certificate_notes(certificate.tasks)),
            "labels compared with each other, with MMFF94 and with bond energies:",
            text_table(LABEL_HEADER, label_rows(certificate.labels)),
            "\n".join(label_notes(certificate.labels)),
            self.recomputation.text() if self.recomputation else "",
            f"not in this folder: {', '.join(certificate.missing)}" if certificate.missing else "",
            "\n".join(self.slices),
            self._problem_text(),
            "certified" if self.ok else "NOT certified",
        ]
        return "\n\n".join(part for part in parts if part)

    def _problem_text(self) -> str:
        failed = [each.config for each in self.certificate.tasks if not each.ok]
        lines = [f"{config}: its OOD molecules are not unseen, or training does not cover them" for config in failed]
        if not self.problems:
            return "\n".join([*lines, "no row, file or energy deviates"])
        lines.append(f"{len(self.problems):,} problems:")
        lines.extend(f"  {problem}" for problem in self.problems[:PROBLEMS_SHOWN])
        if len(self.problems) > PROBLEMS_SHOWN:
            lines.append(f"  and {len(self.problems) - PROBLEMS_SHOWN:,} more")
        return "\n".join(lines)


def certify(directory: Path, n_recomputed: int | None = None, seed: int = 0) -> CertifyReport:
    """Recomputes the certificate of a data-set folder from its rows.

    Args:
        directory: Folder with a folder for each configuration, such as `DIR/task1/train-00000-of-00001.parquet`.
            Missing configurations are listed in the certificate and are not a problem.
        n_recomputed: Number of rows whose labels are recomputed at their level of theory; `None` for none.
        seed: Seed of the choice of these rows.

    Raises:
        DataError: If the folder is missing, has no configuration, or contains an unreadable file.
        UsageError: If labels should be recomputed, but no level of theory of the folder can be computed here.
        MissingPackageError: If a program for recomputation is not installed.
        SetupError: If a killed command was replacing a configuration that cannot be restored.
    """
    if not directory.is_dir():
        raise DataError(f"{directory} is not a folder; {_LAYOUT}; {_REMEDY}")
    settle_all(directory)
    folders = _config_folders(directory)
    known, problems = _configs(folders)
    if not known:
        first = f" (first of {len(problems)}: {problems[0]})" if problems else ""
        raise DataError(f"{directory} has no configuration{first}; {_LAYOUT}; {_REMEDY}")
    hashes = FrameHashes()
    summaries: list[ConfigSummary] = []
    slices: list[str] = []
    certificates: list[TaskCertificate] = []
    labels: list[LabelReport] = []
    for folder, (task, level) in known.items():
        audit = _ConfigAudit(folder, task, level, hashes)
        found = list(audit.run())
        report, label_problems = audit.labels()
        # Problems of all rows first: they often explain those of single rows.
        problems.extend([*label_problems, *found])
        labels.append(report)
        summaries.append(audit.summary())
        certificates.extend(audit.certificates())
        slices.extend(audit.slices())
    problems.extend(_origin_problems(summaries))
    problems.extend(_agreement_problems(summaries))
    present = {folder.name for folder in known}
    missing = tuple(name for name in TASKS if name not in present)
    n_files = sum(len(list(folder.glob("*.parquet"))) for folder in folders)
    certificate = DataSetCertificate(tuple(summaries), tuple(certificates), missing, tuple(labels))
    recomputation = None if n_recomputed is None else recompute(directory, n_recomputed, seed)
    problems = [*(recomputation.problems if recomputation else ()), *problems]
    return CertifyReport(directory, n_files, certificate, tuple(problems), tuple(slices), recomputation)


def _config_folders(directory: Path) -> list[Path]:
    # A build in progress keeps its incomplete configurations in hidden folders.
    folders = (path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(folder for folder in folders if any(folder.glob("*.parquet")))


def _configs(folders: list[Path]) -> tuple[dict[Path, tuple[Task, Level]], list[Problem]]:
    """Task and level of each folder; a problem for each without them, or whose task differs between levels."""
    known: dict[Path, tuple[Task, Level]] = {}
    problems = []
    by_name: dict[str, Task] = {}
    for folder in folders:
        match = CONFIG.fullmatch(folder.name)
        if match is None:
            seen, expected = "Parquet files in a folder that is not a configuration", "task1, task1-pbe, ..."
            problems.append(Problem(folder.name, None, "", "", seen, expected))
            continue
        first = min(folder.glob("*.parquet"))
        metadata = usable_metadata(_read_schema(first))
        try:
            task = task_of_metadata(metadata, match[1], f"{folder.name}/{first.name}")
        except DataError as cause:
            problems.append(Problem(folder.name, None, "", "", str(cause), "a configuration of a declared task"))
            continue
        if by_name.setdefault(task.name, task) != task:
            expected = "the declaration of the task at other levels of theory"
            problems.append(Problem(folder.name, None, "", "", "a different declaration of its task", expected))
        known[folder] = task, _level(LEVELS_BY_SUFFIX[match[2] or ""], metadata)
    return known, problems


def _origin_problems(summaries: Sequence[ConfigSummary]) -> Iterator[Problem]:
    """Configurations of another origin than the first: a folder has one card and one licence."""
    origins = {summary.config: _origin(summary.metadata) for summary in summaries}
    first = next(iter(origins), "")
    for config, origin in origins.items():
        if origin != origins[first]:
            yield Problem(config, None, "", "", f"frames that were {origin}", f"{origins[first]}, as in {first}")


def _agreement_problems(summaries: Sequence[ConfigSummary]) -> Iterator[Problem]:
    """Configurations whose edition or level differs from the first one of the same data set."""
    first: dict[str, ConfigSummary] = {}
    for summary in summaries:
        other = first.setdefault(summary.config.partition("-")[2], summary)
        stated = [(each.metadata.get("edition"), method_of(each.metadata)) for each in (summary, other)]
        for seen, expected in zip(*stated, strict=True):
            if seen != expected:
                yield Problem(summary.config, None, "", "", f"files of {seen}", f"{expected}, as in {other.config}")


def _origin(metadata: Mapping[str, Any]) -> str:
    record = import_record_of(metadata)
    return "built" if record is None else f"imported from {record.source!r} under {record.licence!r}"


def _level(named: Level, metadata: Mapping[str, Any]) -> Level:
    """The level in the name of a configuration, or the unnamed level of imported labels."""
    method = method_of(metadata)
    is_known = any(method == level.method for level in LEVELS.values())
    return other_level(method, "elsewhere") if named is GFN2 and is_imported(metadata) and not is_known else named


class _ConfigAudit:
    """Runs all checks on the files of one configuration.

    Args:
        folder: Folder of the configuration.
        task: Its task.
        level: Level of theory of its labels.
        hashes: Frames of the previous configurations, for comparison.
    """

    def __init__(self, folder: Path, task: Task, level: Level, hashes: FrameHashes) -> None:
        self._folder = folder
        self._task = task
        self._level = level
        self._hashes = hashes
        self._ledger = ConfigLedger(folder.name, self._task)
        self._evidence = LabelEvidence()
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
        """The solvability certificate, unless there are no training or no OOD molecules."""
        train, ood = self._ledger.smiles["train"], self._ledger.smiles["test_ood"]
        if train and ood:
            yield certify_task(self._folder.name, self._task, train, ood)

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
            place = Place(self._name(path), self._folder.name, self._task, self._level, split)
            schema = _read_schema(path)
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


def _read_schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as cause:
        raise _unreadable(path, cause) from cause


def _read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(ROWS_PER_BATCH, columns=SCHEMA.names):
                batch.validate(full=True)
                yield batch
    except (pa.ArrowException, OSError) as cause:
        raise _unreadable(path, cause) from cause


def _has_empty_group(path: Path) -> bool:
    metadata = pq.read_metadata(path)
    return any(metadata.row_group(number).num_rows == 0 for number in range(metadata.num_row_groups))


def _unreadable(path: Path, cause: Exception) -> DataError:
    return DataError(f"{path} cannot be read as Parquet ({cause}); expected a complete file of the data set; {_REMEDY}")
