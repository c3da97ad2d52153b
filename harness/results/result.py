"""The result file of an evaluation: JSON with a schema version, validated when written and when read."""

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, Field, FiniteFloat, ValidationError, model_validator

from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX, Level
from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.core.parsed_text import parse_json
from dataset_builders.core.shown import quoted
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.tasks.drawn import ClusterKind
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import TASK_PATTERN, TASKS
from dataset_builders.tasks.task_document import first_problem
from harness.core.known_checkpoints import Evidence
from harness.core.potential import ConfinedBy, DtypeName, ProtocolName, TrainingEvidence
from harness.core.training_record import RECORD_NAME
from harness.data.dataset import levels_agree
from harness.data.level_distances import distance_between
from harness.networks.architecture import PLUGIN_FAMILY
from harness.results.anatomy_record import TOLERANCE, Anatomy, ContactResult
from harness.results.cost import CostRecord
from harness.results.estimate import Count as Count  # noqa: PLC0414
from harness.results.estimate import Estimate as Estimate  # noqa: PLC0414
from harness.results.estimate import Record
from harness.results.lowered_precision import LoweredPrecision

RESULT_SCHEMA_VERSION: Final = "2.1"
"""Version 2.1 adds the anatomy of the gap and errors by end-to-end contact, and changes no other number of 2.0.

Version 1.0 had bootstrap intervals over molecules, as if molecules with a common fragment were independent.
"""

_READABLE: Final = ("2.0", RESULT_SCHEMA_VERSION)
"""Versions with equal numbers and intervals; later ones have fields that earlier ones lack."""

NO_ANATOMY: Final = "no anatomy: the result is of an earlier version; `python -m harness report` computes it"

_FORMER: Final = ("1.0",)
"""Versions whose intervals were computed otherwise; their predictions remain valid."""

RESULT_NAME: Final = "result.json"

PartName = Literal["test_id", "test_ood", "near", "far"]
"""Parts with metrics: the two test splits, and the two subsets of `test_ood` where it has them."""

_METRICS: Final = ("force_mae", "centred_energy_mae", "centred_energy_spearman", "energy_mae_per_atom")
"""Metrics that tables and pages show of every result, of whatever version."""

_TEST_PARTS: Final[tuple[PartName, ...]] = ("test_id", "test_ood")

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TaskName = Annotated[str, Field(pattern=f"^{TASK_PATTERN}$")]


USER: Final = "the user"
"""Marks a training record that was stated on the command line, where no file beside the model gives one."""

CHECKPOINT: Final = "its checkpoint"
"""Marks a training record of a plug-in's network, which `harness train` trained but whose code is not verified."""

_OF_ANY_MODEL: Final = ("ase", "torchsim")
"""Families whose models always state their own level of theory, whoever made them."""


class OverlapRecord(Record):
    """Test molecules that are among the training molecules of a published model.

    Attributes:
        source: Name and hash of the list of training molecules.
        n_listed: Number of different molecules on the list.
        n_unreadable: Lines of the list that are no SMILES.
        molecules: Test molecules on the list, by task and split.
    """

    source: str
    n_listed: Count
    n_unreadable: Count
    molecules: dict[TaskName, dict[Literal["test_id", "test_ood"], tuple[str, ...]]]


UNKNOWN_OVERLAP: Final[Literal["unknown"]] = "unknown"
"""For a model that was trained on data of others, if no list of its training molecules is known."""

Overlap = OverlapRecord | Literal["unknown"] | None


