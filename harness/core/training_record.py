"""The file `mlip-ood.json`: which data an export contains, and what a model was trained on.

`export` writes it beside the data. Copy it to the checkpoint trained on them, where the evaluation finds it: into the
folder or repo of the model, or beside a single file as `<name of the file>.mlip-ood.json`.
"""

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX
from dataset_builders.core.errors import DataError, SetupError, UsageError
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.tasks.editions import SPLITS, SplitName
from dataset_builders.tasks.regions import TASK_PATTERN, TASKS, Task
from dataset_builders.tasks.task_document import TaskDocument, first_problem

RECORD_NAME: Final = "mlip-ood.json"
RECORD_SCHEMA: Final = "mlip-ood-training/1"

MAX_BYTES: Final = 8 * 2**20
"""Largest file that is read. A record of a hundred thousand molecules takes a quarter of it."""

_EXPECTED: Final = f"the {RECORD_NAME} that `python -m dataset_builders export` wrote"

TrainingProtocol = Literal["from-scratch", "fine-tuned"]

# One line without control characters, since it appears in tables and terminals.
_Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$")]
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=1)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class TrainingDataset(_Record):
    """The data set that the frames come from.

    Attributes:
        id: `mini`, a Hub id, or the name of a local folder.
        revision: Commit on the Hub; `None` for local files.
        edition: Edition named in its files.
        content_hash: sha256 over the files of `train` and `validation` of the task at its level of theory, from
            `harness.train.task_data.pin_training_files`.
    """

    id: _Text
    revision: _Text | None
    edition: _Text
    content_hash: _Sha256


class SplitSize(_Record):
    """Size of a split.

    Attributes:
        n_frames: Number of frames.
        n_molecules: Number of different molecules among them.
    """

    n_frames: _Count
    n_molecules: _Count

    @model_validator(mode="after")
    def _has_frames_of_each_molecule(self) -> Self:
        if self.n_molecules > self.n_frames:
            raise ValueError(f"{self.n_frames} frames cannot belong to {self.n_molecules} molecules")
        return self


class TrainingRecord(_Record):
    """What a model was trained on, or what was exported to train on.

    Attributes:
        schema_version: Version of this format; `schema` in the file.
        protocol: Whether training started from random weights or from those of another model.
        base: The checkpoint that training started from, such as `org/model`; `None` from scratch.
        task: The task whose splits these are.
        task_declaration: Declaration of a task that is not one of the four.
        level_of_theory: Method of the labels, such as GFN2-xTB.
        suffix: Suffix of the configs of this level, such as `pbe`; empty for a config such as `task1`.
        dataset: Where the frames come from.
        splits: Size of each exported split.
        molecules: Names of the molecules in these splits, sorted.
    """

    schema_version: Annotated[Literal["mlip-ood-training/1"], Field(alias="schema")] = RECORD_SCHEMA
    protocol: TrainingProtocol
    base: _Text | None
    task: Annotated[str, Field(pattern=f"^{TASK_PATTERN}$")]
    task_declaration: TaskDocument | None = None
    level_of_theory: _Text
    suffix: Annotated[str, Field(pattern=rf"^({'|'.join(LEVELS_BY_SUFFIX)})$")]
    dataset: TrainingDataset
    splits: Annotated[dict[SplitName, SplitSize], Field(min_length=1)]
    molecules: Annotated[tuple[_Text, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.protocol == "fine-tuned") != (self.base is not None):
            raise ValueError(
                f"protocol {self.protocol} with base {self.base!r}; expected from-scratch with null, or fine-tuned "
                "with the checkpoint that training started from"
            )
        declared = None if self.task_declaration is None else self.task_declaration.name
        if declared != (None if self.task in TASKS else self.task):
            raise ValueError(
                f"task {self.task} with a declaration of {declared or 'no task'}; expected one of {' '.join(TASKS)} "
                "without a declaration, or a task of your own with its declaration"
            )
        if list(self.molecules) != sorted(set(self.molecules)):
            raise ValueError("molecules are not sorted, or one occurs twice; use the file as `export` wrote it")
        most = max(size.n_molecules for size in self.splits.values())
        if most > len(self.molecules):
            raise ValueError(f"a split has {most} molecules, but the record names {len(self.molecules)}")
        level = LEVELS_BY_SUFFIX[self.suffix]
        if self.suffix and level.method != self.level_of_theory:
            raise ValueError(f"suffix {self.suffix} belongs to {level.method}, not to {self.level_of_theory}")
        return self

    @property
    def config(self) -> str:
        """Name of the config of the data set, such as `task3-pbe`."""
        return LEVELS_BY_SUFFIX[self.suffix].config(self.task)

    @property
    def test_splits(self) -> tuple[SplitName, ...]:
        """Test splits in the record; a model that was trained on them cannot be tested on the task."""
        return tuple(split for split in SPLITS if split in self.splits and split.startswith("test_"))

    def declared_task(self) -> Task:
        """The task of the record.

        Raises:
            UsageError: If the declaration names an unknown fragment, or two of its words denote one molecule.
        """
        return TASKS[self.task] if self.task_declaration is None else self.task_declaration.task()

    def text(self) -> str:
        """Content of the file."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"


def record_place(model: Path) -> Path:
    """Path of the record of a checkpoint, if it has one: in its folder, or beside a single file."""
    return model / RECORD_NAME if model.is_dir() else model.with_name(f"{model.name}.{RECORD_NAME}")


def write_training_record(path: Path, record: TrainingRecord) -> None:
    """Writes a record atomically.

    Raises:
        SetupError: If the folder is not writable.
    """
    try:
        write_text_whole(path, record.text())
    except OSError as cause:
        raise SetupError(f"cannot write {path}: {cause}; expected a writable folder") from cause


def read_training_record(path: Path) -> TrainingRecord:
    """Reads a record.

    Raises:
        DataError: If the file cannot be read, is too long, or is not a record.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as cause:
        raise DataError(f"cannot read {path}: {cause}; expected {_EXPECTED}") from cause
    return parse_training_record(content, str(path))


def parse_training_record(content: bytes, place: str) -> TrainingRecord:
    """Reads a record from the content of a file.

    Args:
        content: JSON in UTF-8.
        place: The file, for messages.

    Raises:
        DataError: If it is too long, or not a record.
    """
    remedy = f"; expected {_EXPECTED}, in which only protocol and base may be edited"
    if len(content) > MAX_BYTES:
        raise DataError(f"{place} is longer than {MAX_BYTES} bytes{remedy}")
    try:
        # The parser itself refuses documents nested more than 200 levels deep.
        record = TrainingRecord.model_validate_json(content)
        record.declared_task()
    except ValidationError as cause:
        raise DataError(f"{place} is not a training record: {first_problem(cause)}{remedy}") from cause
    except UsageError as cause:
        raise DataError(f"{place} declares an invalid task: {cause}{remedy}") from cause
    if "schema_version" not in record.model_fields_set:
        raise DataError(f"{place} is not a training record: schema: not given{remedy}")
    return record
