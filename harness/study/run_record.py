"""The record of one run of the study: a line of JSON with everything the report needs, validated when read.

Units are eV, Å and eV/Å. Numbers are rounded to six digits, far more than their intervals justify.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, FiniteFloat, ValidationError, model_validator

from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.core.sole_user import in_turn
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.tasks.drawn import ClusterKind
from dataset_builders.tasks.regions import in_order
from dataset_builders.tasks.task_document import first_problem
from harness.core.potential import DtypeName, ProtocolName
from harness.results.anatomy_record import ContactName
from harness.results.reasons import Reason
from harness.results.result import DatasetRecord, PartName, Sha256, TaskName

RECORD_VERSION: Final = "2.0"
FORMER_VERSION: Final = "1.0"
"""Its intervals are a bootstrap over molecules; see `harness.study.former_records`."""

RECORDS_NAME: Final = "runs.jsonl"
DIGITS: Final = 6

TestSplitName: TypeAlias = Literal["test_id", "test_ood"]
ReferenceName: TypeAlias = Literal["none", "mean", "elements"]
"""Alignment of the energy zero: none, one shift, or one shift per element."""


def run_name(row: str, task: TaskName, seed: int | None) -> str:
    """A readable name of a run, also for folders, such as `painn-task2-seed0`."""
    return f"{row}-{task}" + ("" if seed is None else f"-seed{seed}")


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Number(_Record):
    """A number with its 95 % interval; `reason` explains why either is missing."""

    value: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    reason: Reason | None = None

    @classmethod
    def of(cls, estimate: Any) -> "Number":
        """Converts and rounds an `Interval` or an `Estimate`."""
        value, low, high = (
            None if each is None else rounded(each) for each in (estimate.value, estimate.low, estimate.high)
        )
        return cls(value=value, low=low, high=high, reason=estimate.reason)

    @model_validator(mode="after")
    def _explains_what_is_missing(self) -> Self:
        if (self.low is None) != (self.high is None) or (self.low is None) != (self.reason is not None):
            raise ValueError("a number needs an interval or a reason why it has none")
        return self


class MoleculeError(NamedTuple):
    """Errors of one molecule of a test split.

    Attributes:
        molecule_id: Its name.
        subset: `near`, `far` or empty.
        spacer: Number of CH2 groups.
        n_frames: Number of frames.
        n_atoms: Number of atoms in all its frames.
        force_mae: eV/Å.
        expected_force_mae: For an OOD molecule, the error expected from the ID errors of its atom environments, eV/Å.
        relative_energy_mae: MAE of energies relative to the molecule's mean, eV; `None` for a single frame.
        drawn: Its clusters; none if it is part of the design.
        expected_influence: For an ID molecule, its influence on the logarithm of the expected OOD error, see
            `harness.scoring.composition.Expectation`; `None` if that is zero, or for a converted record.
    """

    molecule_id: str
    subset: str
    spacer: int
    n_frames: int
    n_atoms: int
    force_mae: float
    expected_force_mae: float | None
    relative_energy_mae: float | None
    drawn: tuple[str, ...]
    expected_influence: float | None = None


class EnergyError(_Record):
    """Mean absolute error of the energy per frame, in eV, and per atom."""

    total: Number
    per_atom: Number


class DistanceRecord(_Record):
    """Force error of an atom against its distance to the nearest training environment of its element.

    Attributes:
        typical: Median distance of ID atoms of each element, by atomic number; dimensionless.
        edges: Bin edges: distances divided by the typical distance of the element; ascending, one more than
            the number of bins.
        middles: Median of the atoms in each bin.
        n_atoms: Number of atoms in each bin, by split.
        error: Their mean absolute force error, eV/Å; `None` in an empty bin.
        rank_correlation: Spearman correlation of error and distance over atoms; `both` pools the two splits.
        within_elements: The same within each element, averaged over elements weighted by atoms.
    """

    typical: dict[int, FiniteFloat]
    edges: tuple[FiniteFloat, ...]
    middles: tuple[FiniteFloat, ...]
    n_atoms: dict[TestSplitName, tuple[int, ...]]
    error: dict[TestSplitName, tuple[FiniteFloat | None, ...]]
    rank_correlation: dict[Literal["test_id", "test_ood", "both"], Number]
    within_elements: dict[Literal["test_id", "test_ood", "both"], Number]


class ModelFacts(_Record):
    """The model that was measured.

    Attributes:
        family: Name of its adapter.
        files: sha256 of its files, by name.
        protocol: Zero-shot, trained or fine-tuned on the task.
        level_of_theory: Level of theory of its training labels, if known.
        dtype: Floating-point precision.
        device: Device of the evaluation.
        n_parameters: Number of parameters in its weights, if they are a safetensors file.
    """

    family: str
    files: dict[str, Sha256]
    protocol: ProtocolName
    level_of_theory: str | None = None
    dtype: DtypeName
    device: str
    n_parameters: int | None = None


class Machine(_Record):
    """The hardware and software of a run.

    Attributes:
        python: Version of Python.
        platform: Operating system and machine.
        cores: CPU cores available to the study.
        processor: Name of the processor, or of the GPU if one was used.
        packages: Versions of the relevant packages, by name.
    """

    python: str
    platform: str
    cores: int
    processor: str
    packages: dict[str, str]


class RunRecord(_Record):
    """One row of the study on one task with one seed.

    Attributes:
        version: Version of this schema.
        row: Name of the row.
        kind: Control, zero-shot, trained from scratch or fine-tuned.
        task: Task.
        title: Title of a custom task; `None` for one of the four.
        seed: Seed of the training; `None` for a row without one.
        asked: Options of the study that determine this run, besides row, task, seed and data set: length of
            training, checkpoints.
        identity: All inputs of the run that are known before it; a run with another identity is repeated.
        dataset: Data set; its content hash covers only the files of this task.
        model: Model.
        training: Settings and cost of the training, from the checkpoint; empty for a model that was not trained here.
        machine: Hardware and software.
        commands: The commands in order, with generic folder names.
        seconds: Wall-clock time of the commands, by step.
        created: Date of creation.
        force_mae: By split and subset, eV/Å.
        zero_force_mae: The same for a model that predicts zero forces.
        gap: OOD force MAE divided by ID force MAE.
        score: From 0 to 100.
        relative_energy_mae: MAE of energies relative to the molecule's mean, by split and subset, eV.
        energies: Energy errors by split and alignment of the energy zero.
        expected_force_mae: OOD error expected from the ID errors of the same atom environments, eV/Å.
        excess: OOD error divided by the expected error.
        distances: Force error against distance to the training set.
        molecules: Errors of each molecule, by split.
        clusters: The type of cluster that the intervals use.
        factors: Factors that multiply to the gap, by name; none without a gap, and in records made before.
        contact_force_mae: OOD force MAE of frames with the two ends within 5 Å, and of the others, where known, eV/Å.
    """

    version: Literal["2.0"] = RECORD_VERSION
    row: str
    kind: str
    task: TaskName
    title: str | None = None
    seed: int | None
    asked: tuple[str, ...]
    identity: dict[str, str]
    dataset: DatasetRecord
    model: ModelFacts
    training: dict[str, Any]
    machine: Machine
    commands: tuple[str, ...]
    seconds: dict[str, FiniteFloat]
    created: AwareDatetime
    force_mae: dict[PartName, Number]
    zero_force_mae: dict[PartName, FiniteFloat]
    gap: Number
    score: Number
    relative_energy_mae: dict[PartName, Number]
    energies: dict[TestSplitName, dict[ReferenceName, EnergyError]]
    expected_force_mae: FiniteFloat
    excess: Number
    distances: DistanceRecord
    molecules: dict[TestSplitName, tuple[MoleculeError, ...]]
    clusters: ClusterKind = "fragment"
    factors: dict[str, Number] = {}
    contact_force_mae: dict[ContactName, Number] = {}

    @property
    def place(self) -> tuple[str, TaskName, int | None]:
        """Row, task and seed; at most one record is kept for each combination."""
        return self.row, self.task, self.seed

    def line(self) -> str:
        """The record as one line of JSON."""
        document = {"version": self.version, **self.model_dump(mode="json", exclude_defaults=True)}
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def rounded(number: float) -> float:
    """A number with six significant digits."""
    return float(f"{number:.{DIGITS}g}")


def read_records(directory: Path) -> list[RunRecord]:
    """Reads the records of a folder of results; none if there is no file.

    Raises:
        DataError: If the file cannot be read, or a line is not a record of this version.
    """
    path = directory / RECORDS_NAME
    if not path.exists():
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise DataError(f"cannot read the records in {path} ({cause}); restore the file") from cause
    records = []
    for number, line in enumerate(lines, start=1):
        if _is_former(line):
            raise DataError(
                f"{path}:{number} is a record of version {FORMER_VERSION}, whose intervals are of an earlier kind "
                f"(bootstrap over molecules). `python -m harness study --carry-over --out {directory.parent}` keeps "
                "its numbers and recomputes the intervals, as far as the records suffice"
            )
        try:
            records.append(RunRecord.model_validate_json(line))
        except ValidationError as cause:
            raise DataError(
                f"{path}:{number} is not a record of version {RECORD_VERSION} ({first_problem(cause)}); delete that "
                "line, and the study computes it again"
            ) from cause
    return records


def _is_former(line: str) -> bool:
    return line.startswith(f'{{"version":"{FORMER_VERSION}",')


def keep_record(directory: Path, record: RunRecord, row_order: Mapping[str, int]) -> None:
    """Adds a record to a folder, replacing an earlier one of the same row, task and seed.

    Args:
        directory: Folder of results; created if needed.
        record: The record.
        row_order: Place of each known row; records of other rows come last.

    Raises:
        DataError: As `read_records`.
        SetupError: If the folder cannot be written to.
    """
    try:
        # Two studies with separate work folders may share a folder of records.
        with in_turn(directory):
            others = [each for each in read_records(directory) if each.place != record.place]
            write_records(directory, [*others, record], row_order)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause


def write_records(directory: Path, records: Iterable[RunRecord], row_order: Mapping[str, int]) -> None:
    """Writes all records of a folder, ordered by row, task and seed.

    Raises:
        SetupError: If the folder cannot be written to.
    """
    records = list(records)
    tasks = in_order(record.task for record in records)

    def order(record: RunRecord) -> tuple[int, str, int, int]:
        seed = -1 if record.seed is None else record.seed
        return row_order.get(record.row, len(row_order)), record.row, tasks.index(record.task), seed

    text = "".join(f"{record.line()}\n" for record in sorted(records, key=order))
    try:
        write_text_whole(directory / RECORDS_NAME, text)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause


def _unwritable(directory: Path, cause: OSError) -> SetupError:
    return SetupError(f"cannot write to {directory}: {cause.strerror or cause}; choose a folder with --out")
