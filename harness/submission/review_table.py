"""The table for a reviewer: what is proved about an entry, what is only stated, and what needs judgement."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.markdown import markdown_table, plain, printable
from dataset_builders.core.terminal import USUAL_WIDTH, notes
from dataset_builders.core.terminal_table import Cell, Column, fitted_table
from dataset_builders.core.units import MILLI
from harness.report.table import table_notes
from harness.results.result import Estimate, TaskResult
from harness.submission.findings import KINDS, CheckedRun, EntryReport, Finding, Kind

if TYPE_CHECKING:
    from rich.console import RenderableType

_TITLES: Final[dict[Kind, str]] = {
    "fault": "wrong",
    "proved": "proved",
    "stated": "only stated",
    "look": "to look at",
}
_HEADER: Final = ("run", "task", "model", "protocol", "ID force MAE, meV/Å", "OOD force MAE, meV/Å", "gap", "score")
_COLUMNS: Final = (
    Column("run", "left"),
    Column("task", "left"),
    Column("model", "left", shortest=8),
    Column("protocol", "left", left_out=1, about="protocol"),
    Column("ID\nmeV/Å"),
    Column("OOD\nmeV/Å"),
    Column("gap"),
    Column("score"),
)
_UNDEFINED: Final = "–"


def verdict_of(report: EntryReport) -> str:
    """The verdict on an entry, in one line."""
    n_faults, n_looks = len(report.faults), len(report.of_kind("look"))
    if n_faults:
        return f"refused, {_counted(n_faults, 'fault')}"
    return f"sound, {_counted(n_looks, 'point')} to look at"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def terminal_report(report: EntryReport, width: int = USUAL_WIDTH) -> "RenderableType":
    """The table for a terminal; untrusted text is shown verbatim.

    Args:
        report: The report.
        width: Columns of the terminal.
    """
    from rich.console import Group

    parts: list[RenderableType] = [
        *notes([f"{Path(report.place).name}: {verdict_of(report)}"], width),
    ]
    if report.runs:
        table = fitted_table(_COLUMNS, [[Cell(cell) for cell in row] for row in _rows(report.runs)], width)
        parts += ["", *table.texts(), *notes(table_notes(table), width)]
    lines = [f"{kind}{f', {run}' if run else ''}: {text}" for kind, run, text in _lines(report)]
    return Group(*parts, "", *notes(lines, width))


def markdown_report(report: EntryReport) -> str:
    """The table in Markdown, for the page of a pull request; untrusted text is escaped."""
    parts = [f"### {plain(Path(report.place).name)}", f"**{plain(verdict_of(report))}**"]
    if report.runs:
        parts.append(markdown_table(_HEADER, _rows(report.runs)))
    parts.append(markdown_table(("", "run", "what"), _lines(report)))
    return "\n\n".join(parts) + "\n"


def document_of(report: EntryReport) -> dict[str, Any]:
    """The report as JSON, with the recomputed numbers."""
    return {
        "entry": Path(report.place).name,
        "id": report.entry_id,
        "sound": not report.faults,
        "findings": [
            {"kind": finding.kind, "run": finding.run, "text": finding.text} for _, finding in _in_order(report)
        ],
        "results": {run.run_id: run.result.model_dump(mode="json") for run in report.runs},
    }


def _in_order(report: EntryReport) -> Iterator[tuple[Kind, Finding]]:
    for kind in KINDS:
        for finding in report.of_kind(kind):
            yield kind, finding


def _lines(report: EntryReport) -> Iterator[tuple[str, str, str]]:
    """The findings as lines; identical findings of several runs are merged."""
    runs: dict[tuple[Kind, str], list[str]] = {}
    for kind, finding in _in_order(report):
        runs.setdefault((kind, finding.text), []).append(finding.run or "")
    for (kind, text), names in runs.items():
        is_of_all = len(names) > 1 and len(names) == len(report.runs)
        yield _TITLES[kind], f"all {len(names)}" if is_of_all else " ".join(names), text


def _rows(runs: Sequence[CheckedRun]) -> Iterator[tuple[str, ...]]:
    for run in runs:
        for name, task in run.result.tasks.items():
            model = run.result.model
            yield (
                run.run_id,
                run.result.dataset.config(name),
                printable(model.id),
                model.protocol + (", stated" if model.training == "stated" else ""),
                *_numbers(task),
            )


def _numbers(task: TaskResult) -> tuple[str, ...]:
    errors = [task.splits[part].metrics["force_mae"] for part in ("test_id", "test_ood")]
    shown = [_number(each, MILLI, 1) for each in errors]
    return (*shown, _number(task.comparable_gap, 1.0, 2), _number(task.score, 1.0, 1))


def _number(estimate: Estimate, unit: float, digits: int) -> str:
    return _UNDEFINED if estimate.value is None else f"{estimate.value / unit:.{digits}f}"
