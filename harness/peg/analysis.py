"""The analyse step: what ml-peg tabulates and draws, from the predictions that the calc step saved."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import title_of
from harness.data.dataset import PinnedDataset
from harness.peg.benchmarks import DATASET_VARIABLE, dataset_text
from harness.peg.calculation import NOT_EVALUATED, model_folder
from harness.peg.columns import DISTANCE, columns_of, numbers_of
from harness.results.estimate import Estimate
from harness.results.manifest import MANIFEST_NAME, Manifest
from harness.results.result import RunResult
from harness.scoring.metrics import UNITS

Row = dict[str, str]

_NUMBERS: Final = ("Score", "OOD MAE / meV/Å", "ID MAE / meV/Å", "Gap")
INTERVAL_COLUMNS: Final = ("MLIP", "Task", *_NUMBERS, "Note")
"""Columns of the table of intervals."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the calc step left of each model.

    Attributes:
        results: Results by model; a model without any output is in none of these.
        reasons: Why other models have none, by model.
    """

    results: Mapping[str, RunResult]
    reasons: Mapping[str, str]


def measured(models: Sequence[str], dataset: PinnedDataset, outputs: Path) -> Measured:
    """Computes the metrics of all models that were calculated, anew from their predictions.

    Args:
        models: Their names.
        dataset: The data at the level of the benchmark.
        outputs: Folder of all outputs of the benchmark.

    Raises:
        DataError: If outputs are damaged, or of another data set.
    """
    results: dict[str, RunResult] = {}
    reasons: dict[str, str] = {}
    for model in models:
        folder = model_folder(outputs, model)
        reason = folder / NOT_EVALUATED
        if reason.is_file():
            reasons[model] = reason.read_text(encoding="utf-8").strip()
        elif folder.is_dir():
            results[model] = _result_in(folder, dataset)
    return Measured(results, reasons)


def table_of(found: Measured, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
    """The numbers of all models by column and model, as ml-peg's `build_table` takes them.

    A model without outputs has no number. One that failed, on any frame of a task or on all, has NaN in the columns
    that are then undefined, as ml-peg expects, and so no score. The distance between levels of theory may be unknown.
    """
    numbers = {model: numbers_of(result) for model, result in found.results.items()}
    numbers |= {model: dict.fromkeys(columns_of(tasks)) for model in found.reasons}
    table: dict[str, dict[str, float]] = {column: {} for column in columns_of(tasks)}
    for model, row in numbers.items():
        for column, value in row.items():
            if value is not None:
                table[column][model] = value
            elif column != DISTANCE:
                table[column][model] = math.nan
    return table


def interval_rows(found: Measured) -> list[Row]:
    """A row for each model and task: numbers with 95 % confidence intervals, or why there is none, as text."""
    rows = [_interval_row(model, result, task) for model, result in found.results.items() for task in result.tasks]
    empty = dict.fromkeys(_NUMBERS, "")
    return rows + [{"MLIP": model, "Task": "all", **empty, "Note": reason} for model, reason in found.reasons.items()]


def force_maes(result: RunResult, task: str, places: Sequence[tuple[str, str]]) -> list[float | None]:
    """The force MAE of molecules of a task, meV/Å.

    Args:
        result: Result of a model.
        task: Task.
        places: Split and name of each molecule.

    Returns:
        One number for each place; `None` for a molecule of which no frame was computed.
    """
    known: dict[tuple[str, str], float] = {}
    for row in result.tasks[task].by_molecule:
        known[row.split, row.molecule_id] = row.force_mae / MILLI
    return [known.get(place) for place in places]


def _interval_row(model: str, result: RunResult, name: str) -> Row:
    task = result.tasks[name]
    ood, in_distribution = (task.splits[split].metrics["force_mae"] for split in ("test_ood", "test_id"))
    estimates = (task.score, ood, in_distribution, task.gap)
    digits = (1, 1, 1, 2)
    texts = [_text(each, some) for each, some in zip(estimates, digits, strict=True)]
    reasons = dict.fromkeys(each.reason for each in estimates if each.reason is not None)
    title = f"{name} ({title_of(name, task.title)})"
    return {"MLIP": model, "Task": title, **dict(zip(_NUMBERS, texts, strict=True)), "Note": "; ".join(reasons)}


def _text(estimate: Estimate, digits: int) -> str:
    if estimate.value is None:
        return "none"
    unit = MILLI if estimate.unit == UNITS["force_mae"] else 1.0
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value / unit:.{digits}f}"
    value, low, high = (f"{each / unit:.{digits}f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def _result_in(folder: Path, dataset: PinnedDataset) -> RunResult:
    from harness.evaluation.run import finish_again, open_saved

    runs = sorted(path.parent for path in folder.glob(f"*/*/{MANIFEST_NAME}"))
    if len(runs) != 1:
        raise DataError(
            f"{folder} holds {len(runs)} runs; expected the one that the calc step writes. Run `ml_peg calc` again"
        )
    made_for = Manifest.load(runs[0]).dataset
    if made_for.content_hash != dataset.content_hash:
        raise DataError(
            f"the predictions in {folder} were made for {made_for.id} {made_for.content_hash[:SHORT_HASH]}, and "
            f"{DATASET_VARIABLE} names {dataset.id} {dataset.content_hash[:SHORT_HASH]}; set it as for `ml_peg calc`, "
            "or run that again"
        )
    return finish_again(open_saved(runs[0], dataset_text())).result
