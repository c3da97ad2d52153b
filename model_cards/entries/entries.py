"""The numbers of a result in the Hub's format: in `.eval_results/mlip-ood.yaml` and in a card's `model-index`."""

import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.card.numbers import NUMBERS, OVERALL_ID, LeaderboardNumber, number_id, parse_number_id
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.shown import shown
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.editions import RANKING
from dataset_builders.tasks.regions import in_order, title_of
from harness.method.document import MeanResult
from harness.report.signs import side_of_one
from harness.results.result import (
    USER,
    DatasetRecord,
    Estimate,
    ModelRecord,
    OverlapRecord,
    PartName,
    RunResult,
    TaskName,
    TaskResult,
)
from model_cards.entries.entry_check import checked_entry, entry_identity
from model_cards.entries.notes import CLUSTERS, EDITION, FACTORS, ROUNDING, format_notes, parse_notes
from model_cards.entries.scores import DIGITS, overall_entry, packed, published_value, unpacked, wrong_mean
from model_cards.entries.source import Source
from model_cards.hub.dataset_names import as_written
from model_cards.text.yaml_text import Items, fill_empty, load_yaml, merge_items

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

ENTRIES_PATH: Final = ".eval_results/mlip-ood.yaml"
"""File of the entries on the edition that ranks; those on others have files of their own, see `entries_path`."""
OWN_FILE: Final = re.compile(r"\.eval_results/mlip-ood(?:-[\w.-]+)?\.yaml", re.ASCII)
"""Files of entries that a push writes."""
RESULTS_FILE: Final = re.compile(r"\.eval_results/[^/]+\.yaml")
"""Files in which the Hub looks for results."""
BENCHMARK_TAG: Final = "mlip-ood"
"""Tag on the card of every model with results, and name of the source of results."""
PULL_REQUEST_TITLE: Final = "Add mlip-ood evaluation results"

TASK_TYPE: Final = "graph-ml"
_HARNESS: Final = "mlip-ood"
"""Name of this package in the package list of a result."""
METHOD: Final = "method"
"""Note key of the tasks of a method: the number is the mean over seeds of one of its tasks."""
_IN_THE_TRACE: Final = frozenset({"hardware", "memory", "python", "packages"})
"""Note keys that an entry with a trace leaves out: the notes are shown beside the number on the Hub."""

_METRICS: Final[Mapping[str, tuple[PartName, str]]] = {
    "ood_force_mae": ("test_ood", "force_mae"),
    "id_force_mae": ("test_id", "force_mae"),
    "ood_energy_mae": ("test_ood", "centred_energy_mae"),
    "id_energy_mae": ("test_id", "centred_energy_mae"),
}
"""Split and metric behind a published number."""

_METRIC_LABELS: Final = {
    "score": ("score", "score, 0 to 100"),
    "ood_force_mae": ("mae", "OOD force MAE, meV/Å"),
    "id_force_mae": ("mae", "ID force MAE, meV/Å"),
    "gap": ("gap", "gap, OOD / ID force MAE"),
    "ood_energy_mae": ("mae", "OOD relative energy MAE, meV"),
    "id_energy_mae": ("mae", "ID relative energy MAE, meV"),
}
"""Type and name of a published number in a `model-index`."""


@dataclass(frozen=True, slots=True)
class Examined:
    """The outcome of checking entries from an untrusted file.

    Attributes:
        entries: The valid entries.
        faults: One line for each invalid entry: which one, and what is wrong with it.
    """

    entries: tuple["EvalResultEntry", ...]
    faults: tuple[str, ...] = ()


def entries_of(result: RunResult, model: str, trace: Source | None = None) -> list["EvalResultEntry"]:
    """All numbers of a result as entries, scores first; an undefined number has no entry.

    `merge_entries` publishes the scores among them, with the other numbers in their notes.

    Args:
        result: A result that passes `model_cards.publishing.publishable`.
        model: The pinned model as on the command line: `org/name@commit[/path]`.
        trace: Where the predictions and the whole record are published; the notes leave out what only that needs.
    """
    from huggingface_hub import EvalResultEntry

    return [
        EvalResultEntry(
            dataset_id=result.dataset.id,
            task_id=number_id(result.dataset.config(task.task), number),
            value=published_value(estimate.value, number),
            dataset_revision=pinned_commit(result.dataset),
            date=result.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            source_url=_source_url(result.dataset) if trace is None else trace.url,
            source_name=BENCHMARK_TAG,
            source_user=None if trace is None else trace.user,
            source_org=None if trace is None else trace.org,
            notes=format_notes(_shortened(_notes(result, task, number, estimate, model), trace)),
        )
        for task, number, estimate in published_numbers(result)
        if estimate.value is not None
    ]


