"""The options of the Python interface: those of the command line as keywords, checked before anything is loaded."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, SupportsIndex, TypedDict, get_args

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.core.commands import did_you_mean
from dataset_builders.core.errors import UsageError
from dataset_builders.core.given_text import require_text
from dataset_builders.core.shown import quoted
from dataset_builders.core.usable_cpus import usable_cpus
from harness.core.potential import DtypeName, Isolation, LoadOptions, TrainingProtocol

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset
    from harness.evaluation.run import RunOptions
    from harness.models.registry import ModelSource

DEFAULT_DATASET: Final = "mini"
DEFAULT_OUTPUT: Final = Path("results")
_AUTO: Final = "auto"
OF_CALCULATORS: Final = "ase"
"""Family of models that a user's function creates."""


class LoadingOptions(TypedDict, total=False):
    """How a model is loaded. Each key is the command-line option of that name, with `_` for `-`.

    Attributes:
        family: Family that reads the checkpoint, where its files do not identify one.
        calculator: Function that returns an ASE calculator, as `package.module:function`, for models of no family.
        device: `auto` (default), `cpu`, `cuda` or `cuda:N`.
        dtype: `float32` or `float64`; `None` (default) for the precision of the checkpoint.
        head: Readout head of a checkpoint that has several.
        threads: CPU threads of physics methods (default: all cores).
        compile: Whether the network is compiled, if its family supports that.
        trust_checkpoint: Whether to load a checkpoint that can execute code on loading, such as a pickle.
        allow_unfinished: Whether to load a checkpoint whose training was stopped before its end.
        isolation: Whether the model computes in a separate process: `auto` (default), `always` or `never`.
    """

    family: str | None
    calculator: str | None
    device: str
    dtype: DtypeName | None
    head: str | None
    threads: SupportsIndex
    compile: bool
    trust_checkpoint: bool
    allow_unfinished: bool
    isolation: Isolation


