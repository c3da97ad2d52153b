"""What the Hub checks before it takes a commit: cards, benchmarks, results."""

import datetime as dt
import re
from collections.abc import Mapping

from tests.loopback_hub.card import README, as_json, front_matter
from tests.loopback_hub.checks import (
    InvalidFileError,
    decoded,
    items,
    loaded,
    mapping,
    optional_texts,
    refuse,
    text,
    texts,
)
from tests.loopback_hub.repos import Kind

EVAL_YAML = "eval.yaml"
RESULTS_FILE = re.compile(r"\.eval_results/[^/]+\.ya?ml")
LICENSES = frozenset(
    {
        "afl-3.0",
        "agpl-3.0",
        "apache-2.0",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsl-1.0",
        "cc-by-4.0",
        "cc-by-nc-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "eupl-1.2",
        "gpl-2.0",
        "gpl-3.0",
        "isc",
        "lgpl-2.1",
        "lgpl-3.0",
        "mit",
        "mpl-2.0",
        "odc-by",
        "openrail",
        "other",
        "unknown",
        "unlicense",
    }
)
"""The more common ones of the Hub's own list."""

FRAMEWORKS = ("hal-harness", "harbor", "inspect-ai", "math-arena", "mteb", "olmocr-bench", "verifiers")
"""Those of the Hub's list that are known here; the Hub adds to it on request."""

_NO_METADATA = (
    "empty or missing yaml metadata in repo card (https://huggingface.co/docs/hub/model-cards#model-card-metadata)"
)
_RESULT_FIELDS = frozenset({"dataset", "value", "verifyToken", "date", "source", "notes", "evaluation_framework"})
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPO_ID = re.compile(r"[\w.-]+/[\w.-]+")


def validate_files(kind: Kind, files: Mapping[str, bytes]) -> None:
    """Checks the files that a commit adds or changes.

    Raises:
        InvalidFileError: If one has a field that the Hub refuses.
    """
    for path, content in files.items():
        if path == README:
            validate_readme(kind, decoded(path, content))
        elif path == EVAL_YAML and kind == "dataset":
            parse_eval_yaml(content)
        elif RESULTS_FILE.fullmatch(path) and kind == "model":
            parse_eval_results(path, content)


def validate_readme(kind: Kind, readme: str) -> list[str]:
    """Checks the front matter of a README.md.

    Returns:
        Warnings.

    Raises:
        InvalidFileError: If a field is wrong.
    """
    yaml = front_matter(readme)
    card = None if yaml is None else loaded(README, yaml)
    if card is None:
        return [_NO_METADATA]
    card = mapping(README, "front matter", card)
    if card.get("license") is not None:
        _check_license(card["license"])
    for field in ("tags", "datasets"):
        if card.get(field) is not None:
            texts(README, field, card[field])
    optional_texts(README, card, "library_name", "pipeline_tag", "pretty_name")
    if kind == "dataset" and card.get("configs") is not None:
        _check_configs(card["configs"])
    if kind == "model" and card.get("model-index") is not None:
        _check_model_index(card["model-index"])
    return []


def _check_license(value: object) -> None:
    given = [value] if isinstance(value, str) else texts(README, "license", value)
    unknown = [name for name in given if name not in LICENSES]
    if unknown:
        refuse(README, "license", "among the licences that the Hub knows, such as mit, cc-by-4.0 or other", unknown[0])


def _check_configs(value: object) -> None:
    for number, item in enumerate(items(README, "configs", value)):
        at = f"configs[{number}]"
        config = mapping(README, at, item)
        text(README, f"{at}.config_name", config.get("config_name"))
        files = config.get("data_files", config.get("data_dir"))
        for entry in files if isinstance(files, list) else [files]:
            if isinstance(entry, dict):
                text(README, f"{at}.data_files.split", entry.get("split"))
                check = texts if isinstance(entry.get("path"), list) else text
                check(README, f"{at}.data_files.path", entry.get("path"))
            else:
                text(README, f"{at}.data_files", entry)


def _check_model_index(value: object) -> None:
    for number, item in enumerate(items(README, "model-index", value)):
        at = f"model-index[{number}]"
        model = mapping(README, at, item)
        text(README, f"{at}.name", model.get("name"))
        for index, result in enumerate(items(README, f"{at}.results", model.get("results"))):
            _check_result(f"{at}.results[{index}]", mapping(README, f"{at}.results[{index}]", result))


