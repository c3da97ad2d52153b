"""The numbers of a result as the Hub keeps them: in `.eval_results/mlip-ood.yaml`, and in a card's `model-index`."""

import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from dataset_builders.card.numbers import NUMBERS, LeaderboardNumber, leaderboard_id, parse_leaderboard_id
from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import in_order, title_of
from harness.method.document import MeanResult
from harness.results.result import DatasetRecord, Estimate, PartName, RunResult, TaskResult
from model_cards.entries.entry_check import checked_entry, entry_identity, shown
from model_cards.hub.dataset_names import as_written
from model_cards.text.yaml_text import Items, fill_empty, load_yaml, merge_items

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry

ENTRIES_PATH: Final = ".eval_results/mlip-ood.yaml"
RESULTS_FILE: Final = re.compile(r"\.eval_results/[^/]+\.yaml")
"""Files in which the Hub looks for results."""
BENCHMARK_TAG: Final = "mlip-ood"
"""Tag on the card of every model with results, and what a source of results is called."""
PULL_REQUEST_TITLE: Final = "Add mlip-ood evaluation results"

DIGITS: Final = 2
"""Digits after the point of every published number and of its interval, in its published unit."""

_CLUSTERS: Final = "clusters"
"""Note of what an interval draws; one without it is of the former kind, by bootstrap over molecules."""

TASK_TYPE: Final = "graph-ml"
_HARNESS: Final = "mlip-ood"
"""Name of this package among those that a result lists."""
METHOD: Final = "method"
"""Key of the tasks of a method in notes: the number is the mean over seeds of one of its tasks."""

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

