"""Entries from results: of one model (`result.json`), or of a method (`method.json`)."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Literal

from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.hub.names import is_repo_id
from dataset_builders.tasks.regions import TASKS, TaskName, in_order
from harness.method.document import MeanResult
from harness.report.leak_cautions import cautions_of_evidence, gaps_of_controls
from harness.report.level_cautions import evidence_for_level
from harness.report.model_cautions import cautions
from harness.report.model_lines import protocol_of
from harness.report.precision_line import precision_lines
from harness.results.cost import CostRecord
from harness.results.lowered_precision import LoweredPrecision, joint_lowering
from harness.results.result import Estimate, PartName, RunResult, TaskResult
from model_cards.leaderboard.site.site_entry import (
    NO_INTERVAL_OF_MEAN,
    Entry,
    Number,
    NumberName,
    Origin,
    Speed,
    TaskNumbers,
    data_of,
    https_address,
    one_line,
    shown_name,
)

_HUB: Final = "https://huggingface.co"
_FAILED: Final = "frames that failed: {n_failed}; the number covers only those that were computed, and has no interval"
_METRICS: Final[Mapping[NumberName, tuple[PartName, Literal["force_mae", "centred_energy_mae"]]]] = {
    "id_force_mae": ("test_id", "force_mae"),
    "ood_force_mae": ("test_ood", "force_mae"),
    "near_force_mae": ("near", "force_mae"),
    "far_force_mae": ("far", "force_mae"),
    "id_energy_mae": ("test_id", "centred_energy_mae"),
    "ood_energy_mae": ("test_ood", "centred_energy_mae"),
}


def entry_of_result(result: RunResult, origin: Origin, name: str | None = None) -> Entry:
    """One evaluation as an entry; the mean of a method is one too.

    Args:
        result: The result.
        origin: Where it was found; its page is that of the model on the Hub if it has no address.
        name: Its name; `None` for that of the model.
    """
    model = result.model
    address = origin.address or _address(model.id, model.revision)
    return Entry(
        name=one_line(name) if name else shown_name(model.id),
        kind="control" if model.protocol == "control" else "model",
        data=data_of(result.dataset.edition, result.dataset.level_of_theory, result.dataset.content_hash),
        protocol=model.protocol,
        evidence=_evidence(result),
        proof=_proof(result),
        family=one_line(model.family),
        level_of_theory=one_line(model.level_of_theory or ""),
        dtype=model.dtype,
        tasks={task: _task(result, task) for task in in_order(result.tasks)},
        origin=Origin(origin.kind, origin.text, address),
        overall=_overall(result),
        speed=replace(speed_of_cost(result.cost), rounding=one_line("; ".join(precision_lines(model)))),
        facts=_facts(result),
        commands=tuple(filter(None, (_command(result),))),
        cautions=tuple(one_line(line.removeprefix("caution: ")) for line in _cautions(result)),
    )


def joined(results: Sequence[RunResult]) -> list[list[RunResult]]:
    """Groups the runs of one model on different tasks, which are one entry; a task that is there twice starts another.

    Args:
        results: Results of single models, in any order.
    """
    groups: dict[tuple[object, ...], list[list[RunResult]]] = {}
    for result in results:
        found = groups.setdefault(_same_model(result), [])
        group = next((each for each in found if not any(result.tasks.keys() & one.tasks.keys() for one in each)), None)
        if group is None:
            found.append([result])
        else:
            group.append(result)
    return [group for of_model in groups.values() for group in of_model]


def as_one(results: Sequence[RunResult]) -> RunResult:
    """The runs of one model on different tasks as one result; environment and cost are those of the first."""
    first = min(results, key=lambda result: result.created)
    if len(results) == 1:
        return first
    tasks = {name: task for result in results for name, task in result.tasks.items()}
    whole = RunResult.of(
        model=first.model.model_copy(update={"lowered_precision": _lowered(results)}),
        dataset=first.dataset,
        environment=first.environment,
        settings=first.settings,
        created=first.created,
        tasks={name: tasks[name] for name in in_order(tasks)},
    )
    return whole.model_copy(update={"cost": first.cost})


def _lowered(results: Sequence[RunResult]) -> LoweredPrecision | None:
    return joint_lowering({" ".join(in_order(result.tasks)): result.model.lowered_precision for result in results})


def speed_of_cost(cost: CostRecord | None) -> Speed:
    """The cost of an evaluation."""
    if cost is None:
        return Speed()
    return Speed(cost.structures_per_second, cost.speed_text, one_line(cost.hardware_text), cost.memory_text or "")


def hub_page(model_id: str, revision: str | None) -> str | None:
    """Page of a model on the Hub; `None` if the id is not one of a repo."""
    if not is_repo_id(model_id):
        return None
    return https_address(f"{_HUB}/{model_id}" + (f"/tree/{revision}" if revision else ""))


def _same_model(result: RunResult) -> tuple[object, ...]:
    model = result.model
    trained = model.trained_on if model.protocol in ("from-scratch", "fine-tuned") else None
    return (
        model.id, model.family, model.revision, tuple(sorted(model.files.items())), model.protocol, trained, model.head,
        model.dtype, model.device, model.level_of_theory, result.dataset.content_hash, result.dataset.edition,
    )  # fmt: skip


def _address(model_id: str, revision: str | None) -> str | None:
    """Only a model with a commit was read from the Hub; a local folder may have a name like that of a repo."""
    return None if revision is None else hub_page(model_id, revision)


def _evidence(result: RunResult) -> str:
    model = result.model
    if model.protocol in ("from-scratch", "fine-tuned"):
        return model.training or "stated"
    return "not stated" if model.question else ""


def _proof(result: RunResult) -> str:
    model = result.model
    if model.protocol == "control":
        return "a method without a training set"
    if model.question:
        return "its training is not stated, so it counts as zero-shot"
    return one_line(protocol_of(model))


def _task(result: RunResult, name: TaskName) -> TaskNumbers:
    task = result.tasks[name]
    spreads = result.seeds[name].numbers if isinstance(result, MeanResult) else {}
    seeds = result.seeds[name].seeds if isinstance(result, MeanResult) else ()
    deviations = {key: spread.standard_deviation for key, spread in spreads.items()}
    numbers: dict[NumberName, Number] = {
        "score": Number.of(task.score, deviations.get("score")),
        "gap": Number.of(task.comparable_gap, deviations.get("gap")),
    }
    for number, (part, metric) in _METRICS.items():
        if part in task.splits:
            numbers[number] = _error(task, part, task.splits[part].metrics[metric], deviations.get(number))
    return TaskNumbers(
        numbers,
        len(seeds),
        ", ".join(str(seed) for seed in seeds if seed is not None),
        {} if task.anatomy is None else {key: Number.of(each) for key, each in task.anatomy.factors.items()},
        task.n_failed,
        None if name in TASKS else one_line(task.title or name),
    )


def _error(task: TaskResult, part: PartName, estimate: Estimate, deviation: float | None) -> Number:
    n_failed = task.n_failed_in(part)
    if n_failed:
        return Number(estimate.value, deviation=deviation, reason=_FAILED.format(n_failed=n_failed))
    return Number.of(estimate, deviation)


def _overall(result: RunResult) -> Number | None:
    if result.overall_score is None:
        return None
    spread = result.overall if isinstance(result, MeanResult) else None
    deviation = None if spread is None else spread.standard_deviation
    return Number(result.overall_score, deviation=deviation, reason=NO_INTERVAL_OF_MEAN)


def _facts(result: RunResult) -> tuple[tuple[str, str], ...]:
    model, dataset, environment = result.model, result.dataset, result.environment
    means = "mean over seeds; the gap is the ratio of the mean errors" if isinstance(result, MeanResult) else ""
    facts = {
        "model": shown_name(model.id),
        "commit": model.revision or "",
        "base": shown_name(model.base) if model.base else "",
        "numbers": means,
        "level of theory": f"{model.level_of_theory or 'unknown'}{evidence_for_level(model)}",
        "readout head": model.head or "",
        "known as": model.known_as or "",
        "device": model.device,
        "files, sha256": ", ".join(f"{name} {sha[:SHORT_HASH]}" for name, sha in sorted(model.files.items())),
        "data set": shown_name(dataset.id) + (f"@{dataset.revision}" if dataset.revision else ""),
        "content of the data": dataset.content_hash[:SHORT_HASH],
        "batch, atoms": str(result.settings.batch_atoms or ""),
        "code": environment.code_hash[:SHORT_HASH],
        "packages": ", ".join(f"{name} {each}" for name, each in sorted(environment.packages.items())),
        "python": environment.python,
        "measured": _day(result.created),
    }
    return tuple((name, one_line(text)) for name, text in facts.items() if text)


def _day(created: datetime) -> str:
    return created.date().isoformat()


def _command(result: RunResult) -> str | None:
    """The command that repeats the evaluation; paths of a machine are cut as in the name."""
    model, dataset = result.model, result.dataset
    option = "--method" if isinstance(result, MeanResult) else "--model"
    pinned = shown_name(model.id) + (f"@{model.revision}" if model.revision else "")
    data = shown_name(dataset.id) + (f"@{dataset.revision}" if dataset.revision else "")
    if pinned.startswith("-") or data.startswith("-"):
        return None  # It would be read as an option.
    words = ["python", "-m", "harness", option, pinned, "--dataset", data, "--task", *in_order(result.tasks)]
    if dataset.suffix:
        words += ["--labels", dataset.level.name]
    return one_line(shlex.join(words))


def _cautions(result: RunResult) -> list[str]:
    return [*cautions(result), *cautions_of_evidence(result, gaps_of_controls([result], {}))]
