"""What is said of the training of a model that is no checkpoint of ours: in a file beside it, or on the command line.

Such a statement proves nothing, and a result says that it is one. What can be checked is: that no test molecule is
among those named, and that the frames of `train` and `validation` are those of the data set.
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
"""What a training may read; the content hash of a record is over their files."""
_MAX_BASE: Final = 200
_MAX_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Statement:
    """What somebody says of the training of a model; make that of the command line with `statement_of`.

    Attributes:
        task: Task whose `train` split it was trained on.
        protocol: Whether training began with random weights or with those of another model; `None` where it is not
            said.
        base: The checkpoint that it began with.
    """

    task: TaskName
    protocol: TrainingProtocol | None = None
    base: str | None = None

    @property
    def whole(self) -> "Statement":
        """The statement with what is not said: training began with random weights unless a base is named."""
        return replace(self, protocol=self.protocol or ("from-scratch" if self.base is None else "fine-tuned"))

    def parts(self) -> dict[str, str]:
        """What is said, by the name of the option that says it."""
        said = {"--trained-on": self.task, "--protocol": self.protocol, "--base": self.base}
        return {option: value for option, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Declaration:
    """What a model that is to be evaluated is said to have been trained on, as far as that can be checked without it.

    Attributes:
        statement: What is said, whole.
        place: Where it is said.
        record: The file beside the model; `None` for the command line.
        files: sha256 of that file, by its name.
        unchecked: What training data were not compared with the data set, and why; `None` where they are the same.
    """

    statement: Statement
    place: str = _COMMAND_LINE
    record: TrainingRecord | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    unchecked: str | None = None


def statement_of(trained_on: str | None, protocol: TrainingProtocol | None, base: str | None) -> Statement | None:
    """What the options of the command line say, checked against each other; `None` where they say nothing.

    Raises:
        UsageError: If they contradict each other.
    """
    if trained_on is None:
        given = [f"{option} {value}" for option, value in (("--protocol", protocol), ("--base", base)) if value]
        if given:
            raise UsageError(f"{' '.join(given)} without --trained-on TASK, which says what on")
        return None
    if base is not None and (not base.strip() or not base.isprintable() or len(base) > _MAX_BASE):
        raise UsageError(
            f"--base {base[:_MAX_BASE]!r}; expected the name of the model whose training went on, such as org/model, "
            f"in one line of {_MAX_BASE} characters at most"
        )
    if protocol == "from-scratch" and base is not None:
        raise UsageError(
            f"--protocol from-scratch and --base {base} contradict each other: from scratch begins with random "
            "weights. Leave --base out, or say --protocol fine-tuned"
        )
    if protocol == "fine-tuned" and base is None:
        raise UsageError("--protocol fine-tuned without --base, which says what model the training began with")
    return Statement(trained_on, protocol, base)


def declaration_for(
    model: ModelSource, stated: Statement | None, datasets: Sequence[PinnedDataset]
) -> Declaration | None:
    """What a model is said to have been trained on, by a file beside it or by the user.

    Args:
        model: As `harness.models.resolve.resolve_model` found it.
        stated: What the command line says.
        datasets: What it is to be evaluated on, at one or more levels of theory.

    Returns:
        The declaration; `None` where nothing is said.

    Raises:
        UsageError: If the file and the command line differ.
        DataError: If the file is none, or names frames or molecules that the task keeps for tests, or other training
            frames than those of the data set.
    """
    if model.record is None:
        return None if stated is None else Declaration(stated.whole)
    place = str(model.record)
    if not model.record.is_file():
        raise DataError(f"{place} is no file; expected one that `python -m dataset_builders export` wrote, or none")
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
    """The traits of a model with what is said of its training.

    Args:
        traits: Of the model, as it was loaded.
        family: Its family.
        declaration: What is said; `None` where nothing is. That of the command line is not of a method without a
            training set.
        datasets: What it is to be evaluated on; the level of their labels is that of a model whose training the command
            line states.
        level_of_theory: Level of the training labels that the user states.

    Raises:
        UsageError: If the command line contradicts what the checkpoint says, or what its family is known to be.
        ModelError: If the file beside it contradicts what the checkpoint says.
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
    """The method of a level of theory that a user names: a level of this benchmark, or any text."""
    known = level_of_method(text)
    return text if known is None else known.method


