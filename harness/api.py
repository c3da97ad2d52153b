"""The Python interface, also used by the command line: `from harness import calculator, compare, evaluate, ...`.

Keyword options are those of the command line, with `_` for `-`; see `harness.evaluation.options`. Every error is a
child of `dataset_builders.core.errors.MlipOodError`, whose message names options as the command line does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack, overload

from dataset_builders.chemistry.levels import GFN2, find_level
from dataset_builders.core.errors import UsageError
from dataset_builders.core.shown import quoted
from harness.evaluation.options import (
    DEFAULT_DATASET,
    EvaluationOptions,
    LoadingOptions,
    datasets_of,
    loading_of,
    require_name,
    require_options,
    require_tasks,
    require_use_of_calculator,
    run_options,
)

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset
    from harness.evaluation.run import FinishedRun
    from harness.inference.calculator import PotentialCalculator
    from harness.inference.loaded_potential import LoadedPotential
    from harness.models.registry import ModelSource
    from harness.results.result import RunResult
    from harness.scoring.intervals import Interval

_A_MODEL: Final = "the name, path or Hub id of a model, or a list of them"
_A_RESULT: Final = "the return value of `evaluate`, the folder of a run, or a `result.json` file"
_RESULTS: Final = "a list of two or more: return values of `evaluate`, folders of runs, or `result.json` files"


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """The force errors of two models on one test split, paired by molecule.

    Attributes:
        task: Task.
        split: `test_id` or `test_ood`.
        model: Id of the model, with what differs if several results have the same id.
        compared_with: The same for the first model that has a result on the task.
        difference: Force MAE of the model minus that of the other, eV/Å, with its interval.
        ratio: Force MAE of the model divided by that of the other.
    """

    task: str
    split: str
    model: str
    compared_with: str
    difference: "Interval"
    ratio: "Interval"


@overload
def evaluate(  # type: ignore[overload-overlap]  # a str is also a Sequence[str]; the first overload applies
    model: str | Path,
    *,
    dataset: "str | Path | PinnedDataset" = ...,
    tasks: str | Sequence[str] = ...,
    **options: Unpack[EvaluationOptions],
) -> "RunResult": ...
@overload
def evaluate(
    model: Sequence[str | Path],
    *,
    dataset: "str | Path | PinnedDataset" = ...,
    tasks: str | Sequence[str] = ...,
    **options: Unpack[EvaluationOptions],
) -> "list[RunResult]": ...
def evaluate(
    model: str | Path | Sequence[str | Path],
    *,
    dataset: "str | Path | PinnedDataset" = DEFAULT_DATASET,
    tasks: str | Sequence[str] = (),
    **options: Unpack[EvaluationOptions],
) -> "RunResult | list[RunResult]":
    """Evaluates one or several models, and writes the same folders of results as the command `evaluate`.

    A second call with the same model, data and options reuses the saved predictions. Structures that a
    model cannot compute are listed in the result, and a task with any of them has no score.

    Args:
        model: A built-in name, the path of a checkpoint, or a Hub id `org/name[@revision][/file]`; or several of them,
            all of which are resolved before the first is loaded.
        dataset: `mini`, a folder, a Hub id, or the return value of `open_dataset`.
        tasks: Tasks by name; none for the task that a model was trained on, else all tasks of the data set.
        **options: As for the command; see `harness.evaluation.options.EvaluationOptions`.

    Returns:
        The result of a model; for several models, a list in their order.

    Raises:
        UsageError: If an option, a task or a model is unknown or incompatible, or several processes share the work;
            use `evaluate_models` for that.
        DataError: If the data set is absent or violates its schema.
        ModelError: If a model cannot be loaded, or lacks parameters for an element.
        SetupError: If a package, the network or a writable folder is missing.
    """
    from harness.inference.ranks import current_ranks

    if current_ranks().world_size > 1:
        raise UsageError(
            f"evaluate was called in one of {current_ranks().world_size} processes (WORLD_SIZE); use "
            "harness.api.evaluate_models, which shares the work and returns the runs in the first process"
        )
    models = [model] if isinstance(model, str | Path) else _listed("the model", model, _A_MODEL)
    runs = evaluate_models(models, dataset=dataset, tasks=tasks, **options)
    by_model = dict(zip(dict.fromkeys(map(str, models)), (run.result for run in runs), strict=True))
    results = [by_model[str(each)] for each in models]
    return results[0] if isinstance(model, str | Path) else results


def evaluate_models(
    models: Sequence[str | Path],
    *,
    dataset: "str | Path | PinnedDataset" = DEFAULT_DATASET,
    tasks: str | Sequence[str] = (),
    check: "Callable[[PinnedDataset, Sequence[ModelSource]], None] | None" = None,
    **options: Unpack[EvaluationOptions],
) -> "list[FinishedRun]":
    """Evaluates models and returns results with their folders; processes started by `torchrun` share the work.

    Args:
        models: One or more; each is evaluated once.
        dataset: As for `evaluate`.
        tasks: As for `evaluate`.
        check: Called with the data set and the models after all have been found and before any is loaded, so that it
            can refuse a useless evaluation.
        **options: As for `evaluate`.

    Returns:
        A run for each model; none in processes other than the first.

    Raises:
        MlipOodError: As `evaluate` does.
    """
    require_options(options, EvaluationOptions)
    names = list(dict.fromkeys(require_name("the model", model, _A_MODEL) for model in models))
    named_tasks = require_tasks(tasks)
    if not names:
        raise UsageError("no model is given; expected the name, path or Hub id of one or more")
    if options.get("training_smiles") is not None and len(names) > 1:
        raise UsageError(
            f"--training-smiles is the list of one model, and {len(names)} are given; evaluate that model by itself"
        )
    from harness.evaluation.run import evaluate_model
    from harness.inference.meeting import meeting
    from harness.inference.ranks import current_ranks

    # One meeting for all models, since its server cannot be started twice in a command.
    with meeting(current_ranks()) as together:
        datasets = datasets_of(dataset, options)
        how = run_options(datasets, named_tasks, options)
        # Before any model is loaded, since code from a checkpoint must not run while a token is in use.
        sources = [_source(name, options) for name in names]
        require_use_of_calculator(sources, options.get("calculator"))
        if check is not None:
            check(datasets[0], sources)
        finished = [evaluate_model(source, datasets, how, together) for source in sources]
    return [run for run in finished if run is not None]


def load_potential(model: str | Path, **options: Unpack[LoadingOptions]) -> "LoadedPotential":
    """Loads a model for batches of molecules; close it, or use it in a `with` block.

    Args:
        model: A built-in name, the path of a checkpoint, or a Hub id.
        **options: As for the command; see `harness.evaluation.options.LoadingOptions`.

    Returns:
        The potential: `traits` describes it, and `compute(batch)` returns energies (eV) and forces (eV/Å);
        `harness.inference.ase_structures.batch_of` makes a batch from ASE `Atoms`.

    Raises:
        UsageError: If an option or the model is unknown, or the model does not support an option.
        ModelError: If the checkpoint cannot be loaded.
        SetupError: If a package, the network or memory is missing.
    """
    from harness.inference.loaded_potential import LoadedPotential

    require_options(options, LoadingOptions)
    name = require_name("the model", model, _A_MODEL)
    loading = loading_of(options)
    source = _source(name, options)
    require_use_of_calculator([source], loading.options.calculator)
    return LoadedPotential(source, loading.options, loading.isolation)


def calculator(
    model: str | Path, *, smiles: str | None = None, **options: Unpack[LoadingOptions]
) -> "PotentialCalculator":
    """An ASE calculator for any model that the harness loads; close it, or use it in a `with` block.

    Args:
        model: A built-in name, the path of a checkpoint, or a Hub id.
        smiles: SMILES of the molecule, for models that need bonds (mmff94, additive); the atoms must follow RDKit's
            order, `AddHs(MolFromSmiles(smiles))`.
        **options: As for `load_potential`.

    Raises:
        MlipOodError: As `load_potential` does.
    """
    from harness.inference.calculator import PotentialCalculator

    if smiles is not None and not isinstance(smiles, str):
        raise UsageError(f"smiles is {quoted(smiles)}; expected the SMILES of the molecule as text, or None")
    return PotentialCalculator(load_potential(model, **options), smiles)


def open_dataset(dataset: str | Path, labels: str = GFN2.name) -> "PinnedDataset":
    """Finds a data set and pins its content at one level of theory.

    Args:
        dataset: `mini`, a folder, a Hub id `org/name[@revision]`, or `hf://datasets/org/name[@revision]`.
        labels: Level of theory of the labels.

    Raises:
        UsageError: If the level is unknown.
        DataError: If the data set is absent, has no task at the level, or is damaged.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    from harness.data import dataset as data

    name = require_name("the data set", dataset, "`mini`, the path of a folder, or a Hub id")
    return data.open_dataset(name, find_level(require_name("labels", labels, f"a level such as {GFN2.name}")))