class EvaluationOptions(LoadingOptions, total=False):
    """How models are loaded and evaluated.

    Attributes:
        labels: Level of theory of the labels, or `auto` (default): for each model its own level, else the nearest that
            the data set contains, else the first, GFN2-xTB.
        level_of_theory: Level of the models' training labels, for models whose files do not name it.
        trained_on: Task whose training set is the models' only one, for models whose files do not state it.
        protocol: Protocol of that training, `from-scratch` or `fine-tuned`.
        base: Checkpoint that a fine-tuning started from.
        training_smiles: File with the SMILES of the molecules that the model, or its base, was trained on, one a line.
        jobs: Processes of this machine that may compute on a CPU; `auto` or `None` (default) for as many as it has
            usable CPUs.
        batch_atoms: Maximum number of atoms in a batch; `auto` or `None` (default) for a limit that suits the device.
        output: Folder of results (default: `results`).
        quiet: Whether to hide the progress bar.
    """

    labels: str
    level_of_theory: str | None
    trained_on: str | None
    protocol: TrainingProtocol | None
    base: str | None
    training_smiles: str | Path | None
    jobs: SupportsIndex | Literal["auto"] | None
    batch_atoms: SupportsIndex | Literal["auto"] | None
    output: str | Path
    quiet: bool


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is loaded, after validation.

    Attributes:
        family: Family that reads it; `None` to identify it from the files.
        options: Options for its loader.
        isolation: Whether it computes in a separate process.
    """

    family: str | None
    options: LoadOptions
    isolation: Isolation


_Check = tuple[Callable[[Any], bool], str]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_count(value: Any) -> bool:
    """Whether a value is an integer of any library, 1 or more."""
    try:
        return not isinstance(value, bool) and operator.index(value) >= 1
    except TypeError:
        return False


def _is_count_or_auto(value: Any) -> bool:
    return (isinstance(value, str) and value == _AUTO) or _is_count(value)


def _one_of(*names: str) -> _Check:
    return lambda value: value in names, f"one of {', '.join(names)}"


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check[0](value), check[1]


_FLAG: Final[_Check] = lambda value: isinstance(value, bool), "True or False"
_CHECKS: Final[Mapping[str, _Check]] = {
    "family": _or_none((_is_text, "the name of a family")),
    "calculator": _or_none((_is_text, "package.module:function")),
    "device": (_is_text, "auto, cpu, cuda or cuda:N"),
    "dtype": _or_none(_one_of(*get_args(DtypeName))),
    "head": _or_none((_is_text, "the name of a readout head")),
    "threads": (_is_count, "1 or more"),
    "compile": _FLAG,
    "trust_checkpoint": _FLAG,
    "allow_unfinished": _FLAG,
    "isolation": _one_of(*get_args(Isolation)),
    "labels": (_is_text, f"one of {', '.join(LEVELS)}, auto"),
    "level_of_theory": _or_none((_is_text, f"a level such as {', '.join(LEVELS)}")),
    "trained_on": _or_none((_is_text, "the name of a task")),
    "protocol": _or_none(_one_of(*get_args(TrainingProtocol))),
    "base": _or_none((lambda value: isinstance(value, str), "the name of a checkpoint")),
    "training_smiles": _or_none((lambda value: isinstance(value, Path) or _is_text(value), "a file of SMILES")),
    "jobs": _or_none((_is_count_or_auto, "a number of processes, 1 or more, or auto")),
    "batch_atoms": _or_none((_is_count_or_auto, "a number of atoms, 1 or more, or auto")),
    "output": (lambda value: isinstance(value, Path) or _is_text(value), "a folder"),
    "quiet": _FLAG,
}


def require_options(options: Mapping[str, Any], known: type) -> None:
    """Checks the names and values of options.

    Args:
        options: From the caller.
        known: The typed dictionary that declares them.

    Raises:
        UsageError: If a name is unknown or a value is invalid; the message names the command-line option.
    """
    names = tuple(known.__annotations__)
    for name, value in options.items():
        if name not in names:
            raise UsageError(f"unknown option {name!r}{did_you_mean(name, names)}; options: {' '.join(names)}")
        is_possible, expected = _CHECKS[name]
        if not is_possible(value):
            is_empty = isinstance(value, str) and not value.strip()
            shown = f"--{name.replace('_', '-')} {'is empty' if is_empty else value}"
            raise UsageError(f"{shown}; expected {expected}")
        if isinstance(value, str | Path):
            require_text(f"--{name.replace('_', '-')}", str(value))


def require_name(what: str, value: Any, expected: str) -> str:
    """Checks a name or path that is no option.

    Args:
        what: What it names, for the message.
        value: From the caller.
        expected: What it may be, for the message.

    Returns:
        The text.

    Raises:
        UsageError: If it is neither text nor a path, or no record can contain it.
    """
    if not isinstance(value, str | Path):
        raise UsageError(f"{what} is {quoted(value)}; expected {expected}")
    require_text(what, str(value))
    return str(value)


def require_tasks(tasks: Any) -> tuple[str, ...]:
    """Checks the names of tasks: one, or a sequence of them.

    Raises:
        UsageError: If they are neither.
    """
    names = (tasks,) if isinstance(tasks, str) else tasks
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise UsageError(
            f"tasks is {quoted(tasks)}; expected the names of tasks in a list, or () for those of the model"
        )
    return tuple(names)


def loading_of(options: Mapping[str, Any]) -> Loading:
    """Extracts how to load a model.

    Args:
        options: Checked by `require_options`; options unrelated to loading are ignored.

    Raises:
        UsageError: If the user's list of trusted checkpoints is malformed.
        SetupError: If that list cannot be read.
    """
    from harness.trust.trusted_files import trusted_files

    given = {name: options[name] for name in LoadOptions.__dataclass_fields__ if name in options}
    given["threads"] = operator.index(given.get("threads", usable_cpus()))
    load = LoadOptions(**given, trusted_files=trusted_files())
    family = options.get("family") or (OF_CALCULATORS if load.calculator else None)
    return Loading(family, load, options.get("isolation", "auto"))


def require_use_of_calculator(sources: "Sequence[ModelSource]", calculator: str | None) -> None:
    """Checks that a calculator makes at least one of the models.

    Args:
        sources: The models, of any families; a known name is computed by its own.
        calculator: The user's function, or `None`.

    Raises:
        UsageError: If each model has another family.
    """
    if calculator is not None and all(source.family.name != OF_CALCULATORS for source in sources):
        names = ", ".join(f"{source.model_id} (family {source.family.name})" for source in sources)
        raise UsageError(
            f"--calculator {calculator} has no effect on {names}; expected a model that it makes, under a name that is "
            "not built in and without another --family. Give --model another name or a path such as ./name, or leave "
            "out --calculator"
        )


def datasets_of(dataset: "str | Path | PinnedDataset", options: EvaluationOptions) -> "tuple[PinnedDataset, ...]":
    """Opens the data set at the level of theory in the options; for `auto`, at every level that it has.

    Args:
        dataset: Its name, or an open data set.
        options: Checked by `require_options`.

    Raises:
        UsageError: If an open data set has labels at another level.
        MlipOodError: If it cannot be opened.
    """
    from harness.data.dataset import PinnedDataset
    from harness.data.label_choice import AUTO, open_labels

    labels = options.get("labels", AUTO)
    if not isinstance(dataset, PinnedDataset):
        expected = f"`{DEFAULT_DATASET}`, the path of a folder, a Hub id, or an open data set"
        return open_labels(require_name("the data set", dataset, expected), labels)
    if labels not in (AUTO, dataset.level.name):
        raise UsageError(
            f"--labels {labels}, but {dataset.id} was opened with labels of {dataset.level.name}; leave labels out, or "
            "give the name of the data set"
        )
    return (dataset,)


def run_options(datasets: "Sequence[PinnedDataset]", tasks: Sequence[str], options: EvaluationOptions) -> "RunOptions":
    """Translates keyword options into the options of an evaluation.

    Args:
        datasets: The data set at one or more levels.
        tasks: Tasks by name; if empty, those of the model or the data set.
        options: Checked by `require_options`.

    Raises:
        UsageError: If a task is unknown, or options contradict each other.
    """
    from harness.data.dataset import named_tasks
    from harness.evaluation.job_choice import job_choice
    from harness.evaluation.run import RunOptions
    from harness.models.training_declaration import statement_of

    statement = statement_of(options.get("trained_on"), options.get("protocol"), options.get("base"))
    if statement is not None:
        named_tasks(datasets, [statement.task])
    loading = loading_of(options)
    return RunOptions(
        tasks=named_tasks(datasets, tasks),
        output=Path(options.get("output", DEFAULT_OUTPUT)),
        batch_atoms=_number(options.get("batch_atoms")),
        load=loading.options,
        isolation=loading.isolation,
        level_of_theory=options.get("level_of_theory"),
        statement=statement,
        training_smiles=_training_smiles(options.get("training_smiles")),
        quiet=options.get("quiet", False),
        jobs=job_choice(_number(options.get("jobs")), loading.options.device, loading.isolation),
    )


def _number(given: SupportsIndex | Literal["auto"] | None) -> int | None:
    """A number as Python's own integer; `None` for `auto`."""
    return None if given is None or isinstance(given, str) else operator.index(given)


def _training_smiles(given: str | Path | None) -> Path | None:
    if given is None:
        return None
    path = Path(given)
    if not path.is_file():
        raise UsageError(f"--training-smiles {path}: no such file; expected a text file with one SMILES a line")
    return path
