"""Training declarations of models not trained with this project: in a file beside the model or on the command line.

Such a declaration proves nothing, and results mark it as stated. It is checked as far as possible: it may name no test
molecule, and the frames of `train` and `validation` must be those of the data set.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dataset_builders.chemistry.levels import level_of_method
from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.tasks.editions import SplitName, find_edition
from dataset_builders.tasks.regions import TaskName
from dataset_builders.tasks.task_document import declaration_of
from harness.core.family import Family
from harness.core.potential import PotentialTraits, TrainingProtocol
from harness.core.training_record import TrainingRecord, read_training_record
from harness.data.dataset import UNKNOWN, PinnedDataset, content_hash, split_files
from harness.data.label_choice import labels_for
from harness.models.foreign import is_unknown
from harness.models.registry import ModelSource
from harness.trust.pickles import sha256_of

_COMMAND_LINE: Final = "the command line"
_SPLITS: Final[tuple[SplitName, ...]] = ("train", "validation")
"""Splits that training may read; the content hash of a record covers their files."""
_MAX_BASE: Final = 200
_MAX_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement about the training of a model; `statement_of` makes one from the command line.

    Attributes:
        task: Task whose `train` split the model was trained on.
        protocol: Whether training started from random weights or from those of another model; `None` if not stated.
        base: The checkpoint that training started from.
    """

    task: TaskName
    protocol: TrainingProtocol | None = None
    base: str | None = None

    @property
    def whole(self) -> "Statement":
        """The complete statement: training started from random weights unless a base is named."""
        return replace(self, protocol=self.protocol or ("from-scratch" if self.base is None else "fine-tuned"))

    def parts(self) -> dict[str, str]:
        """The stated values, by command-line option."""
        stated = {"--trained-on": self.task, "--protocol": self.protocol, "--base": self.base}
        return {option: value for option, value in stated.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Declaration:
    """The declared training of a model, checked as far as possible without loading the model.

    Attributes:
        statement: The complete statement.
        place: Where it is made.
        record: The file beside the model; `None` for the command line.
        files: sha256 of that file, by name.
        unchecked: Training data that were not compared with the data set, and why; `None` if they are the same.
    """

    statement: Statement
    place: str = _COMMAND_LINE
    record: TrainingRecord | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    unchecked: str | None = None


def statement_of(trained_on: str | None, protocol: TrainingProtocol | None, base: str | None) -> Statement | None:
    """The statement made by the command-line options, checked for consistency; `None` if there is none.

    Raises:
        UsageError: If they contradict each other.
    """
    if trained_on is None:
        given = [f"{option} {value}" for option, value in (("--protocol", protocol), ("--base", base)) if value]
        if given:
            raise UsageError(f"{' '.join(given)} without --trained-on TASK, which names the task")
        return None
    if base is not None and (not base.strip() or not base.isprintable() or len(base) > _MAX_BASE):
        raise UsageError(
            f"--base {base[:_MAX_BASE]!r}; expected the name of the model that training started from, such as "
            f"org/model, in one line of at most {_MAX_BASE} characters"
        )
    if protocol == "from-scratch" and base is not None:
        raise UsageError(
            f"--protocol from-scratch and --base {base} contradict each other: training from scratch starts from "
            "random weights. Leave --base out, or use --protocol fine-tuned"
        )
    if protocol == "fine-tuned" and base is None:
        raise UsageError("--protocol fine-tuned without --base, which names the model that training started from")
    return Statement(trained_on, protocol, base)


def declaration_for(
    model: ModelSource, stated: Statement | None, datasets: Sequence[PinnedDataset]
) -> Declaration | None:
    """The training declaration of a model, from a file beside it or from the user.

    Args:
        model: Result of `harness.models.resolve.resolve_model`.
        stated: Statement on the command line.
        datasets: Data set to evaluate on, at one or more levels of theory.

    Returns:
        The declaration; `None` if there is none.

    Raises:
        UsageError: If the file and the command line differ.
        DataError: If the file is not a training record, names held-out frames or molecules of the task, or names
            training frames that differ from those of the data set.
    """
    if model.record is None:
        return None if stated is None else Declaration(stated.whole)
    place = str(model.record)
    if not model.record.is_file():
        raise DataError(f"{place} is not a file; expected one that `python -m dataset_builders export` wrote, or none")
    record = read_training_record(model.record)
    own = Statement(record.task, record.protocol, record.base)
    if stated is not None:
        _require_same(stated, own, place)
    _require_no_test_data(record, place)
    return Declaration(
        statement=own,
        place=place,
        record=record,
        files={model.record.name: sha256_of(model.record)},
        unchecked=_unchecked(record, place, datasets),
    )


def declared(
    traits: PotentialTraits,
    family: Family,
    declaration: Declaration | None,
    datasets: Sequence[PinnedDataset],
    level_of_theory: str | None = None,
) -> PotentialTraits:
    """Adds the declared training to the traits of a model.

    Args:
        traits: Traits of the model as loaded.
        family: Its family.
        declaration: The declaration, if any; one from the command line is not allowed for a method without a
            training set.
        datasets: Data set to evaluate on; its level of theory is assumed for a model whose training the command
            line states.
        level_of_theory: Level of theory of the training labels stated by the user.

    Raises:
        UsageError: If the command line contradicts the checkpoint or its family.
        ModelError: If the file beside the model contradicts the checkpoint.
    """
    is_ours = family.in_config and not is_unknown(family.module)
    traits = replace(traits, training=None, base=None, unchecked=None)
    if traits.trained_on is not None:
        files = {} if declaration is None else declaration.files
        if declaration is not None:
            _require_agreement(traits, declaration)
        return replace(traits, training="proved" if is_ours else "stated", files={**traits.files, **files})
    if declaration is None or (declaration.record is None and traits.protocol == "control"):
        return traits
    statement, record = declaration.statement, declaration.record
    assert statement.protocol is not None
    traits = replace(
        traits,
        protocol=statement.protocol,
        trained_on=statement.task,
        base=statement.base,
        training="stated",
        unchecked=declaration.unchecked,
        files={**traits.files, **declaration.files},
    )
    if record is not None:
        own = record.task_declaration
        return replace(
            traits,
            trained_task=None if own is None else own.model_dump(),
            level_of_theory=record.level_of_theory,
        )
    return _at_level_of_data(traits, family, datasets, level_of_theory)


def named_level(text: str) -> str:
    """The method of a level of theory named by the user: a level of this benchmark, or any text."""
    known = level_of_method(text)
    return text if known is None else known.method


def _at_level_of_data(
    traits: PotentialTraits, family: Family, datasets: Sequence[PinnedDataset], level_of_theory: str | None
) -> PotentialTraits:
    """Traits for a training stated on the command line: level of theory and task are those of the data."""
    named = traits.level_of_theory
    if named is not None and not is_unknown(family.module):
        if traits.protocol == "from-scratch":
            raise UsageError(
                f"{traits.model_id} is read as a published model of {named}, so it was not trained from scratch on "
                f"{traits.trained_on}. If it was fine-tuned there, name the original model with --base; if it is not "
                "the published model, put its mlip-ood.json beside it; otherwise evaluate it without --trained-on"
            )
        named = None
    level = named_level(level_of_theory) if level_of_theory is not None else named
    assert traits.trained_on is not None
    dataset = labels_for(level, datasets, (traits.trained_on,))
    held = None if dataset.level_of_theory == UNKNOWN else dataset.level_of_theory
    task = dataset.task(traits.trained_on)
    return replace(
        traits,
        trained_task=declaration_of(task),
        level_of_theory=level or held,
        level_is_stated=level_of_theory is not None,
    )


def _require_same(stated: Statement, own: Statement, place: str) -> None:
    """Checks that the command line agrees with the file beside the model."""
    there = own.parts()
    for option, value in stated.parts().items():
        if there.get(option) != value:
            raise UsageError(
                f"{option} {value}, but {place} states {there.get(option, 'that there is none')}; leave the option "
                "out, or correct the file, which belongs to the model"
            )


def _require_agreement(traits: PotentialTraits, declaration: Declaration) -> None:
    """Checks that the declaration agrees with the checkpoint."""
    statement, record = declaration.statement, declaration.record
    pairs = [("task", statement.task, traits.trained_on), ("protocol", statement.protocol, traits.protocol)]
    if record is not None:
        pairs.append(("level of theory", record.level_of_theory, traits.level_of_theory))
    for what, stated, proved in pairs:
        if stated != proved:
            kind = UsageError if record is None else ModelError
            raise kind(
                f"{declaration.place} states that the {what} of the training of {traits.model_id} was {stated}, but "
                f"the checkpoint itself states {proved}, which takes precedence; leave the statement out"
            )


def _require_no_test_data(record: TrainingRecord, place: str) -> None:
    """Checks that a record describes training on only the training molecules of its task."""
    if record.test_splits:
        raise DataError(
            f"{place} lists the split {record.test_splits[0]} of {record.task}, so the model may have been trained on "
            "its test set; train on an export of only train and validation, and use the mlip-ood.json of that export"
        )
    if "train" not in record.splits:
        raise DataError(
            f"{place} lists only {' '.join(record.splits)} of {record.task}, not train; use the mlip-ood.json of "
            "the export that the model was trained on"
        )
    task = record.declared_task()
    named = set(record.molecules)
    ood = sorted(named & {word.molecule_id for word in task.ood_words()})
    if ood:
        raise DataError(
            f"{place} lists {len(ood)} OOD molecules of {task.name} among the training molecules ({_listed(ood)}); a "
            "model that was trained on them cannot be tested on them"
        )
    others = sorted(named - {word.molecule_id for word in task.train_words()})
    if others:
        raise DataError(
            f"{place} lists {len(others)} molecules that are not training molecules of {task.name} "
            f"({_listed(others)}); a task can test only models that were trained on its training molecules alone"
        )


def _unchecked(record: TrainingRecord, place: str, datasets: Sequence[PinnedDataset]) -> str | None:
    """Why the training frames cannot be compared with those of the data set; `None` if they are the same.

    Raises:
        DataError: If they differ.
    """
    of, task = record.dataset, record.task
    dataset = next((each for each in datasets if each.level.suffix == record.suffix and task in each.tasks), None)
    if dataset is None:
        return f"trained on {record.config} ({record.level_of_theory}), not checked here"
    if of.edition != dataset.edition:
        if not (_is_of_the_recipe(of.edition) and _is_of_the_recipe(dataset.edition)):
            raise DataError(
                f"{place} states that the model was trained on the edition {of.edition} of {task}, but {dataset.id} "
                f"is {dataset.edition}; only editions of one recipe (mini, standard, full, or four sizes) are known to "
                "have no frames of one's training set in another's test set. Evaluate on the data set that it was "
                "trained on"
            )
        return f"trained on edition {of.edition}, not checked here"
    absent = [split for split in _SPLITS if (task, split) in dataset.left_out]
    if absent:
        return f"trained on frames of {' and '.join(absent)} that {dataset.id} does not contain, not checked here"
    files = [file for split in _SPLITS for file in split_files(dataset.directory, task, split, dataset.level)]
    found = content_hash(dataset.directory, files)
    if found != of.content_hash:
        source = f"{of.id}@{of.revision}" if of.revision else of.id
        raise DataError(
            f"{place} states that the model was trained on {record.config} with content "
            f"{of.content_hash[:SHORT_HASH]} ({source}), but train and validation of {dataset.id} have "
            f"{found[:SHORT_HASH]}: frames or labels differ, so its test set may contain training frames. Evaluate "
            f"with --dataset {source}, or train on an export of {dataset.id}"
        )
    return None


def _is_of_the_recipe(edition: str) -> bool:
    """Whether the frames of an edition follow from its name, so that it nests with the other editions."""
    try:
        find_edition(edition)
    except UsageError:
        return False
    return True


def _listed(names: Collection[str]) -> str:
    shown = [*names][:_MAX_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