def eval_results_of(result: RunResult, trace: Source | None = None) -> list["EvalResult"]:
    """The same numbers in `model-index` format, by task and split."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=TASK_TYPE,
            task_name=title_of(task.task, task.title),
            dataset_type=result.dataset.id,
            dataset_name=f"{result.dataset.id.rpartition('/')[2]} {result.dataset.config(task.task)}",
            dataset_args={EDITION: result.dataset.edition},
            dataset_config=result.dataset.config(task.task),
            dataset_split=number.split,
            dataset_revision=pinned_commit(result.dataset),
            metric_type=_METRIC_LABELS[number.name][0],
            metric_name=_METRIC_LABELS[number.name][1],
            metric_value=published_value(estimate.value, number),
            source_name=BENCHMARK_TAG,
            source_url=_source_url(result.dataset) if trace is None else trace.url,
        )
        for task, number, estimate in sorted(published_numbers(result), key=_by_split)
        if estimate.value is not None
    ]


def entries_path(edition: str) -> str:
    """The file of a model repo with the entries on an edition.

    The Hub wants a file for each variant of a result. So a push of one edition replaces nothing of another.
    """
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", edition).strip("-.")
    return ENTRIES_PATH if edition == RANKING else ENTRIES_PATH.replace(".yaml", f"-{slug or 'unknown'}.yaml")


def merge_entries(
    text: str | None, entries: Sequence["EvalResultEntry"], today: Callable[[str], str] = as_written
) -> str:
    """Merges entries into a file of entries.

    Entries of the same data set and configurations are replaced in place, or removed if their number is no
    longer defined or no longer published. So is the overall score of the data set, which needs the scores of all four
    tasks, from this file and of one kind. All others stay unchanged.

    Args:
        text: The present file; `None` if there is none.
        entries: Entries of complete configurations.
        today: Returns the current id of a data set, which the file may name by an earlier id.

    Raises:
        DataError: If the file is not a YAML list.
    """
    from huggingface_hub import eval_result_entries_to_yaml

    present = _items(text or "", ENTRIES_PATH)
    configs = {(entry.dataset_id, config_and_number(entry)[0]) for entry in entries}
    datasets = dict.fromkeys(dataset for dataset, _ in configs)
    scores = packed(entries)
    stay = [each for each in _valid(present, today) if (each.dataset_id, config_and_number(each)[0]) not in configs]
    means = [overall_entry(each for each in (*stay, *scores) if each.dataset_id == dataset) for dataset in datasets]
    published = [*(each for each in means if each is not None), *scores]
    documents = eval_result_entries_to_yaml(published)
    if not present and load_yaml(text or "", ENTRIES_PATH) is None:
        return fill_empty(text or "", documents, ENTRIES_PATH)
    replaced = {(dataset, number_id(config, number)) for dataset, config in configs for number in NUMBERS}
    replaced |= {(dataset, OVERALL_ID) for dataset in datasets}

    def identity_of(item: Any) -> Hashable | None:
        identity = any_identity(item, today)
        return identity if identity in replaced else None

    wanted = {(entry.dataset_id, entry.task_id): each for entry, each in zip(published, documents, strict=True)}
    return merge_items(text or "", (), Items(wanted, identity_of), ENTRIES_PATH)


def read_entries(text: str) -> list["EvalResultEntry"]:
    """The valid benchmark entries in a file, on any data set; see `examine_entries`.

    Raises:
        DataError: If the file is not a YAML list.
    """
    return [*examine_entries(text).entries]


def any_identity(item: Any, today: Callable[[str], str] = as_written) -> tuple[str, str] | None:
    """As `benchmark_identity`, also of the overall score, which belongs to no configuration."""
    identity = entry_identity(item)
    if identity is not None and identity[1] == OVERALL_ID:
        return today(identity[0]), OVERALL_ID
    return benchmark_identity(item, today)


def benchmark_identity(item: Any, today: Callable[[str], str] = as_written) -> tuple[str, str] | None:
    """Data set and task id of an entry with numbers of a configuration; `None` for anything else.

    Args:
        item: The parsed item of the file.
        today: Returns the current id of a data set.
    """
    identity = entry_identity(item)
    if identity is None or parse_number_id(identity[1]) is None:
        return None
    return today(identity[0]), identity[1]


def examine_entries(
    text: str,
    name: str = ENTRIES_PATH,
    datasets: Collection[str] | None = None,
    today: Callable[[str], str] = as_written,
) -> Examined:
    """Checks each benchmark entry in an untrusted file separately.

    Entries under the current id of a data set are newer and replace those of the same data under an earlier id. The
    overall score is left out: whoever needs it computes it from the scores of the tasks.

    Args:
        text: The file.
        name: Its name, for error messages.
        datasets: Current ids of the data sets whose entries are wanted; `None` for all.
        today: Returns the current id of a data set; the returned entries use it.

    Raises:
        DataError: If the file is not a YAML list.
    """
    entries: list[tuple[str, EvalResultEntry]] = []
    faults = []
    for place, item in enumerate(_items(text, name), start=1):
        identity = benchmark_identity(item, today)
        if identity is None or (datasets is not None and identity[0] not in datasets):
            continue
        try:
            entry = checked_entry(item)
        except DataError as cause:
            faults.append(f"entry {place}, {shown(identity[1])}: {cause}")
            continue
        found, wrong = unpacked(entry)
        entries += [(each.dataset_id, replace(each, dataset_id=identity[0])) for each in found]
        faults += [f"entry {place}, {shown(identity[1])}: {cause}" for cause in wrong]
    faults += _wrong_means(_items(text, name), [entry for _, entry in entries], datasets, today)
    newer = {_measured(entry) for written, entry in entries if written == entry.dataset_id}
    older = [written != entry.dataset_id and _measured(entry) in newer for written, entry in entries]
    faults += dict.fromkeys(
        f"{config_and_number(entry)[0]}: entries under {written}, an earlier id of {entry.dataset_id}, are replaced by "
        "those under its current id"
        for (written, entry), is_older in zip(entries, older, strict=True)
        if is_older
    )
    return Examined(
        tuple(entry for (_, entry), is_older in zip(entries, older, strict=True) if not is_older), tuple(faults)
    )


def _wrong_means(
    items: Sequence[Any],
    entries: Sequence["EvalResultEntry"],
    datasets: Collection[str] | None,
    today: Callable[[str], str],
) -> Iterator[str]:
    """Overall scores among items that are not the mean of the scores of the four tasks, one line each."""
    for place, item in enumerate(items, start=1):
        identity = any_identity(item, today)
        if identity is None or identity[1] != OVERALL_ID or (datasets is not None and identity[0] not in datasets):
            continue
        fault = wrong_mean(item.get("value"), [entry for entry in entries if entry.dataset_id == identity[0]])
        if fault is not None:
            yield f"entry {place}, {OVERALL_ID}: {fault}"


def _valid(items: Sequence[Any], today: Callable[[str], str]) -> Iterator["EvalResultEntry"]:
    """The valid entries among items, under the current ids of their data sets."""
    for item in items:
        identity = benchmark_identity(item, today)
        if identity is not None:
            with suppress(DataError):
                yield replace(checked_entry(item), dataset_id=identity[0])


def _measured(entry: "EvalResultEntry") -> tuple[str, str, str | None]:
    """Data set, configuration and content hash of the data that an entry was measured on."""
    return entry.dataset_id, config_and_number(entry)[0], parse_notes(entry.notes).get("content")


def _items(text: str, name: str) -> list[Any]:
    present = load_yaml(text, name)
    if present is None:
        return []
    if not isinstance(present, list):
        raise DataError(
            f"{name} contains a {type(present).__name__}; expected a list of results. Correct or remove it first"
        )
    return present


def config_and_number(entry: "EvalResultEntry") -> tuple[str, LeaderboardNumber]:
    """Configuration and number of a benchmark entry, as `read_entries` and `entries_of` return them.

    Raises:
        DataError: If it is not a benchmark entry.
    """
    found = parse_number_id(entry.task_id)
    if found is None:
        raise DataError(
            f"{entry.task_id!r} is not an id of this benchmark; expected CONFIG_NUMBER, such as task3_score"
        )
    return found


def pinned_commit(dataset: DatasetRecord) -> str:
    """The commit of a data set on the Hub.

    Raises:
        UsageError: If the data set is not on the Hub.
    """
    if dataset.revision is None:
        raise UsageError(
            f"the result is on the data set {dataset.id!r}, which is not pinned to a commit on the Hub, so others "
            "cannot find the same data; evaluate with --dataset org/name@revision, and push that result"
        )
    return dataset.revision


def published_numbers(result: RunResult) -> Iterator[tuple[TaskResult, LeaderboardNumber, Estimate]]:
    """All numbers of a result with their tasks, scores first; an undefined number has the value `None`."""
    for number in NUMBERS:
        for name in in_order(result.tasks):
            task = result.tasks[name]
            yield task, number, number_of(task, number)


def _by_split(published: tuple[TaskResult, LeaderboardNumber, Estimate]) -> tuple[str, bool]:
    return published[0].task, published[1].split != "test_ood"


def number_of(task: TaskResult, number: LeaderboardNumber) -> Estimate:
    """The value of a published number in a result, in eV and Å, with its interval."""
    if number.name == "score":
        return task.score
    if number.name == "gap":
        return task.gap
    part, metric = _METRICS[number.name]
    return task.splits[part].metrics[metric]


def _notes_of_seeds(result: RunResult, task: TaskResult, number: LeaderboardNumber) -> dict[str, str | None]:
    """The seeds that a number of a method averages; empty for a single model."""
    if not isinstance(result, MeanResult):
        return {}
    seeds = result.seeds[task.task]
    spread = seeds.numbers.get(number.name)
    deviation = None if spread is None else spread.standard_deviation
    return {
        METHOD: " ".join(in_order(result.tasks)),
        "seeds": str(len(seeds.seeds)),
        "standard deviation": None if deviation is None else f"{published_value(deviation, number):.{DIGITS}f}",
    }


def _notes(
    result: RunResult, task: TaskResult, number: LeaderboardNumber, estimate: Estimate, model: str
) -> dict[str, str]:
    """Notes needed to judge a number and to measure it again."""
    used, environment, cost = result.model, result.environment, result.cost
    low, high = (None if end is None else published_value(end, number) for end in (estimate.low, estimate.high))
    packages = dict(environment.packages)
    # Results of earlier versions do not record it.
    harness = packages.pop(_HARNESS, None)
    notes = {
        "protocol": task.protocol,
        "trained on": task.task if isinstance(result, MeanResult) else used.trained_on,
        EDITION: result.dataset.edition,
        # For a published model in our list, no statement is needed.
        "training": "not stated" if used.question else used.training,
        "stated by": used.stated_by,
        "base": used.base,
        "training data": used.unchecked,
        "unit": number.unit,
        "interval": None if low is None else f"{low:.{DIGITS}f} to {high:.{DIGITS}f}",
        **_notes_of_seeds(result, task, number),
        "confidence": None if low is None else f"{100 * result.settings.confidence:g} %",
        CLUSTERS: None if low is None else f"{estimate.n_clusters or ''} {task.clusters}s".strip(),
        FACTORS: _factors(task) if number.name == "score" else None,
        "dtype": used.dtype,
        ROUNDING: None if used.lowered_precision is None else used.lowered_precision.text,
        "device": used.device,
        "content": result.dataset.content_hash[:SHORT_HASH],
        "labels": result.dataset.level_of_theory,
        "level of theory": used.level_of_theory,
        "level stated by": _source_of_level(used),
        "floor": _floor(result),
        "overlap": _overlap(used, task.task),
        "model": model,
        "family": used.family,
        "head": used.head,
        "speed": None if cost is None or cost.structures_per_second is None else cost.speed_text,
        "hardware": None if cost is None else cost.hardware_text,
        "memory": None if cost is None else cost.memory_text,
        "batch atoms": None if result.settings.batch_atoms is None else str(result.settings.batch_atoms),
        "harness": harness,
        "code": environment.code_hash[:SHORT_HASH],
        "python": environment.python,
        "packages": ", ".join(f"{name} {each}" for name, each in sorted(packages.items())),
    }
    return {key: value for key, value in notes.items() if value}


def _factors(task: TaskResult) -> str | None:
    """What the gap of a task is made of, such as `composition 1.21 (>1), remaining 1.62`; `None` if not computed."""
    if task.anatomy is None:
        return None
    factors = [
        (name.replace("_", " "), each.value, side_of_one(each.low, each.high).strip())
        for name, each in task.anatomy.factors.items()
    ]
    return ", ".join(f"{name} {value:.{DIGITS}f}" + (f" ({side})" if side else "") for name, value, side in factors)


def _shortened(notes: dict[str, str], trace: Source | None) -> dict[str, str]:
    """The notes that stand beside a number where its trace has all of them."""
    return notes if trace is None else {key: value for key, value in notes.items() if key not in _IN_THE_TRACE}


def _source_of_level(model: ModelRecord) -> str | None:
    """Who states the level of theory of a model, where its files do not."""
    if model.level_is_stated:
        return USER
    return f"the name of {model.known_as}" if model.known_by == "name" else None


def _floor(result: RunResult) -> str | None:
    if result.floor is None:
        return None
    return f"{result.floor.test_id / MILLI:.1f} meV/Å on ID, {result.floor.test_ood / MILLI:.1f} on OOD"


def _overlap(model: ModelRecord, task: TaskName) -> str | None:
    """Test molecules of a task that the model is known to have been trained on."""
    if not isinstance(model.overlap, OverlapRecord):
        return None
    names = [name for of_split in model.overlap.molecules.get(task, {}).values() for name in of_split]
    return f"{' '.join(names)}, by {model.overlap.source}" if names else None


def _source_url(dataset: DatasetRecord) -> str:
    """Link to the data set at the commit that the number was measured on, which also describes the benchmark."""
    return f"{Repo(dataset.id, 'dataset').url}/tree/{pinned_commit(dataset)}"