class ModelRecord(Record):
    """The evaluated model; the fields are those of `PotentialTraits`, and the Hub revision.

    `dtype` is `mixed` only where the models of a method differ. `cautions` are the problems found on two molecules
    before the run; see `harness.inference.force_consistency`. `overlap` names test molecules that the model is known to
    have been trained on; `None` for controls, for models trained on a task alone, and in results of earlier versions.
    `lowered_precision` is `None` where `dtype` is that of the checkpoint or higher, and in results of earlier versions.
    Results of earlier versions have no `training`: the only trained models they recognised were checkpoints that prove
    their training set.
    """

    id: str
    family: str
    revision: str | None
    files: dict[str, Sha256]
    protocol: ProtocolName
    trained_on: str | None
    dtype: DtypeName | Literal["mixed"]
    device: str
    level_of_theory: str | None
    elements: tuple[int, ...] | None
    conservative: bool | None
    head: str | None = None
    needs_cell: bool = False
    is_compiled: bool = False
    level_is_stated: bool = False
    unfinished: str | None = None
    cautions: tuple[str, ...] = ()
    training: TrainingEvidence | None = None
    base: str | None = None
    unchecked: str | None = None
    known_as: str | None = None
    known_by: Evidence | None = None
    overlap: Overlap = None
    lowered_precision: LoweredPrecision | None = None

    @property
    def stated_by(self) -> str | None:
        """The source of an unproved statement about the training set; `None` if it is proved or nothing was trained."""
        if self.training != "stated":
            return None
        if any(name.endswith(RECORD_NAME) for name in self.files):
            return RECORD_NAME
        return CHECKPOINT if self.family == PLUGIN_FAMILY else USER

    @property
    def question(self) -> str | None:
        """The question to ask about an unknown model that does not state its training set."""
        is_named = self.level_of_theory is not None and not self.level_is_stated and self.family not in _OF_ANY_MODEL
        if self.protocol != "zero-shot" or is_named:
            return None
        return (
            f"{self.id} does not state its training and is taken as zero-shot. If it was trained on a task of this "
            "benchmark, state it with --trained-on"
        )


class DatasetRecord(Record):
    """The data set of the evaluation.

    Attributes:
        id: As the user gave it: a Hub id, a path, or the name of the embedded edition.
        revision: Commit on the Hub; `None` for local files.
        content_hash: sha256 over the content, independent of its location.
        edition: Name of the edition.
        level_of_theory: Level of the labels.
        suffix: Suffix of the config names at this level; empty where configs have the names of their tasks.
    """

    id: str
    revision: str | None
    content_hash: Sha256
    edition: str
    level_of_theory: str
    suffix: Annotated[str, Field(pattern=rf"^({'|'.join(LEVELS_BY_SUFFIX)})$")] = ""

    @property
    def level(self) -> Level:
        """The level of theory of these configs."""
        return LEVELS_BY_SUFFIX[self.suffix]

    def config(self, task: TaskName) -> str:
        """Name of the config of a task, such as `task2-wb97x`."""
        return self.level.config(task)


class EnvironmentRecord(Record):
    """The software and hardware that computed the numbers.

    Attributes:
        python: Version of Python.
        platform: Operating system and machine.
        packages: Version of each relevant package, by name.
        code_hash: Hash of this project's own code.
        precision: Precision of float32 matrix products, where PyTorch may have been used.
        variables: Environment variables of the computing process that can change the last digits.
        isolation: What confined the process that computed (`--isolation strict`): bubblewrap or landlock.
    """

    python: str
    platform: str
    packages: dict[str, str]
    code_hash: str
    precision: dict[str, str] = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    isolation: ConfinedBy | None = None


class SettingsRecord(Record):
    """Settings that may change the last digits or the intervals.

    Attributes:
        batch_atoms: Maximum number of atoms in a batch; `None` where predictions were not made in batches.
        confidence: Nominal coverage of the intervals.
    """

    batch_atoms: Annotated[int, Field(ge=1)] | None
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]


class SplitResult(Record):
    """Metrics of one split or subset.

    Attributes:
        n_molecules: Molecules with at least one computed frame.
        n_frames: Frames that were computed.
        n_atoms: Atoms of those frames.
        metrics: By name; names and units are those of `harness.scoring.metrics.UNITS`.
        zero_force_mae: F0, force MAE of the model that predicts no force, eV/Å.
        n_failed: Frames that could not be computed. They count in none of the above; metrics then have no interval.
    """

    n_molecules: Count
    n_frames: Count
    n_atoms: Count
    metrics: dict[str, Estimate]
    zero_force_mae: Estimate
    n_failed: Count = 0

    @model_validator(mode="after")
    def _has_its_metrics(self) -> Self:
        absent = [name for name in _METRICS if name not in self.metrics]
        if absent:
            raise ValueError(f"it lacks the metric {absent[0]}")
        return self


class ReferenceShiftRecord(Record):
    """The shift of total energies, fitted on `train` molecules only.

    Attributes:
        elements: Atomic numbers, ascending.
        energies: Energy added to the prediction for each atom of an element, eV.
        rank: Rank of the design matrix; if it is below the number of elements, the fit is not unique.
        n_molecules: Training molecules in the fit.
        n_frames: Training frames in the fit.
    """

    elements: tuple[int, ...]
    energies: tuple[FiniteFloat, ...]
    rank: Count
    n_molecules: Count
    n_frames: Count


