"""Which methods lower the error on unseen combinations, at equal steps and beyond what a smaller ID error explains.

    python -m tests.benchmarks.closing_the_gap

Writes the tables of docs/closing-the-gap.md from the records of the study on the standard edition and of the
trainings of docs/convergence.md. Each model is compared with a network trained from scratch on the same task: with the
OOD error that this network had when its ID error was that of the model.
"""

import argparse
import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from dataset_builders.core.errors import DataError
from dataset_builders.core.markdown import markdown_table
from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import write_text_whole
from harness.scoring.clusters import Clusters
from harness.scoring.influences import Effect, MoleculeSums, combined, logarithm, ratio_effect
from harness.scoring.intervals import Interval, interval_of
from harness.study.run_record import Number, RunRecord, TestSplitName, read_records
from harness.study.tables import title_of
from model_cards.cards.result_tables import MARK, estimate_text
from tests.benchmarks.convergence.fit import LATE_RANGE, fitted_line
from tests.benchmarks.convergence.report import Training, trainings_of
from tests.benchmarks.marked_tables import with_table
from tests.benchmarks.recorded_runs import read_records as read_lines

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "closing-the-gap.md"
STUDY: Final = ROOT / "docs" / "results" / "standard"
CURVES: Final = ROOT / "docs" / "results" / "convergence" / "checkpoints.jsonl"

TASKS: Final = ("task2", "task3")
ROWS: Final = ("painn", "dimenet++", "painn-delta", "ani2x-tuned", "so3lr-tuned")
SPLITS: Final[tuple[TestSplitName, ...]] = ("test_id", "test_ood")
_FACTORS: Final = ("composition", "conformers", "unseen_parts", "combination")

Point = tuple[Effect, Effect]
"""ID and OOD error of a model."""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    records = [each for each in read_records(STUDY) if each.row in ROWS and each.task in TASKS]
    lines = list(read_lines(CURVES))
    curves = trainings_of(lines, "forces")
    text = PAGE.read_text(encoding="utf-8")
    for task in TASKS:
        own = [each for each in records if each.task == task]
        require_same_molecules(own, [line for line in lines if line["task"] == task])
        text = with_table(text, task, table(own, curve_of(task, curves)))
    write_text_whole(PAGE, text)
    print(f"wrote {PAGE}")


def require_same_molecules(records: Sequence[RunRecord], lines: Sequence[Mapping[str, Any]]) -> None:
    """Checks that records and checkpoints list the same molecules in the same order, so that they can be paired.

    Raises:
        DataError: If they do not.
    """
    for split in SPLITS:
        lists = {tuple(each.molecule_id for each in record.molecules[split]) for record in records}
        lists |= {tuple(molecule[0] for molecule in line[split]) for line in lines}
        if len(lists) > 1:
            raise DataError(f"records and checkpoints have different molecules in {split}; expected the same edition")


def curve_of(task: str, curves: Sequence[Training]) -> Training:
    """The training from scratch, without a physics method, on a task.

    Raises:
        DataError: If there is not exactly one.
    """
    found = [each for each in curves if each.task == task and " on " not in each.row.partition(",")[0]]
    if len(found) != 1:
        raise DataError(f"{len(found)} trainings from scratch on {task}; expected 1")
    return found[0]


def table(records: Sequence[RunRecord], curve: Training) -> str:
    """The models of a task in Markdown, the largest OOD error first."""
    name = curve.row.partition(",")[0]
    factors = (each.replace("_", " ") for each in _FACTORS)
    header = ("model", "ID", "OOD", "gap", *factors, f"OOD / OOD of {title_of(name)} at this ID")
    rows = []
    for record in sorted(records, key=lambda each: -_value(each.force_mae["test_ood"])):
        known, ood = (error_of(record, split) for split in SPLITS)
        beyond, is_extrapolated = beyond_curve((known, ood), curve.errors) or (None, False)
        rows.append(
            (
                title_of(record.row),
                f"{_value(record.force_mae['test_id']) / MILLI:.1f}",
                f"{_value(record.force_mae['test_ood']) / MILLI:.1f}",
                _text(record.gap),
                *(_text(record.factors[each]) if each in record.factors else "–" for each in _FACTORS),
                "–" if beyond is None else f"{estimate_text(beyond, digits=2)}{MARK if is_extrapolated else ''}",
            )
        )
    return markdown_table(header, rows, "right")


def error_of(record: RunRecord, split: TestSplitName) -> Effect:
    """The force error of a record on a test split, with the influence of each molecule."""
    molecules = record.molecules[split]
    weights = np.array([3.0 * each.n_atoms for each in molecules])
    sums = MoleculeSums(weights * np.array([each.force_mae for each in molecules]), weights, "no molecules")
    effect = ratio_effect(sums, Clusters(split, "fragment", tuple(each.drawn for each in molecules)))
    assert effect is not None
    return effect


def beyond_curve(model: Point, curve: Sequence[Point]) -> tuple[Interval, bool] | None:
    """The OOD error of a model divided by that of a training when its ID error was the same.

    The curve is linear between the logarithms of neighbouring checkpoints. Below its smallest ID error it goes on as
    the least-squares line of its end. Influences on the same molecules are paired (delta method), so a fragment that is
    hard for both does not widen the interval.

    Args:
        model: Its errors.
        curve: Errors of the checkpoints of the training, on the same molecules in the same order.

    Returns:
        The ratio with its interval, and whether it is extrapolated; `None` above the largest ID error of the curve.
    """
    points = sorted(((logarithm(known), logarithm(ood)) for known, ood in curve), key=lambda each: each[0].value)
    known, ood = logarithm(model[0]), logarithm(model[1])
    place = bisect_left([each.value for each, _ in points], known.value)
    if place == len(points):
        return None
    if place == 0:
        line = fitted_line(curve, LATE_RANGE)
        there, slope = line.at(known.value), line.slope.value
    else:
        there, slope = _between(points[place - 1], points[place], known.value)
    ratio = math.exp(ood.value - there.value)
    terms = ((ood, ratio), (there, -ratio), (known, -slope * ratio))
    return interval_of(combined(ratio, *terms), "log"), place == 0


def _between(left: Point, right: Point, at: float) -> tuple[Effect, float]:
    """The line between two points of logarithms, where the ID error counts as exact, and its slope."""
    (x0, y0), (x1, y1) = left, right
    share = (at - x0.value) / (x1.value - x0.value)
    slope = (y1.value - y0.value) / (x1.value - x0.value)
    terms = ((y0, 1.0 - share), (y1, share), (x0, -slope * (1.0 - share)), (x1, -slope * share))
    return combined(y0.value + share * (y1.value - y0.value), *terms), slope


def _text(number: Number) -> str:
    return estimate_text(Interval(number.value, number.low, number.high), digits=2)


def _value(number: Number) -> float:
    assert number.value is not None
    return number.value


if __name__ == "__main__":
    main()
