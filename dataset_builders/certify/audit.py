"""Certifies a data-set folder from its Parquet files alone.

No information of the builder is used: the rows are read back, checked one by one and against each other, and the
coverage certificate is computed from their molecules.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataset_builders.certify.config_audit import REMEDY, ConfigAudit, read_schema, row_count
from dataset_builders.certify.correlation import (
    CORRELATION_HEADER,
    TimeCorrelation,
    correlation_notes,
    correlation_rows,
)
from dataset_builders.certify.coverage import (
    RADII,
    SUMMARY_HEADER,
    ConfigSummary,
    DataSetCertificate,
    TaskCertificate,
    summary_rows,
)
from dataset_builders.certify.coverage_tables import CERTIFICATE_HEADER, certificate_notes, certificate_rows
from dataset_builders.certify.geometry.support import GeometricSupport
from dataset_builders.certify.geometry.support_tables import (
    LEGEND,
    NOT_MEASURED,
    SUPPORT_HEADER,
    spacer_table,
    support_rows,
)
from dataset_builders.certify.inferred import inferred_texts
from dataset_builders.certify.labels.label_table import (
    LABEL_HEADER,
    LabelReport,
    label_notes,
    label_rows,
)
from dataset_builders.certify.ledger import FrameHashes
from dataset_builders.certify.recompute import Recomputation, plan_recomputation, recompute
from dataset_builders.certify.row_checks import (
    Problem,
    method_of,
    usable_metadata,
)
from dataset_builders.chemistry.levels import GFN2, LEVELS, LEVELS_BY_SUFFIX, Level, other_level
from dataset_builders.core.errors import DataError
from dataset_builders.core.terminal import UNBOUNDED, paragraphs
from dataset_builders.core.terminal_table import text_table
from dataset_builders.core.whole_folder import settle_all
from dataset_builders.folder.configs import CONFIG
from dataset_builders.folder.provenance import import_record_of, is_imported
from dataset_builders.tasks.regions import TASKS, Task
from dataset_builders.tasks.task_document import task_of_metadata

PROBLEMS_SHOWN: Final = 50

_LAYOUT: Final = "expected files such as DIR/task1/train-00000-of-00001.parquet"


@dataclass(frozen=True, slots=True)
class CertifyReport:
    """Results of the audit of a data-set folder.

    Attributes:
        directory: The folder.
        n_files: Number of Parquet files read.
        certificate: Content summary and coverage certificate.
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

    def text(self, width: int = UNBOUNDED) -> str:
        """The report as text for the terminal.

        Args:
            width: Columns of the terminal; unbounded where the text is part of a message.
        """
        certificate = self.certificate
        n_rows = sum(sum(summary.n_rows.values()) for summary in certificate.summaries)
        parts = [
            f"certificate of {self.directory}: {n_rows:,} frames in {self.n_files} files",
            text_table(SUMMARY_HEADER, summary_rows(certificate.summaries), width),
            "coverage certificate: OOD molecules of which training shows every heavy-atom environment of radius "
            f"{', '.join(map(str, RADII))}, torsion type and pair of heavy elements:",
            text_table(CERTIFICATE_HEADER, certificate_rows(certificate.tasks), width),
            "\n".join(certificate_notes(certificate.tasks)),
            *_support_parts(certificate, width),
            "\n".join(inferred_texts(certificate)),
            *_correlation_parts(certificate, width),
            "labels compared with each other, with MMFF94 and with bond energies:",
            text_table(LABEL_HEADER, label_rows(certificate.labels), width),
            "\n".join(label_notes(certificate.labels)),
            self.recomputation.text(width) if self.recomputation else "",
            f"not in this folder: {', '.join(certificate.missing)}" if certificate.missing else "",
            "\n".join(self.slices),
            self._problem_text(),
            "certified" if self.ok else "NOT certified",
        ]
        return "\n\n".join(paragraphs((part for part in parts if part), width))

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


def _support_parts(certificate: DataSetCertificate, width: int) -> Iterator[str]:
    if not certificate.support:
        yield NOT_MEASURED
        return
    yield "geometric support: what of the geometries of the test frames training shows:"
    yield text_table(SUPPORT_HEADER, support_rows(certificate.support), width)
    yield "\n".join(LEGEND)
    yield text_table(*spacer_table(certificate.support), width)