def _at_level_of_data(
    traits: PotentialTraits, family: Family, datasets: Sequence[PinnedDataset], level_of_theory: str | None
) -> PotentialTraits:
    """Traits of what the command line states: the level of theory and the task are those of the data."""
    named = traits.level_of_theory
    if named is not None and not is_unknown(family.module):
        if traits.protocol == "from-scratch":
            raise UsageError(
                f"{traits.model_id} is read as a published model of {named}, so it was not trained from scratch on "
                f"{traits.trained_on}. If its training was continued there, name what it began with by --base; if it "
                "is not the published model, put its mlip-ood.json beside it; else evaluate it without --trained-on"
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
    """Checks that the command line says nothing else than the file beside the model."""
    there = own.parts()
    for option, value in stated.parts().items():
        if there.get(option) != value:
            raise UsageError(
                f"{option} {value}, but {place} says {there.get(option, 'that there is none')}; leave the option out, "
                "or correct the file, which travels with the model"
            )


def _require_agreement(traits: PotentialTraits, declaration: Declaration) -> None:
    """Checks that nothing else is said than what a checkpoint says itself."""
    statement, record = declaration.statement, declaration.record
    pairs = [("task", statement.task, traits.trained_on), ("protocol", statement.protocol, traits.protocol)]
    if record is not None:
        pairs.append(("level of theory", record.level_of_theory, traits.level_of_theory))
    for what, said, proved in pairs:
        if said != proved:
            kind = UsageError if record is None else ModelError
            raise kind(
                f"{declaration.place} says that the {what} of the training of {traits.model_id} was {said}, but the "
                f"checkpoint itself says {proved}, which counts; leave the statement out"
            )


def _require_no_test_data(record: TrainingRecord, place: str) -> None:
    """Checks that a record is one of a training on the training molecules of its task."""
    if record.test_splits:
        raise DataError(
            f"{place} lists the split {record.test_splits[0]} of {record.task}, so the model may have trained on what "
            "it would be tested on; train on an export of train and validation alone, and use the mlip-ood.json of that"
        )
    if "train" not in record.splits:
        raise DataError(
            f"{place} lists no split train of {record.task} but {' '.join(record.splits)}; use the mlip-ood.json of "
            "the export that the model was trained on"
        )
    task = record.declared_task()
    named = set(record.molecules)
    ood = sorted(named & {word.molecule_id for word in task.ood_words()})
    if ood:
        raise DataError(
            f"{place} names {len(ood)} OOD molecules of {task.name} among those of the training ({_listed(ood)}); a "
            "model that saw them cannot be tested on them"
        )
    others = sorted(named - {word.molecule_id for word in task.train_words()})
    if others:
        raise DataError(
            f"{place} names {len(others)} molecules that are none of the training molecules of {task.name} "
            f"({_listed(others)}); a model is tested on the task whose training molecules alone it was trained on"
        )


def _unchecked(record: TrainingRecord, place: str, datasets: Sequence[PinnedDataset]) -> str | None:
    """Why the frames of a training cannot be compared with those of the data set; `None` where they are the same.

    Raises:
        DataError: If they are others.
    """
    of, task = record.dataset, record.task
    dataset = next((each for each in datasets if each.level.suffix == record.suffix and task in each.tasks), None)
    if dataset is None:
        return f"trained on {record.config} ({record.level_of_theory}), not checked here"
    if of.edition != dataset.edition:
        if not (_is_of_the_recipe(of.edition) and _is_of_the_recipe(dataset.edition)):
            raise DataError(
                f"{place} says that the model was trained on the edition {of.edition} of {task}, and {dataset.id} is "
                f"{dataset.edition}; only the editions of one recipe (mini, standard, full, or four sizes) are "
                "known to share no frame of training and test. Evaluate on the data set that it was trained on"
            )
        return f"trained on edition {of.edition}, not checked here"
    absent = [split for split in _SPLITS if (task, split) in dataset.left_out]
    if absent:
        return f"trained on frames of {' and '.join(absent)} that {dataset.id} does not hold, not checked here"
    files = [file for split in _SPLITS for file in split_files(dataset.directory, task, split, dataset.level)]
    found = content_hash(dataset.directory, files)
    if found != of.content_hash:
        source = f"{of.id}@{of.revision}" if of.revision else of.id
        raise DataError(
            f"{place} says that the model was trained on {record.config} with content "
            f"{of.content_hash[:SHORT_HASH]} ({source}), and train and validation of {dataset.id} have "
            f"{found[:SHORT_HASH]}: other frames or labels, so its test may hold what it trained on. Evaluate with "
            f"--dataset {source}, or train on an export of {dataset.id}"
        )
    return None


def _is_of_the_recipe(edition: str) -> bool:
    """Whether an edition is one whose frames follow from its name, so that it nests with the others."""
    try:
        find_edition(edition)
    except UsageError:
        return False
    return True


def _listed(names: Collection[str]) -> str:
    shown = [*names][:_MAX_NAMED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
