"""What is kept of one run of the study: a line of JSON with all that the report needs, checked when read.

Units are eV, Å and eV/Å. Numbers are rounded to six digits, which is more than their intervals leave certain.
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
from harness.core.potential import DtypeName, ProtocolName
from harness.results.result import DatasetRecord, PartName, Sha256, TaskName

RECORD_VERSION: Final = "2.0"
FORMER_VERSION: Final = "1.0"
"""Its intervals are of another kind, by bootstrap over molecules; see `harness.study.former_records`."""

RECORDS_NAME: Final = "runs.jsonl"
DIGITS: Final = 6

TestSplitName: TypeAlias = Literal["test_id", "test_ood"]
ReferenceName: TypeAlias = Literal["none", "mean", "elements"]
"""How the zero of energy was matched: not at all, by one number, or by one number an element."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Number(_Record):
    """A number with its 95 % interval; `reason` says why either is missing."""

    value: FiniteFloat | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    reason: str | None = None

    @classmethod
    def of(cls, estimate: Any) -> "Number":
        """From an `Interval` or an `Estimate`, rounded."""
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
        n_frames: Frames.
        n_atoms: Atoms of all its frames together.
        force_mae: eV/Å.
        expected_force_mae: Of an OOD molecule, what the ID errors of its atom environments add up to, eV/Å.
        relative_energy_mae: Of energies relative to the molecule's mean, eV; `None` for a single frame.
        drawn: What of it is drawn: its clusters; none where it is part of the design.
        expected_influence: Of an ID molecule, its influence on the logarithm of the error that is expected of OOD, see
            `harness.scoring.composition.Expectation`; `None` where that is zero, or the record was carried over.
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
    """Mean absolute error of the energy of a frame, in eV, and of that divided by its atoms."""

    total: Number
    per_atom: Number


class DistanceRecord(_Record):
    """Force error of an atom against its distance to the nearest training environment of its element.

    Attributes:
        typical: Median distance of ID atoms of each element, by atomic number; without unit.
        edges: Bounds of the bins: distances divided by the typical one of the element; ascending, one more than there
            are bins.
        middles: Median of the atoms in each bin.
        n_atoms: Atoms in each bin, by split.
        error: Their mean absolute force error, eV/Å; `None` in an empty bin.
        rank_correlation: Spearman correlation of error and distance over atoms; `both` is over the two splits.
        within_elements: The same within each element, averaged over elements by their atoms.
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
        protocol: How it came to know the molecules of the task.
        level_of_theory: Level of its labels, where known.
        dtype: Precision of the arithmetic.
        device: Where it computed.
        n_parameters: Numbers in its file of weights, where it is one of safetensors.
    """

    family: str
    files: dict[str, Sha256]
    protocol: ProtocolName
    level_of_theory: str | None = None
    dtype: DtypeName
    device: str
    n_parameters: int | None = None


class Machine(_Record):
    """What computed.

    Attributes:
        python: Version of Python.
        platform: Operating system and machine.
        cores: CPU cores that the study could use.
        processor: Name of the processor, or of the GPU where one was used.
        packages: Versions of the packages that computed, by name.
    """

    python: str
    platform: str
    cores: int
    processor: str
    packages: dict[str, str]


class RunRecord(_Record):
    """One row of the study on one task with one seed.

    Attributes:
        version: Of this schema.
        row: Name of the row.
        kind: Whether it is a control, a zero-shot model, trained from scratch or fine-tuned.
        task: Task.
        title: What the data set calls a task of its own; `None` for one of the four.
        seed: Seed of the training; `None` for a row without one.
        asked: What the study was told that decides about this run, besides row, task, seed and data set: length of
            training, checkpoints.
        identity: What the run depends on, as far as it is known before it; a run with another is made again.
        dataset: Data set; its content hash is of the files of this task alone.
        model: Model.
        training: Settings and effort of the training, as the checkpoint has them; empty for a model as it came.
        machine: What computed.
        commands: What was run, in order, with folders named anew.
        seconds: Wall-clock time of the commands, by what they did.
        created: When.
        force_mae: By split and subset, eV/Å.
        zero_force_mae: Of a model that predicts no force, likewise.
        gap: Force MAE on OOD divided by that on ID.
        score: From 0 to 100.
        relative_energy_mae: By split and subset, of energies relative to the molecule's mean, eV.
        energies: Energy errors by split and by how the zero of energy was matched.
        expected_force_mae: OOD error that the ID errors of the same atom environments add up to, eV/Å.
        excess: OOD error divided by that.
        distances: Force error against distance to training.
        molecules: Errors of each molecule, by split.
        clusters: What the intervals take to be drawn.
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

    @property
    def place(self) -> tuple[str, TaskName, int | None]:
        """Row, task and seed: at most one record is kept of each."""
        return self.row, self.task, self.seed

    def line(self) -> str:
        """The record as one line of JSON."""
        document = {"version": self.version, **self.model_dump(mode="json", exclude_defaults=True)}
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def rounded(number: float) -> float:
    """A number with six significant digits."""
    return float(f"{number:.{DIGITS}g}")


def read_records(directory: Path) -> list[RunRecord]:
    """Reads the records of a folder of results; none where there is no file.

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
                f"{path}:{number} is a record of version {FORMER_VERSION}: its intervals are of another kind, by "
                f"bootstrap over molecules. `python -m harness study --carry-over --out {directory.parent}` keeps its "
                "numbers and computes the intervals anew, as far as the records hold what they need"
            )
        try:
            records.append(RunRecord.model_validate_json(line))
        except ValidationError as cause:
            first = cause.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DataError(
                f"{path}:{number} is not a record of version {RECORD_VERSION} ({place}: {first['msg']}); delete that "
                "line, and the study makes it anew"
            ) from cause
    return records


def _is_former(line: str) -> bool:
    return line.startswith(f'{{"version":"{FORMER_VERSION}",')


def keep_record(directory: Path, record: RunRecord, row_order: Mapping[str, int]) -> None:
    """Adds a record to those of a folder, in place of an earlier one of the same row, task and seed.

    Args:
        directory: Folder of results; made if need be.
        record: What to keep.
        row_order: Place of each known row; records of others come last.

    Raises:
        DataError: As `read_records`.
        SetupError: If the folder cannot be written to.
    """
    try:
        # Two studies with folders of work of their own may keep their records in one folder.
        with in_turn(directory):
            others = [each for each in read_records(directory) if each.place != record.place]
            write_records(directory, [*others, record], row_order)
    except OSError as cause:
        raise _unwritable(directory, cause) from cause


def write_records(directory: Path, records: Iterable[RunRecord], row_order: Mapping[str, int]) -> None:
    """Writes all records of a folder, in the order of rows, tasks and seeds.

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
