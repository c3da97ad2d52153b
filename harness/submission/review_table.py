"""The table for a reviewer: what is proved about an entry, what is only stated, and what needs judgement."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.markdown import markdown_table, plain, printable
from dataset_builders.core.units import MILLI
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
_UNDEFINED: Final = "–"


def verdict_of(report: EntryReport) -> str:
    """The verdict on an entry, in one line."""
    n_faults, n_looks = len(report.faults), len(report.of_kind("look"))
    if n_faults:
        return f"refused, {_counted(n_faults, 'fault')}"
    return f"sound, {_counted(n_looks, 'point')} to look at"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def terminal_report(report: EntryReport) -> "RenderableType":
    """The table for a terminal; untrusted text is shown verbatim."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text  # Not str, which a console may parse as markup.

    numbers = Table(box=box.SIMPLE_HEAD, pad_edge=False, highlight=False)
    for number, name in enumerate(_HEADER):
        numbers.add_column(name, overflow="fold", justify="right" if number > 3 else "left")
    for row in _rows(report.runs):
        numbers.add_row(*(Text(cell) for cell in row))
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False, highlight=False)
    for name in ("", "run", "what"):
        found.add_column(name, overflow="fold", no_wrap=name == "run")
    for row in _lines(report):
        found.add_row(*(Text(printable(cell)) for cell in row))
    heading = Text(f"{printable(Path(report.place).name)}: {verdict_of(report)}")
    return Group(heading, *([numbers] if report.runs else []), found)


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
