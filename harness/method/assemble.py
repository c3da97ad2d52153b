"""Combines the results of the members of a method, or names two members that do not match."""

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import text_sha256
from dataset_builders.tasks.regions import TaskName, in_order
from harness.core.seed_folders import place_of
from harness.data.dataset import levels_agree
from harness.method.claims import same_weights
from harness.method.document import MeanResult, SeedsOfTask, overall_spread, seeds_of_task
from harness.method.mean import mean_task
from harness.models.file_names import checkpoint_files
from harness.results.cost import joint_cost
from harness.results.lowered_precision import joint_lowering
from harness.results.result import (
    UNKNOWN_OVERLAP,
    EnvironmentRecord,
    ModelRecord,
    Overlap,
    OverlapRecord,
    RunResult,
    SettingsRecord,
    TaskResult,
    floor_of,
    is_complete,
    overall_score,
)
from harness.scoring.intervals import IntervalSettings

_JOINED: Final = " + "

_ALIKE: Final[Mapping[str, Callable[[RunResult], object]]] = {
    "edition of the data set": lambda result: result.dataset.edition,
    "content of the data set": lambda result: result.dataset.content_hash,
    "level of theory of the labels": lambda result: result.dataset.level_of_theory,
    "level of theory of the model": lambda result: result.model.level_of_theory or "unknown",
    "protocol": lambda result: result.model.protocol,
    # A minor version adds fields and changes no number.
    "version of the results": lambda result: result.schema_version.partition(".")[0],
    "confidence of the intervals": lambda result: f"{result.settings.confidence:g}",
}
"""Properties that all members of a method share; architectures, bases and precisions may differ and are reported."""


@dataclass(frozen=True, slots=True)
class MeasuredMember:
    """A member of a method with its result.

    Attributes:
        task: Its task.
        seed: Its seed, if it has one.
        result: Result of its run, which contains that task.
    """

    task: TaskName
    seed: int | None
    result: RunResult

    @property
    def place(self) -> str:
        """Folder in the method, such as `task1/seed0`."""
        return place_of(self.task, self.seed)

    @property
    def of_task(self) -> TaskResult:
        """Its result on the task.

        Raises:
            DataError: If its result lacks the task.
        """
        if self.task not in self.result.tasks:
            raise DataError(
                f"the result of {self.place} contains {' '.join(self.result.tasks) or 'no task'}; expected {self.task}"
            )
        return self.result.tasks[self.task]


def mean_result(
    name: str, members: Sequence[MeasuredMember], created: datetime, revision: str | None = None
) -> MeanResult:
    """The result of a method.

    Args:
        name: Name of the method.
        members: Its members.
        created: Date of creation.
        revision: Commit on the Hub, if all members came from one repo there.

    Raises:
        DataError: If two members differ in data, level of theory or protocol.
        UsageError: If two members are the same model.
    """
    _require_alike(members)
    _require_distinct(members)
    first = members[0].result
    settings = IntervalSettings(first.settings.confidence)
    tasks: dict[TaskName, TaskResult] = {}
    seeds: dict[TaskName, SeedsOfTask] = {}
    for task in in_order(member.task for member in members):
        of_task = [member for member in members if member.task == task]
        tasks[task] = mean_task([member.of_task for member in of_task], settings)
        seeds[task] = seeds_of_task([member.seed for member in of_task], [member.of_task for member in of_task])
    model = _model(name, members, revision)
    return MeanResult(
        model=model,
        dataset=first.dataset,
        levels_agree=levels_agree(model.level_of_theory, first.dataset.level_of_theory),
        floor=floor_of(model, first.dataset),
        environment=_environment([member.result.environment for member in members]),
        settings=_settings([member.result.settings for member in members]),
        created=created,
        tasks=tasks,
        overall_score=overall_score(tasks),
        complete=is_complete(tasks),
        seeds=seeds,
        overall=overall_spread(seeds),
        cost=joint_cost([member.result.cost for member in members]),
    )


def _require_alike(members: Sequence[MeasuredMember]) -> None:
    first = members[0]
    for member in members:
        _ = member.of_task
        for what, value in _ALIKE.items():
            own, other = value(first.result), value(member.result)
            if own != other:
                raise DataError(
                    f"the {what} of {first.place} is {own}, that of {member.place} is {other}; all members of a method "
                    "must be evaluated on the same data and trained with one protocol at one level of theory. "
                    "Evaluate them with the same options, or as separate methods"
                )


def _require_distinct(members: Sequence[MeasuredMember]) -> None:
    """Checks that no model counts twice: as two seeds, whose spread would be zero, or for two tasks."""
    for one, other in itertools.combinations(members, 2):
        weights = _weights(one.result.model)
        if weights and weights == _weights(other.result.model):
            raise same_weights(one.place, other.place, min(weights))


