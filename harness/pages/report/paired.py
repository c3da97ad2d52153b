"""Several runs side by side: the paired differences that `harness compare` prints."""

from collections.abc import Sequence
from dataclasses import dataclass

from dataset_builders.core.units import MILLI
from harness.pages.report.number_text import UNDEFINED, Cell, NumberTable, decimal, ends_text, ratio_cell
from harness.pages.report.view import ReportedRun
from harness.report.compare import SPLIT_NAMES, PairedResults, comparisons
from harness.scoring.intervals import Interval


@dataclass(frozen=True, slots=True)
class Paired:
    """The comparison of several runs.

    Attributes:
        table: Differences and ratios; `None` where no task has two results.
        notes: Why some have no value or no interval.
    """

    table: NumberTable | None
    notes: tuple[str, ...]


def paired(runs: Sequence[ReportedRun]) -> Paired | None:
    """Compares every run with the first one of its task; `None` for a single run."""
    if len(runs) < 2:
        return None
    tasks = [task for run in runs for task in run.result.tasks]
    if len(set(tasks)) == len(tasks):
        return Paired(None, ("No task has two of these results, so there is nothing to compare in pairs.",))
    found = comparisons([run.result for run in runs])
    rows = tuple(
        (
            Cell(pair.task),
            Cell(pair.model_name),
            Cell(pair.other_name),
            Cell(SPLIT_NAMES[pair.split]),
            _difference(pair.comparison.difference),
            ratio_cell(pair.comparison.ratio),
            Cell(_verdict(pair)),
        )
        for pair in found
    )
    headers = ("task", "model", "compared with", "frames", "difference, meV/Å", "ratio", "which errs less")
    table = NumberTable("Paired differences of the force MAE, with 95 % intervals", headers, rows)
    return Paired(table, tuple(dict.fromkeys(note for pair in found for note in _notes(pair))))


def _difference(interval: Interval) -> Cell:
    if interval.value is None:
        return Cell(UNDEFINED, None, interval.reason)
    value = decimal(interval.value / MILLI, 1)
    text = value if interval.value < 0.0 else f"+{value}"
    ends = ends_text(interval, MILLI, 1)
    return Cell(f"{text} ({ends})" if ends else text, interval.value, interval.reason)


def _verdict(pair: PairedResults) -> str:
    ratio = pair.comparison.ratio
    if ratio.low is None or ratio.high is None:
        return "not known"
    if ratio.high < 1.0:
        return pair.model_name
    return pair.other_name if ratio.low > 1.0 else "other fragments might reverse it"


def _notes(pair: PairedResults) -> list[str]:
    where = f"{pair.task} {SPLIT_NAMES[pair.split]}, {pair.model_name} and {pair.other_name}"
    reasons = dict.fromkeys([pair.comparison.difference.reason, pair.comparison.ratio.reason])
    return [f"{where}: {reason}" for reason in reasons if reason is not None]