class TrainErrors(Record):
    """Errors on a sample of the model's training frames, for comparison with the test errors.

    Attributes:
        n_molecules: Training molecules in the sample.
        n_frames: Computed frames of the sample.
        force_mae: eV/Å.
        n_failed: Frames that could not be computed.
    """

    n_molecules: Count
    n_frames: Count
    force_mae: Estimate
    n_failed: Count = 0


class SpacerResult(Record):
    """Errors of the molecules of one spacer length."""

    split: Literal["test_id", "test_ood"]
    spacer: int
    n_molecules: Count
    force_mae: Estimate
    centred_energy_mae: Estimate


class PairResult(Record):
    """Errors of the molecules with one pair of fragments."""

    split: Literal["test_id", "test_ood"]
    left: str
    right: str
    n_molecules: Count
    force_mae: Estimate
    centred_energy_mae: Estimate


class FragmentResult(Record):
    """Errors of the molecules with one drawn fragment, and their ratio: the individual values behind an interval.

    Attributes:
        fragment: Name of the fragment; of the molecule where molecules are drawn.
        id_force_mae: Over its molecules in `test_id`, eV/Å; `None` where it has none.
        ood_force_mae: The same for `test_ood`; a pair counts for both of its fragments.
        gap: OOD divided by ID error; `None` where either is missing or the ID error is zero.
    """

    fragment: str
    id_force_mae: FiniteFloat | None
    ood_force_mae: FiniteFloat | None
    gap: FiniteFloat | None


class MoleculeResult(Record):
    """Errors of one molecule, the input of a paired comparison.

    Attributes:
        split: Split that the frames are of.
        molecule_id: Name of the molecule.
        drawn: The clusters of the molecule: its drawn fragments; empty where it is a fixed part of the design.
        n_frames: Frames that were computed.
        n_atoms: Atoms of those frames.
        force_mae: eV/Å.
        centred_energy_mae: eV; `None` for a single frame, which has no relative energy.
        n_failed: Frames that could not be computed; the errors exclude them.
        subset: `near` or `far`; empty where the task has no subsets; `None` in results of earlier versions.
        zero_force_mae: Force MAE of the model that predicts no force, eV/Å; `None` in results of earlier versions.
    """

    split: Literal["test_id", "test_ood"]
    molecule_id: str
    drawn: tuple[str, ...]
    n_frames: Count
    n_atoms: Count
    force_mae: FiniteFloat
    centred_energy_mae: FiniteFloat | None
    n_failed: Count = 0
    subset: Literal["near", "far", ""] | None = None
    zero_force_mae: FiniteFloat | None = None


class Failure(Record):
    """A frame that the model could not compute."""

    split: SplitName
    molecule_id: str
    trajectory: str
    frame: int
    cause: str


class TaskResult(Record):
    """Everything measured on one task.

    Attributes:
        task: Name of the task.
        title: Title of a task that the data set declares; `None` for one of the four.
        protocol: How the model was trained on the task's molecules.
        splits: By name: `test_id`, `test_ood`, and `near` and `far` where the task has them.
        gap: Force MAE on `test_ood` divided by that on `test_id`; undefined if a frame of either failed.
        energy_gap: The same for the centred energy MAE.
        score: From 0 to 100, higher is better; undefined if a frame failed.
        reference_shift: `None` if no training frame was computed, or the data set has none at its level of theory.
        by_spacer: Errors against spacer length.
        by_pair: Errors for each pair of fragments.
        by_molecule: Errors of each molecule.
        clusters: Sampling unit of the intervals: fragments, or molecules where a task draws fewer than two fragments.
        by_fragment: Errors of each drawn fragment.
        failures: Frames that could not be computed.
        n_failed: Number of failures.
        train: Errors on training frames of a model that was trained on the task; `None` for others, and in results of
            earlier versions.
        anatomy: The factors of the gap; `None` in results of earlier versions, and in means over seeds.
        by_contact: Errors of frames with the ends in contact and apart, where molecules have two fragments.
    """

    task: TaskName
    title: str | None = None
    protocol: ProtocolName
    splits: dict[PartName, SplitResult]
    gap: Estimate
    energy_gap: Estimate
    score: Estimate
    reference_shift: ReferenceShiftRecord | None
    by_spacer: tuple[SpacerResult, ...]
    by_pair: tuple[PairResult, ...]
    by_molecule: tuple[MoleculeResult, ...]
    clusters: ClusterKind
    by_fragment: tuple[FragmentResult, ...]
    failures: tuple[Failure, ...]
    n_failed: Count
    train: TrainErrors | None = None
    anatomy: Anatomy | None = None
    by_contact: tuple[ContactResult, ...] = ()

    def n_failed_in(self, part: PartName) -> int:
        """Failed frames of a split or subset; for a subset in an older result, all failures of its split."""
        split = part if part == "test_id" else "test_ood"
        of_split = sum(failure.split == split for failure in self.failures)
        return self.splits[part].n_failed if self.splits[split].n_failed == of_split else of_split

    @property
    def comparable_gap(self) -> Estimate:
        """The gap; undefined if frames failed, even in a result of an earlier version that states one."""
        n_failed = [self.n_failed_in(part) for part in _TEST_PARTS]
        if self.gap.value is None or not any(n_failed):
            return self.gap
        return Estimate(value=None, low=None, high=None, unit=self.gap.unit, reason=no_gap_reason(*n_failed))

    @model_validator(mode="after")
    def _has_both_test_splits(self) -> Self:
        for part in _TEST_PARTS:
            if part not in self.splits:
                raise ValueError(f"{self.task} lacks the split {part}")
        return self

    @model_validator(mode="after")
    def _failures_leave_no_score(self) -> Self:
        if self.n_failed != len(self.failures):
            raise ValueError(f"n_failed is {self.n_failed}, but {len(self.failures)} failures are listed")
        if self.failures and self.score.value is not None:
            raise ValueError(f"{self.task} has failures and a score; a task with failures has no score")
        return self

    @model_validator(mode="after")
    def _factors_multiply_to_the_gap(self) -> Self:
        found = None if self.anatomy is None else self.anatomy.log_gap
        if found is not None and (not self.gap.value or abs(found - math.log(self.gap.value)) > TOLERANCE):
            raise ValueError(f"the gap of {self.task} is {self.gap.value}, and its factors give {math.exp(found)}")
        return self