def _weights(model: ModelRecord) -> set[str]:
    """sha256 of the files, without settings and code, which members may share."""
    return {sha256 for name, sha256 in checkpoint_files(model.files).items() if not name.endswith(".json")}


def _model(name: str, members: Sequence[MeasuredMember], revision: str | None) -> ModelRecord:
    """The common properties of the models of a method, and the individual ones."""
    models = [member.result.model for member in members]
    first = models[0]
    kinds = [model.training for model in models]
    return ModelRecord(
        id=name,
        family=_joined(model.family for model in models) or first.family,
        revision=revision,
        files={f"{member.place}/{file}": sha for member in members for file, sha in member.result.model.files.items()},
        protocol=first.protocol,
        trained_on=None,
        dtype=first.dtype if len({model.dtype for model in models}) == 1 else "mixed",
        device=_joined(model.device for model in models) or first.device,
        level_of_theory=first.level_of_theory,
        elements=_shared_elements(models),
        conservative=_conservative(models),
        head=_joined(model.head for model in models),
        needs_cell=any(model.needs_cell for model in models),
        is_compiled=any(model.is_compiled for model in models),
        level_is_stated=any(model.level_is_stated for model in models),
        unfinished=_joined(
            f"{member.place}: {member.result.model.unfinished}" for member in members if member.result.model.unfinished
        ),
        cautions=tuple(f"{member.place}: {caution}" for member in members for caution in member.result.model.cautions),
        # If the training is proved for some members and stated for others, it is stated for the method.
        training="proved" if set(kinds) == {"proved"} else next((kind for kind in kinds if kind == "stated"), None),
        base=_joined(model.base for model in models),
        unchecked=_joined(model.unchecked for model in models),
        known_as=_joined(model.known_as for model in models),
        known_by="name" if any(model.known_by == "name" for model in models) else first.known_by,
        overlap=_overlap([model.overlap for model in models]),
        lowered_precision=joint_lowering({member.place: member.result.model.lowered_precision for member in members}),
    )


def _overlap(overlaps: Sequence[Overlap]) -> Overlap:
    """The overlap of all members: unknown if that of any is unknown."""
    records = [each for each in overlaps if isinstance(each, OverlapRecord)]
    if not records or len(records) < len(overlaps):
        return UNKNOWN_OVERLAP if UNKNOWN_OVERLAP in overlaps else None
    return OverlapRecord(
        source=_joined(each.source for each in records) or "",
        n_listed=max(each.n_listed for each in records),
        n_unreadable=max(each.n_unreadable for each in records),
        molecules={task: splits for each in records for task, splits in each.molecules.items()},
    )


def _joined(texts: Iterable[str | None]) -> str | None:
    """The distinct texts, joined; `None` if there is none."""
    return _JOINED.join(dict.fromkeys(text for text in texts if text is not None)) or None


def _shared_elements(models: Sequence[ModelRecord]) -> tuple[int, ...] | None:
    known = [set(model.elements) for model in models if model.elements is not None]
    return tuple(sorted(set.intersection(*known))) if len(known) == len(models) else None


def _conservative(models: Sequence[ModelRecord]) -> bool | None:
    kinds = {model.conservative for model in models}
    return False if False in kinds else (None if None in kinds else True)


def _environment(environments: Sequence[EnvironmentRecord]) -> EnvironmentRecord:
    """The environment of the members; all values of a property in which they differ."""
    hashes = sorted({environment.code_hash for environment in environments})
    isolations = {environment.isolation for environment in environments}
    return EnvironmentRecord(
        python=_joined(each.python for each in environments) or "",
        platform=_joined(each.platform for each in environments) or "",
        packages=_merged(each.packages for each in environments),
        # Each family has its own code hash.
        code_hash=hashes[0] if len(hashes) == 1 else text_sha256(json.dumps(hashes)),
        precision=_merged(each.precision for each in environments),
        variables=_merged(each.variables for each in environments),
        isolation=isolations.pop() if len(isolations) == 1 else None,
    )


def _merged(records: Iterable[Mapping[str, str]]) -> dict[str, str]:
    merged: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.items():
            merged.setdefault(name, {})[value] = None
    return {name: _JOINED.join(values) for name, values in merged.items()}


def _settings(settings: Sequence[SettingsRecord]) -> SettingsRecord:
    sizes = {each.batch_atoms for each in settings}
    return settings[0].model_copy(update={"batch_atoms": settings[0].batch_atoms if len(sizes) == 1 else None})