# What would end a note or a line, be lost at its ends, or look as if it were encoded.
_SPECIAL: Final = re.compile(r"[;\x00-\x1f\x7f\x85\u2028\u2029]|\A\s|\s\Z|%(?=[0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of entries that anybody may have written.

    Attributes:
        entries: Those that are sound.
        faults: Of each of the others, which it is and what is wrong with it, in one line.
    """

    entries: tuple["EvalResultEntry", ...]
    faults: tuple[str, ...] = ()


def entries_of(result: RunResult, model: str) -> list["EvalResultEntry"]:
    """The entries of a result, the scores first; a number that is undefined has none.

    Args:
        result: One that `model_cards.publishing.publishable` lets pass.
        model: What the command line calls the model, pinned: `org/name@commit[/path]`.
    """
    from huggingface_hub import EvalResultEntry

    return [
        EvalResultEntry(
            dataset_id=result.dataset.id,
            task_id=leaderboard_id(result.dataset.config(task.task), number),
            value=published_value(estimate.value, number),
            dataset_revision=pinned_commit(result.dataset),
            date=result.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            source_url=_source_url(result.dataset),
            source_name=BENCHMARK_TAG,
            notes=format_notes(_notes(result, task, number, estimate, model)),
        )
        for task, number, estimate in _published(result)
        if estimate.value is not None
    ]


def eval_results_of(result: RunResult) -> list["EvalResult"]:
    """The same numbers in the form of a `model-index`, task by task and split by split."""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type=TASK_TYPE,
            task_name=title_of(task.task, task.title),
            dataset_type=result.dataset.id,
            dataset_name=f"{result.dataset.id.rpartition('/')[2]} {result.dataset.config(task.task)}",
            dataset_config=result.dataset.config(task.task),
            dataset_split=number.split,
            dataset_revision=pinned_commit(result.dataset),
            metric_type=_METRIC_LABELS[number.name][0],
            metric_name=_METRIC_LABELS[number.name][1],
            metric_value=published_value(estimate.value, number),
            source_name=BENCHMARK_TAG,
            source_url=_source_url(result.dataset),
        )
        for task, number, estimate in sorted(_published(result), key=_by_split)
        if estimate.value is not None
    ]


def merge_entries(
    text: str | None, entries: Sequence["EvalResultEntry"], today: Callable[[str], str] = as_written
) -> str:
    """The file of entries with these in it.

    Entries of the same data set and configurations are replaced where they stand, and go where their number is no
    longer defined. All others keep their bytes.

    Args:
        text: The file as it is; `None` where there is none.
        entries: Entries of whole configurations.
        today: Gives the id of today of a data set that the file may name by an earlier one.

    Raises:
        DataError: If the file is not a YAML list.
    """
    from huggingface_hub import eval_result_entries_to_yaml

    present = _items(text or "", ENTRIES_PATH)
    documents = eval_result_entries_to_yaml(list(entries))
    if not present and load_yaml(text or "", ENTRIES_PATH) is None:
        return fill_empty(text or "", documents, ENTRIES_PATH)
    configs = {(entry.dataset_id, config_and_number(entry)[0]) for entry in entries}
    replaced = {(dataset, leaderboard_id(config, number)) for dataset, config in configs for number in NUMBERS}

    def identity_of(item: Any) -> Hashable | None:
        identity = benchmark_identity(item, today)
        return identity if identity in replaced else None

    wanted = {(entry.dataset_id, entry.task_id): each for entry, each in zip(entries, documents, strict=True)}
    return merge_items(text or "", (), Items(wanted, identity_of), ENTRIES_PATH)


def read_entries(text: str) -> list["EvalResultEntry"]:
    """The benchmark's entries in a file that are sound, on whatever data set; see `examine_entries`.

    Raises:
        DataError: If the file is not a YAML list.
    """
    return [*examine_entries(text).entries]


def benchmark_identity(item: Any, today: Callable[[str], str] = as_written) -> tuple[str, str] | None:
    """Data set and task id of an entry of the benchmark; `None` for something else.

    Args:
        item: What the file says.
        today: Gives the id of today of a data set.
    """
    identity = entry_identity(item)
    if identity is None or parse_leaderboard_id(identity[1]) is None:
        return None
    return today(identity[0]), identity[1]


def examine_entries(
    text: str,
    name: str = ENTRIES_PATH,
    datasets: Collection[str] | None = None,
    today: Callable[[str], str] = as_written,
) -> Examined:
    """The benchmark's entries in a file that anybody may have written, each checked on its own.

    Entries under an earlier id of a data set give way to those of the same data under its id of today, which are newer.

    Args:
        text: The file.
        name: What it is called, for the message of an error.
        datasets: Data sets whose entries are wanted, by their ids of today; `None` for all.
        today: Gives the id of today of a data set; the entries are given under it.

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
            entries.append((entry.dataset_id, replace(entry, dataset_id=identity[0])))
        except DataError as cause:
            faults.append(f"entry {place}, {shown(identity[1])}: {cause}")
    newer = {_measured(entry) for written, entry in entries if written == entry.dataset_id}
    older = [written != entry.dataset_id and _measured(entry) in newer for written, entry in entries]
    faults += dict.fromkeys(
        f"{config_and_number(entry)[0]}: entries under {written}, an earlier id of {entry.dataset_id}, give way to "
        "those under the id of today"
        for (written, entry), is_older in zip(entries, older, strict=True)
        if is_older
    )
    return Examined(
        tuple(entry for (_, entry), is_older in zip(entries, older, strict=True) if not is_older), tuple(faults)
    )


def _measured(entry: "EvalResultEntry") -> tuple[str, str, str | None]:
    """Data set, configuration, and content of the data that an entry was measured on."""
    return entry.dataset_id, config_and_number(entry)[0], parse_notes(entry.notes or "").get("content")


def _items(text: str, name: str) -> list[Any]:
    present = load_yaml(text, name)
    if present is None:
        return []
    if not isinstance(present, list):
        raise DataError(
            f"{name} holds a {type(present).__name__}; expected a list of results. Correct or remove it first"
        )
    return present


def config_and_number(entry: "EvalResultEntry") -> tuple[str, LeaderboardNumber]:
    """Configuration and number of an entry of the benchmark, as `read_entries` and `entries_of` give them.

    Raises:
        DataError: If it is none.
    """
    found = parse_leaderboard_id(entry.task_id)
    if found is None:
        raise DataError(f"{entry.task_id!r} is no id of this benchmark; expected CONFIG_NUMBER, such as task3_score")
    return found


def published_value(value: float, number: LeaderboardNumber) -> float:
    """A number as it is published: in its unit, rounded to `DIGITS` digits after the point."""
    return round(value / (MILLI if number.unit else 1.0), DIGITS)


def format_notes(notes: Mapping[str, str]) -> str:
    """Writes notes as `key: value; key: value`; what would break that form is percent-encoded."""
    return "; ".join(
        f"{key}: {_SPECIAL.sub(lambda found: quote(found[0], safe=''), value)}" for key, value in notes.items()
    )


def parse_notes(text: str) -> dict[str, str]:
    """Reads what `format_notes` wrote; parts of another form, which others may write, are left out."""
    parts = (part.partition(":") for part in text.split(";"))
    return {key.strip(): unquote(value.strip()) for key, colon, value in parts if colon}


def has_former_interval(notes: Mapping[str, str]) -> bool:
    """Whether a number was published with an interval of the kind that results of version 1.0 have."""
    return "interval" in notes and _CLUSTERS not in notes


def pinned_commit(dataset: DatasetRecord) -> str:
    """The commit of a data set on the Hub.

    Raises:
        UsageError: If it is not one on the Hub.
    """
    if dataset.revision is None:
        raise UsageError(
            f"the result is on the data set {dataset.id!r}, which is not pinned to a commit on the Hub, so nobody else "
            "could find the same data; evaluate with --dataset org/name@revision, and push that result"
        )
    return dataset.revision


def _published(result: RunResult) -> Iterator[tuple[TaskResult, LeaderboardNumber, Estimate]]:
    for number in NUMBERS:
        for name in in_order(result.tasks):
            task = result.tasks[name]
            yield task, number, _estimate(task, number)


def _by_split(published: tuple[TaskResult, LeaderboardNumber, Estimate]) -> tuple[str, bool]:
    return published[0].task, published[1].split != "test_ood"


def _estimate(task: TaskResult, number: LeaderboardNumber) -> Estimate:
    if number.name == "score":
        return task.score
    if number.name == "gap":
        return task.gap
    part, metric = _METRICS[number.name]
    return task.splits[part].metrics[metric]


def _notes_of_seeds(result: RunResult, task: TaskResult, number: LeaderboardNumber) -> dict[str, str | None]:
    """What a number of a method is the mean of; of one model there is nothing to say."""
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
    """What one needs to judge a number and to measure it again."""
    used, environment = result.model, result.environment
    low, high = (None if end is None else published_value(end, number) for end in (estimate.low, estimate.high))
    packages = dict(environment.packages)
    # Results of an earlier version do not name it.
    harness = packages.pop(_HARNESS, None)
    notes = {
        "protocol": task.protocol,
        "trained on": task.task if isinstance(result, MeanResult) else used.trained_on,
        # Of a published model that is known here, nothing is asked.
        "training": "not stated" if used.question else used.training,
        "stated by": used.stated_by,
        "base": used.base,
        "training data": used.unchecked,
        "unit": number.unit,
        "interval": None if low is None else f"{low:.{DIGITS}f} to {high:.{DIGITS}f}",
        **_notes_of_seeds(result, task, number),
        "confidence": None if low is None else f"{100 * result.settings.confidence:g} %",
        _CLUSTERS: None if low is None else f"{estimate.n_clusters or ''} {task.clusters}s".strip(),
        "dtype": used.dtype,
        "device": used.device,
        "edition": result.dataset.edition,
        "content": result.dataset.content_hash[:SHORT_HASH],
        "labels": result.dataset.level_of_theory,
        "level of theory": used.level_of_theory,
        "level stated by": "the user" if used.level_is_stated else None,
        "model": model,
        "family": used.family,
        "head": used.head,
        "batch atoms": None if result.settings.batch_atoms is None else str(result.settings.batch_atoms),
        "harness": harness,
        "code": environment.code_hash[:SHORT_HASH],
        "python": environment.python,
        "packages": ", ".join(f"{name} {each}" for name, each in sorted(packages.items())),
    }
    return {key: value for key, value in notes.items() if value}


def _source_url(dataset: DatasetRecord) -> str:
    """The data at the commit: what the number was measured on, and where the benchmark is described."""
    return f"{Repo(dataset.id, 'dataset').url}/tree/{pinned_commit(dataset)}"
