"""Results in the format of Every Eval Ever, which has fields for direction, unit and interval of a number.

Source: the schema `eval.schema.json` 0.3.0 of the package `every-eval-ever`. Its files lie at
`data/<collection>/<developer>/<model>/<uuid>.json`.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

from dataset_builders.card.numbers import NUMBERS, LeaderboardNumber, number_id
from dataset_builders.core.commands import DISTRIBUTION
from dataset_builders.core.errors import UsageError
from dataset_builders.core.hashes import text_sha256
from dataset_builders.core.shown import quoted
from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.tasks.regions import in_order, title_of
from harness.results.result import Estimate, RunResult, TaskResult
from model_cards.entries.entries import number_of

SCHEMA_VERSION: Final = "0.3.0"
COLLECTION: Final = "mlip-ood"
LOCAL: Final = "local"
"""Developer in the path of a model that has no id on the Hub."""

Relationship = Literal["first_party", "third_party", "collaborative", "other"]
"""Relation of the evaluator to the model, in the words of the schema."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Who evaluated the model.

    Attributes:
        organization: Its name.
        relationship: Its relation to the model.
    """

    organization: str
    relationship: Relationship = "third_party"

    def __post_init__(self) -> None:
        if not self.organization.strip() or not self.organization.isprintable():
            raise UsageError(f"the name of the evaluator is {self.organization!r}; expected printable text")


def evaluation_record(result: RunResult, evaluator: Evaluator) -> dict[str, Any]:
    """One result as a record of the schema; undefined numbers have no entry.

    Args:
        result: The result; the mean of a method is one too.
        evaluator: Who evaluated the model.
    """
    seconds = str(int(result.created.timestamp()))
    model = _model_id(result)
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{COLLECTION}/{model}/{seconds}",
        "evaluation_timestamp": result.created.astimezone(UTC).isoformat(),
        # The time of the evaluation, not of the conversion, so that the same result gives the same bytes.
        "retrieved_timestamp": seconds,
        "source_metadata": {
            "source_name": DISTRIBUTION,
            "source_type": "evaluation_run",
            "source_organization_name": evaluator.organization,
            "evaluator_relationship": evaluator.relationship,
        },
        "eval_library": {
            "name": DISTRIBUTION,
            "version": result.environment.packages.get(DISTRIBUTION) or version(DISTRIBUTION),
            "additional_details": {"code_hash": result.environment.code_hash, "python": result.environment.python},
        },
        "model_info": _model_info(result, model),
        "evaluation_results": list(_evaluations(result)),
    }


def write_record(result: RunResult, evaluator: Evaluator, folder: Path) -> Path:
    """Writes the record of a result to its place below a folder, and returns the path.

    The name follows from the record, so a second call writes the same file.

    Raises:
        UsageError: If the id of a local model does not end in a name.
        SetupError: If the folder cannot be written to.
    """
    record = evaluation_record(result, evaluator)
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    developer, name = _model_id(result).split("/")
    # The collection accepts names of version 4 alone, which marks them as random; this one follows from the content.
    identity = uuid.UUID(hex=text_sha256(text)[:32], version=4)
    path = folder / "data" / COLLECTION / developer / name / f"{identity}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_whole(path, text)
    return path


def _model_id(result: RunResult) -> str:
    """Developer and name, which are folders below that of the collection.

    Raises:
        UsageError: If the id of a local model does not end in a name.
    """
    model = result.model
    # The revision of a model on the Hub follows an @; the path of a local one may contain that character.
    parts = [] if model.revision is None else model.id.partition("@")[0].split("/")[:2]
    named = parts if len(parts) == 2 else [LOCAL, Path(model.id).name]
    if not {"", ".", ".."}.isdisjoint(named):
        raise UsageError(
            f"the model {quoted(model.id)} has no name for its record; evaluate it by a path that ends in the name of "
            "its file or folder"
        )
    return "/".join(named)


def _model_info(result: RunResult, model: str) -> dict[str, Any]:
    record = result.model
    details = {
        "deployment_type": "self_deployed",
        "model_availability": "open_weights" if record.revision is not None else "unknown",
        "protocol": record.protocol,
        "training": record.training,
        "trained_on": record.trained_on,
        "base": record.base,
        "level_of_theory": record.level_of_theory,
        "revision": record.revision,
        "precision": record.dtype,
        "effect of the precision": None if record.lowered_precision is None else record.lowered_precision.text,
        "device": record.device,
        **{f"sha256 of {name}": digest for name, digest in sorted(record.files.items())},
    }
    return {
        "name": record.id if record.revision is not None else model.partition("/")[2],
        "id": model,
        "inference_engine": {"name": record.family},
        "additional_details": _texts(details),
    }


def _evaluations(result: RunResult) -> Iterator[dict[str, Any]]:
    for name in in_order(result.tasks):
        task = result.tasks[name]
        for number in NUMBERS:
            estimate = number_of(task, number)
            if estimate.value is not None:
                yield _evaluation(result, task, number, estimate)
    if result.overall_score is not None:
        overall = Estimate(value=result.overall_score, low=None, high=None, unit="1", reason="the mean of four tasks")
        yield {
            "evaluation_result_id": "overall_score",
            "evaluation_name": f"{COLLECTION}: overall",
            "source_data": _source_data(result, None),
            "metric_config": {
                **_direction("overall_score", NUMBERS[0], f"mean of four tasks; {NUMBERS[0].meaning}"),
                "max_score": 100.0,
            },
            "score_details": _score(overall, NUMBERS[0], result.settings.confidence, None),
        }


def _evaluation(result: RunResult, task: TaskResult, number: LeaderboardNumber, estimate: Estimate) -> dict[str, Any]:
    identifier = number_id(result.dataset.config(task.task), number)
    config = _direction(identifier, number, number.meaning)
    return {
        "evaluation_result_id": identifier,
        "evaluation_name": f"{COLLECTION}: {title_of(task.task, task.title)}",
        "source_data": _source_data(result, number.split, result.dataset.config(task.task)),
        "metric_config": {**config, **({"max_score": 100.0} if number.name == "score" else {"max_score": "Infinity"})},
        "score_details": _score(estimate, number, result.settings.confidence, task.clusters),
    }


def _direction(identifier: str, number: LeaderboardNumber, meaning: str) -> dict[str, Any]:
    return {
        "evaluation_description": meaning,
        "metric_id": f"{COLLECTION}/{identifier}",
        "metric_name": number.name.replace("_", " "),
        "metric_kind": "mae" if number.name.endswith("mae") else number.name,
        "metric_unit": number.unit or "1",
        "lower_is_better": not number.higher_is_better,
        "score_type": "continuous",
        "min_score": 0.0,
    }


def _score(estimate: Estimate, number: LeaderboardNumber, confidence: float, clusters: str | None) -> dict[str, Any]:
    scale = MILLI if number.unit else 1.0
    score: dict[str, Any] = {"score": (estimate.value or 0.0) / scale}
    if estimate.low is None or estimate.high is None:
        return {**score, "details": _texts({"no interval": estimate.reason})}
    score["uncertainty"] = {
        "confidence_interval": {
            "lower": estimate.low / scale,
            "upper": estimate.high / scale,
            "confidence_level": confidence,
            "method": f"cluster-robust variance, Student t; {estimate.n_clusters} clusters of {clusters}",
        }
    }
    return score


def _source_data(result: RunResult, split: str | None, config: str | None = None) -> dict[str, Any]:
    details = {
        "config": config,
        "split": split,
        "edition": result.dataset.edition,
        "revision": result.dataset.revision,
        "content_hash": result.dataset.content_hash,
        "level_of_theory": result.dataset.level_of_theory,
    }
    if result.dataset.revision is None:
        # Its id may be a path of this machine.
        name = f"{COLLECTION}, edition {result.dataset.edition}"
        return {"dataset_name": name, "source_type": "other", "additional_details": _texts(details)}
    return {
        "dataset_name": result.dataset.id,
        "source_type": "hf_dataset",
        "hf_repo": result.dataset.id,
        "hf_split": "test",
        "additional_details": _texts(details),
    }


def _texts(details: dict[str, Any]) -> dict[str, str]:
    """The schema takes texts alone; what is unknown is left out."""
    return {key: str(value) for key, value in details.items() if value is not None}