def _check_result(at: str, result: Mapping[str, object]) -> None:
    task = mapping(README, f"{at}.task", result.get("task"))
    text(README, f"{at}.task.type", task.get("type"))
    dataset = mapping(README, f"{at}.dataset", result.get("dataset"))
    text(README, f"{at}.dataset.type", dataset.get("type"))
    text(README, f"{at}.dataset.name", dataset.get("name"))
    for number, item in enumerate(items(README, f"{at}.metrics", result.get("metrics"))):
        metric = mapping(README, f"{at}.metrics[{number}]", item)
        text(README, f"{at}.metrics[{number}].type", metric.get("type"))
        if metric.get("value") is None:
            refuse(README, f"{at}.metrics[{number}].value", "given", None)


def parse_eval_yaml(content: bytes) -> Mapping[str, object]:
    """What a data set says of itself as a benchmark.

    Raises:
        InvalidFileError: If a field is missing or wrong.
    """
    benchmark = mapping(EVAL_YAML, "file", loaded(EVAL_YAML, decoded(EVAL_YAML, content)))
    text(EVAL_YAML, "name", benchmark.get("name"))
    text(EVAL_YAML, "description", benchmark.get("description"))
    framework = benchmark.get("evaluation_framework", FRAMEWORKS[0])
    if framework not in FRAMEWORKS:
        refuse(EVAL_YAML, "evaluation_framework", f"one of {', '.join(FRAMEWORKS)}", framework)
    tasks = items(EVAL_YAML, "tasks", benchmark.get("tasks"))
    if not tasks:
        refuse(EVAL_YAML, "tasks", "a list of at least one task", tasks)
    seen: set[str] = set()
    for number, item in enumerate(tasks):
        task = mapping(EVAL_YAML, f"tasks[{number}]", item)
        for field in ("id", "config", "split"):
            text(EVAL_YAML, f"tasks[{number}].{field}", task.get(field))
        if task["id"] in seen:
            refuse(EVAL_YAML, f"tasks[{number}].id", "unique", task["id"])
        seen.add(str(task["id"]))
    return benchmark


def parse_eval_results(path: str, content: bytes) -> list[Mapping[str, object]]:
    """The entries of a file of results.

    Raises:
        InvalidFileError: If one has a field that is missing, wrong or unknown.
    """
    entries = items(path, "file", loaded(path, decoded(path, content)))
    for number, item in enumerate(entries):
        _check_entry(path, f"[{number}]", mapping(path, f"[{number}]", item))
    return [mapping(path, "file", as_json(item)) for item in entries]


def _check_entry(path: str, at: str, entry: Mapping[str, object]) -> None:
    unknown = sorted(set(entry) - _RESULT_FIELDS)
    if unknown:
        raise InvalidFileError(f'{path}: "{at}.{unknown[0]}" is unknown; known are {", ".join(sorted(_RESULT_FIELDS))}')
    dataset = mapping(path, f"{at}.dataset", entry.get("dataset"))
    if not _REPO_ID.fullmatch(text(path, f"{at}.dataset.id", dataset.get("id"))):
        refuse(path, f"{at}.dataset.id", "the id of a data set, such as org/name", dataset["id"])
    text(path, f"{at}.dataset.task_id", dataset.get("task_id"))
    revision = dataset.get("revision")
    if revision is not None and not (isinstance(revision, str) and _COMMIT.fullmatch(revision)):
        refuse(path, f"{at}.dataset.revision", "a commit hash of 40 hexadecimal digits", revision)
    value = entry.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e308 < value < 1e308:
        refuse(path, f"{at}.value", "a number", value)
    if entry.get("date") is not None:
        _check_date(path, f"{at}.date", entry["date"])
    if entry.get("source") is not None:
        source = mapping(path, f"{at}.source", entry["source"])
        text(path, f"{at}.source.url", source.get("url"))
        optional_texts(path, source, "name", "user", "org", inside=f"{at}.source.")
    optional_texts(path, entry, "verifyToken", "notes", "evaluation_framework", inside=f"{at}.")


def _check_date(path: str, at: str, value: object) -> None:
    expected = "a string with an ISO-8601 date or time, in quotes"
    if not isinstance(value, str):
        refuse(path, at, expected, value)
    try:
        dt.datetime.fromisoformat(value)
    except ValueError:
        refuse(path, at, expected, value)