def compare(results: "Sequence[RunResult | str | Path]") -> list[ModelComparison]:
    """Compares results with the first one of each task, paired by molecule, on ID and on OOD.

    Args:
        results: Two or more on the same data: return values of `evaluate`, folders of runs, or `result.json` files.

    Raises:
        UsageError: If there are fewer than two results, no task has two, or two results are of one evaluation.
        DataError: If the results are on different data, or a file is not a result.
    """
    from harness.report.compare import comparisons
    from harness.results.result import RunResult, load_results

    given = _listed("results", results, _RESULTS)
    read = [
        each if isinstance(each, RunResult) else load_results([Path(require_name("a result", each, _A_RESULT))])[0]
        for each in given
    ]
    if len(read) < 2:
        raise UsageError(f"{len(read)} results; a comparison needs two or more")
    return [
        ModelComparison(
            pair.task,
            pair.split,
            pair.model_name,
            pair.other_name,
            pair.comparison.difference,
            pair.comparison.ratio,
        )
        for pair in comparisons(read)
    ]


def _listed(what: str, values: Any, expected: str) -> list[Any]:
    """The values of a list, which one text or path is not."""
    if isinstance(values, str | Path) or not isinstance(values, Iterable):
        raise UsageError(f"{what} is {quoted(values)}; expected {expected}")
    return list(values)


def _source(model: str, options: EvaluationOptions | LoadingOptions) -> "ModelSource":
    from harness.models.resolve import resolve_model

    return resolve_model(model, loading_of(options).family)
