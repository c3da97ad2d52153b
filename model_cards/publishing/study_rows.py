"""The checkpoints of a study, each with its result and card, in folders that `publish` takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, SetupError, UsageError
from dataset_builders.core.terminal_table import text_table
from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import whole_file, write_text_whole
from dataset_builders.tasks.regions import TaskName
from harness.core.seed_folders import place_of
from harness.core.training_record import RECORD_NAME
from harness.networks.checkpoint_format import CONFIG_FILE, WEIGHTS_FILE
from harness.results.result import RESULT_NAME, RunResult
from harness.study.run_record import RECORDS_NAME, Number, RunRecord, read_records, run_name
from harness.trust.pickles import sha256_of
from model_cards.cards.model_card import CURVE_FILES, write_card

_TRAINED: Final = ("trained", "fine-tuned")
_FILES: Final = (CONFIG_FILE, WEIGHTS_FILE, RECORD_NAME, *CURVE_FILES)


@dataclass(frozen=True, slots=True)
class Collected:
    """A checkpoint of a study in its new folder.

    Attributes:
        record: Its record in the study.
        folder: The folder.
        validation: Force MAE on `validation` at the end of its training, eV/Å; `None` for a control, which has none.
        is_best: Whether it has the smallest validation error of the seeds of its row and task that were collected.
    """

    record: RunRecord
    folder: Path
    validation: float | None
    is_best: bool


@dataclass(frozen=True, slots=True)
class Collection:
    """What was collected, in the order of the records, and what was not.

    Attributes:
        out: The folder that holds a folder for each row.
        checkpoints: The checkpoints.
        left_out: Names of those whose weights are not in the folder of the study.
    """

    out: Path
    checkpoints: tuple[Collected, ...]
    left_out: tuple[str, ...]


def collect_rows(
    records: Path, work: Path, out: Path, rows: Sequence[str] = (), *, best_only: bool = False
) -> Collection:
    """Copies the checkpoints of a study into `out/ROW/TASK/seedN`, the layout of a method.

    A checkpoint is found by the sha256 of its weights in the record, so what is published is what the tables of the
    study show. Each folder gets the result of its evaluation and a card with it.

    Args:
        records: Folder of records, such as `docs/results/standard`.
        work: Folder of the study's checkpoints and runs.
        out: Folder to write; checkpoints that it holds already are written again.
        rows: Names of rows; empty for all that were trained.
        best_only: Whether to take, of each row and task, only the seed with the smallest validation error, as
            `out/ROW/TASK`. Test errors have no part in the choice.

    Raises:
        UsageError: If a row was not trained in the study, or `out` holds other weights in one of these places.
        DataError: If the records cannot be read, or none of their checkpoints is in `work`.
        SetupError: If `out` cannot be written.
    """
    chosen = _chosen(read_records(records), rows, records)
    places = _weights_below(work / "checkpoints")
    present = [record for record in chosen if record.model.files.get(WEIGHTS_FILE) in places]
    if not present:
        raise DataError(
            f"{work / 'checkpoints'} holds none of the {len(chosen)} checkpoints that {records / RECORDS_NAME} names; "
            "give the folder of the study that trained them with --work, or train them: python -m harness study"
        )
    best = _best(present)
    results = _results_below(work / "runs")
    collected = []
    for record in present:
        is_best = best[record.row, record.task] is record
        if is_best or not best_only:
            weights = record.model.files[WEIGHTS_FILE]
            folder = out / record.row / place_of(record.task, None if best_only else record.seed)
            result = next((path for path, each in results.items() if _is_of(each, record)), None)
            _copy(places[weights], folder, weights, result)
            collected.append(Collected(record, folder, _validation(record), is_best))
    left_out = tuple(run_name(*record.place) for record in chosen if record not in present)
    return Collection(out, tuple(collected), left_out)


def collection_text(found: Collection) -> str:
    """The checkpoints as a table, those left out, and the commands that publish them."""
    header = ("checkpoint", "validation\nmeV/Å", "ID\nmeV/Å", "OOD\nmeV/Å", "card shows\nits result")
    of_seeds = [_has_seeds(each, found.checkpoints) for each in found.checkpoints]
    cells = [_cells(each, has_seeds=has) for each, has in zip(found.checkpoints, of_seeds, strict=True)]
    lines = [text_table(header, cells)]
    if any(of_seeds):
        lines += ["* smallest validation error of the seeds of a task"]
    if found.left_out:
        lines += ["", f"left out, since their weights are not here: {' '.join(found.left_out)}"]
    first = next(each for each in found.checkpoints if each.is_best)
    shown = f" --result {first.folder / RESULT_NAME}" if (first.folder / RESULT_NAME).is_file() else ""
    lines += [
        "",
        f"publish a row as a method: python -m model_cards publish {found.out / first.record.row} your-org/NAME",
        f"or one checkpoint of it: python -m model_cards publish {first.folder} your-org/NAME{shown}",
    ]
    return "\n".join(lines)


def _cells(each: Collected, *, has_seeds: bool) -> tuple[str, ...]:
    force = each.record.force_mae
    return (
        f"{each.folder}{' *' if each.is_best and has_seeds else ''}",
        _meV(each.validation),
        _meV(_value(force.get("test_id"))),
        _meV(_value(force.get("test_ood"))),
        "yes" if (each.folder / RESULT_NAME).is_file() else "no",
    )


def _has_seeds(each: Collected, others: Iterable[Collected]) -> bool:
    place = each.record.row, each.record.task
    return sum((other.record.row, other.record.task) == place for other in others) > 1


def _value(number: Number | None) -> float | None:
    return None if number is None else number.value


def _meV(value: float | None) -> str:  # noqa: N802 (the unit)
    return "" if value is None else f"{value / MILLI:.1f}"


def _chosen(records: Sequence[RunRecord], rows: Sequence[str], folder: Path) -> list[RunRecord]:
    trained = [record for record in records if record.kind in _TRAINED]
    if not trained:
        raise DataError(
            f"{folder / RECORDS_NAME} has no trained row; give a folder of records that `python -m harness study` "
            "wrote, such as docs/results/mini"
        )
    known = list(dict.fromkeys(record.row for record in trained))
    unknown = [row for row in rows if row not in known]
    if unknown:
        raise UsageError(f"--rows {unknown[0]}: not a trained row in {folder}; its trained rows: {' '.join(known)}")
    return [record for record in trained if not rows or record.row in rows]


def _best(records: Iterable[RunRecord]) -> dict[tuple[str, TaskName], RunRecord]:
    """The record with the smallest validation error of each row and task; the first where errors are unknown."""
    found: dict[tuple[str, TaskName], RunRecord] = {}
    for record in records:
        place = record.row, record.task
        if place not in found or _order(record) < _order(found[place]):
            found[place] = record
    return found


def _order(record: RunRecord) -> float:
    error = _validation(record)
    return float("inf") if error is None else error


def _validation(record: RunRecord) -> float | None:
    best = record.training.get("best_validation")
    error = best.get("validation_force_mae") if isinstance(best, dict) else None
    return float(error) if isinstance(error, int | float) else None


def _weights_below(checkpoints: Path) -> dict[str, Path]:
    """The checkpoint folders by the sha256 of their weights."""
    folders = sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []
    return {sha256_of(each / WEIGHTS_FILE): each for each in folders if (each / WEIGHTS_FILE).is_file()}


def _results_below(runs: Path) -> dict[Path, RunResult]:
    return {path: RunResult.load(path) for path in sorted(runs.glob(f"*/*/*/{RESULT_NAME}"))}


def _is_of(result: RunResult, record: RunRecord) -> bool:
    """Whether a result is the one that a record was made from: of the same weights, with the same numbers."""
    task = result.tasks.get(record.task)
    if task is None or result.model.files.get(WEIGHTS_FILE) != record.model.files[WEIGHTS_FILE]:
        return False
    return (Number.of(task.gap), Number.of(task.score)) == (record.gap, record.score)


def _copy(source: Path, folder: Path, weights: str, result: Path | None) -> None:
    if (folder / WEIGHTS_FILE).exists() and sha256_of(folder / WEIGHTS_FILE) != weights:
        raise UsageError(
            f"{folder} holds other weights (sha256 {sha256_of(folder / WEIGHTS_FILE)}; expected {weights}); choose "
            "another --out, or delete that folder"
        )
    try:
        for name in _FILES:
            if (source / name).is_file():
                with whole_file(folder / name) as partial:
                    partial.write_bytes((source / name).read_bytes())
        if result is not None:
            write_text_whole(folder / RESULT_NAME, result.read_text(encoding="utf-8"))
    except OSError as cause:
        raise SetupError(f"cannot write to {folder}: {cause.strerror or cause}; choose a folder with --out") from cause
    write_card(folder, [] if result is None else [RunResult.load(result)], model_id=str(folder))