class FloorRecord(Record):
    """Distance between the levels of theory of model and labels: a perfect model has these force errors.

    Attributes:
        test_id: On molecules of the training sets, eV/Å.
        test_ood: On OOD molecules, eV/Å.
        n_frames_id: Frames behind the first.
        n_frames_ood: Frames behind the second.
        computed: Methods that were computed in place of the levels, by level.
        source: Hash of the file of distances.
    """

    test_id: FiniteFloat
    test_ood: FiniteFloat
    n_frames_id: Count
    n_frames_ood: Count
    computed: dict[str, str] = Field(default_factory=dict)
    source: str


class RunResult(Record):
    """One evaluation of one model on one data set; create it with `RunResult.of`.

    `levels_agree` says whether labels and model share one level of theory; `None` if one is unknown. Where they
    differ, the distance between the two levels contributes to every error; `floor` is that distance, where it was
    measured. `cost` is `None` where nothing was timed, and in results of earlier versions.
    """

    schema_version: Literal["2.0", "2.1"] = RESULT_SCHEMA_VERSION
    model: ModelRecord
    dataset: DatasetRecord
    levels_agree: bool | None = None
    floor: FloorRecord | None = None
    environment: EnvironmentRecord
    settings: SettingsRecord
    created: AwareDatetime
    tasks: dict[TaskName, TaskResult]
    overall_score: FiniteFloat | None
    complete: bool
    cost: CostRecord | None = None

    def __eq__(self, other: object) -> bool:
        """Whether two results are the same, whatever they cost."""
        if not isinstance(other, RunResult):
            return NotImplemented
        first, second = (each.model_copy(update={"cost": None}) for each in (self, other))
        return bool(Record.__eq__(first, second))

    __hash__ = None  # type: ignore[assignment]  # its tasks are a dictionary

    @classmethod
    def of(
        cls,
        *,
        model: ModelRecord,
        dataset: DatasetRecord,
        environment: EnvironmentRecord,
        settings: SettingsRecord,
        created: datetime,
        tasks: Mapping[TaskName, TaskResult],
    ) -> "RunResult":
        """Assembles a result; floor, overall score and completeness follow from the rest."""
        return cls(
            model=model,
            dataset=dataset,
            levels_agree=levels_agree(model.level_of_theory, dataset.level_of_theory),
            floor=floor_of(model, dataset),
            environment=environment,
            settings=settings,
            created=created,
            tasks=dict(tasks),
            overall_score=overall_score(tasks),
            complete=is_complete(tasks),
        )

    @model_validator(mode="after")
    def _agrees_with_its_tasks(self) -> Self:
        for name, task in self.tasks.items():
            if task.task != name:
                raise ValueError(f"the result of {task.task} is listed under the name {name}")
        if self.complete != is_complete(self.tasks):
            raise ValueError(f"complete is {self.complete}, but the tasks give the opposite")
        expected = overall_score(self.tasks)
        if (self.overall_score is None) != (expected is None):
            raise ValueError(f"overall_score is {self.overall_score}; the tasks give {expected}")
        if expected is not None and not math.isclose(self.overall_score or 0.0, expected, abs_tol=1e-9):
            raise ValueError(f"overall_score is {self.overall_score}; the tasks give {expected}")
        # Results of earlier versions lack this field.
        if self.levels_agree not in (None, levels_agree(self.model.level_of_theory, self.dataset.level_of_theory)):
            raise ValueError(f"levels_agree is {self.levels_agree}, but the levels of theory give the opposite")
        if self.created.utcoffset() != timedelta(0):
            raise ValueError(f"created is {self.created.isoformat()}; expected UTC")
        return self

    def save(self, path: Path) -> None:
        """Writes the result as JSON, atomically.

        Raises:
            SetupError: If the folder cannot be written to.
        """
        document = self.model_dump(mode="json")
        text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            write_text_whole(path, text)
        except OSError as error:
            raise SetupError(
                f"cannot write the result {path}: {error}; expected a writable folder with free space"
            ) from error

    @classmethod
    def load(cls, path: Path) -> "RunResult":
        """Reads a result.

        Raises:
            DataError: If the file is unreadable, has another schema version, or is not a result.
        """
        try:
            text = path.read_text(encoding="utf-8")
            document = parse_json(text)
        except (OSError, ValueError) as error:
            raise DataError(
                f"cannot read the result {path}: {error}; expected a JSON file that `save` wrote"
            ) from error
        version = document.get("schema_version") if isinstance(document, dict) else None
        if isinstance(version, str) and version in _FORMER:
            raise DataError(
                f"{path} has schema version {version}, whose intervals are of an earlier kind (bootstrap over "
                f"molecules) that cannot be compared with version {RESULT_SCHEMA_VERSION}. `python -m harness report "
                f"{path.parent}` recomputes it from its predictions, without the model"
            )
        if not isinstance(version, str) or version not in _READABLE:
            raise DataError(
                f"{path} has schema version {quoted(version)}; this version of the harness reads "
                f"{RESULT_SCHEMA_VERSION!r}: evaluate again, or use the version of the harness that wrote it"
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DataError(
                f"{path} is not a result of schema {RESULT_SCHEMA_VERSION}: {first_problem(error)}; expected a file "
                "that the harness wrote"
            ) from error


def floor_of(model: ModelRecord, dataset: DatasetRecord) -> FloorRecord | None:
    """The distance between the levels of model and labels; `None` if they are the same, or it was not measured.

    A control has another level than the labels on purpose.
    """
    if model.protocol == "control":
        return None
    found = distance_between(model.level_of_theory, dataset.level_of_theory)
    if found is None:
        return None
    return FloorRecord(
        test_id=found.test_id.force_mae,
        test_ood=found.test_ood.force_mae,
        n_frames_id=found.test_id.n_frames,
        n_frames_ood=found.test_ood.n_frames,
        computed=dict(found.computed),
        source=found.source,
    )


def load_results(runs: Iterable[Path]) -> list[RunResult]:
    """Reads the results of runs.

    Args:
        runs: Run folders, or result files.

    Raises:
        DataError: If a result is absent or unreadable, has another schema version, or is not a result.
    """
    return [RunResult.load(run / RESULT_NAME if run.is_dir() else run) for run in runs]


def no_gap_reason(n_failed_id: int, n_failed_ood: int) -> str:
    """Why a task with this many failed frames has no gap."""
    return (
        f"frames that failed: {n_failed_id} of test_id, {n_failed_ood} of test_ood; errors over what is left of two "
        "splits have no ratio that means something"
    )


def is_complete(tasks: Mapping[TaskName, TaskResult]) -> bool:
    """Whether the four tasks of version 1.0 are present without failures; other tasks are ignored."""
    return set(TASKS) <= set(tasks) and not any(tasks[name].failures for name in TASKS)


def overall_score(tasks: Mapping[TaskName, TaskResult]) -> float | None:
    """The mean of the four scores; `None` unless all four tasks are complete and have a score."""
    if not is_complete(tasks):
        return None
    scores = [tasks[name].score.value for name in TASKS]
    defined = [score for score in scores if score is not None]
    return sum(defined) / len(defined) if len(defined) == len(scores) else None