def _correlation_parts(certificate: DataSetCertificate, width: int) -> Iterator[str]:
    if certificate.correlations:
        yield "correlation in time of imported trajectories:"
        yield text_table(CORRELATION_HEADER, correlation_rows(certificate.correlations), width)
        yield "\n".join(correlation_notes(certificate.correlations))


def certify(
    directory: Path, n_recomputed: int | None = None, seed: int = 0, *, with_geometry: bool = True
) -> CertifyReport:
    """Recomputes the certificate of a data-set folder from its rows.

    Args:
        directory: Folder with a folder for each configuration, such as `DIR/task1/train-00000-of-00001.parquet`.
            Missing configurations are listed in the certificate and are not a problem.
        n_recomputed: Number of rows whose labels are recomputed at their level of theory; `None` for none.
        seed: Seed of the choice of these rows.
        with_geometry: Whether to measure the geometric support of the test frames, once for each task.

    Raises:
        DataError: If the folder is missing, has no configuration, or contains an unreadable file.
        UsageError: If labels should be recomputed, but no level of theory of the folder can be computed here, or a
            number is out of range.
        MissingPackageError: If a program for recomputation is not installed.
        SetupError: If a killed command was replacing a configuration that cannot be restored.
    """
    if not directory.is_dir():
        raise DataError(f"{directory} is not a folder; {_LAYOUT}; {REMEDY}")
    settle_all(directory)
    folders = _config_folders(directory)
    known, problems = _configs(folders)
    if not known:
        first = f" (first of {len(problems)}: {problems[0]})" if problems else ""
        raise DataError(f"{directory} has no configuration{first}; {_LAYOUT}; {REMEDY}")
    # Before the rows are read, which takes minutes on a large edition.
    plan = None if n_recomputed is None else plan_recomputation(directory, n_recomputed, seed)
    hashes = FrameHashes()
    summaries: list[ConfigSummary] = []
    slices: list[str] = []
    certificates: list[TaskCertificate] = []
    labels: list[LabelReport] = []
    supports: list[GeometricSupport] = []
    correlations: list[TimeCorrelation] = []
    measured = _largest_of_each_task(known) if with_geometry else set()
    for folder, (task, level) in known.items():
        audit = ConfigAudit(folder, task, level, hashes, with_geometry=folder in measured)
        found = list(audit.run())
        report, label_problems = audit.labels()
        # Problems of all rows first: they often explain those of single rows.
        problems.extend([*label_problems, *found])
        labels.append(report)
        summaries.append(audit.summary())
        certificates.extend(audit.certificates())
        supports.extend(audit.support())
        correlations.extend(audit.correlations())
        slices.extend(audit.slices())
    problems.extend(_origin_problems(summaries))
    problems.extend(_agreement_problems(summaries))
    present = {folder.name for folder in known}
    missing = tuple(name for name in TASKS if name not in present)
    n_files = sum(len(list(folder.glob("*.parquet"))) for folder in folders)
    certificate = DataSetCertificate(
        tuple(summaries), tuple(certificates), missing, tuple(labels), tuple(supports), tuple(correlations)
    )
    recomputation = None if plan is None else recompute(plan)
    problems = [*(recomputation.problems if recomputation else ()), *problems]
    return CertifyReport(directory, n_files, certificate, tuple(problems), tuple(slices), recomputation)


def _config_folders(directory: Path) -> list[Path]:
    # A build in progress keeps its incomplete configurations in hidden folders.
    folders = (path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))
    return sorted(folder for folder in folders if any(folder.glob("*.parquet")))


def _largest_of_each_task(known: Mapping[Path, tuple[Task, Level]]) -> set[Path]:
    """The folder with the most training frames of each task: other levels of theory have the same frames, or fewer."""
    largest: dict[str, tuple[int, Path]] = {}
    for folder, (task, _) in known.items():
        n_train = sum(row_count(path) for path in folder.glob("train-*.parquet"))
        if task.name not in largest or n_train > largest[task.name][0]:
            largest[task.name] = n_train, folder
    return {folder for _, folder in largest.values()}


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
        metadata = usable_metadata(read_schema(first))
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
