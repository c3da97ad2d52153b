"""The result table: errors and gaps beside the values that put them into context, one line a model and task."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.terminal import notes
from dataset_builders.core.terminal_table import Cell, Column, FittedTable, Row, fitted_table
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.editions import edition_note
from dataset_builders.tasks.regions import TaskName, in_order, title_of
from harness.networks.finished import UNFINISHED
from harness.report.control_gaps import CONTROL
from harness.report.leak_cautions import cautions_of_evidence, gaps_of_controls
from harness.report.model_cautions import cautions
from harness.report.model_lines import full_lines, short_lines
from harness.report.signs import (
    ID_STYLE,
    OOD_STYLE,
    UNDEFINED,
    decimal,
    interval,
    number_cell,
    ratio_cell,
    reason_lines,
)
from harness.report.view import View
from harness.results.result import Estimate, PartName, RunResult, TaskResult
from harness.scoring.intervals import FEW_CLUSTERS

if TYPE_CHECKING:
    from rich.console import RenderableType

_EMPTY: Final = Cell("")
_SUBSETS: Final[tuple[PartName, ...]] = ("near", "far")
ENERGIES: Final = "relative energies"
SUBSET_ERRORS: Final = "errors of near and far"
SIGNS: Final = (
    ">1, <1: the interval of the gap lies above or below 1; without a sign it contains 1, and the gap may be chance"
)
CARE: Final = "Read a gap together with its ID error: a model that learned little has a gap near 1"
_TITLES: Final = "titles of the tasks"
_UNKNOWN_CONTROL: Final = f"unknown: run --model {CONTROL}"


@dataclass(frozen=True, slots=True)
class TableEntry:
    """One task of one model, under its name in the table."""

    name: str
    result: RunResult
    task: TaskResult


def report(
    results: Sequence[RunResult], control_gaps: Mapping[TaskName, float], view: View | None = None
) -> "RenderableType":
    """One table of all results, a line for each model and task, grouped by task, with notes.

    Args:
        results: One or more results on one data set.
        control_gaps: Gap of GFN1-xTB by task, where it is known.
        view: What to show; the default if `None`.

    Returns:
        A renderable for rich.
    """
    from rich.console import Group

    view = view or View()
    entries = entries_of(results)
    columns = _columns(entries, view)
    rows: list[Row] = [
        row if isinstance(row, str) else [row.get(key, _EMPTY) for key in columns]
        for row in _rows(entries, control_gaps, view)
    ]
    table = fitted_table(list(columns.values()), rows, view.width)
    legend = [*_legend(results, table, view), *_missing(entries, table)]
    below = footer(results, control_gaps, view)
    return Group(*table.texts(), "", *notes(legend, view.width), "", *notes(below, view.width))


def entries_of(results: Sequence[RunResult]) -> list[TableEntry]:
    """Grouped by task; within a task the smallest OOD error first, and those with failures last."""
    found = []
    for task in in_order(name for result in results for name in result.tasks):
        of_task = [
            TableEntry(name, result, result.tasks[task])
            for name, result in zip(row_names(results), results, strict=True)
            if task in result.tasks
        ]
        found += sorted(of_task, key=_place)
    return found


def _place(entry: TableEntry) -> tuple[bool, float]:
    error = entry.task.splits["test_ood"].metrics["force_mae"].value
    return error is None or entry.task.n_failed_in("test_ood") > 0, 0.0 if error is None else error


def footer(
    results: Sequence[RunResult], control_gaps: Mapping[TaskName, float] | None = None, view: View | None = None
) -> list[str]:
    """Notes on the numbers: data set, models, levels of theory, failures, and cautions."""
    view = view or View()
    lines = [*dataset_lines(results[0]), *_few_clusters(results)]
    if len(results) == 1:  # with several, the headings of the tasks say it
        lines += unknown_control(results[0].tasks, control_gaps or {})
    controls = gaps_of_controls(results, control_gaps or {})
    for result, name in zip(results, row_names(results), strict=True):
        lines.extend(full_lines(result) if view.provenance else short_lines(result, name, view.width))
        lines.extend(cautions(result))
        lines.extend(f"caution: {each}" for each in cautions_of_evidence(result, controls))
    return lines


def row_names(results: Sequence[RunResult]) -> list[str]:
    """The ids of the models; those of several results are numbered."""
    ids = [result.model.id for result in results]
    counts = dict.fromkeys(ids, 0)
    names = []
    for name in ids:
        counts[name] += 1
        names.append(f"{name} [{counts[name]}]" if ids.count(name) > 1 else name)
    return names


def interval_meaning(result: RunResult) -> str:
    """What the intervals of a result are for."""
    return (
        f"{100 * result.settings.confidence:.0f} % interval for other fragments and molecules drawn like these, at the "
        "same spacers (by fragment, ID and OOD together)"
    )


def dataset_lines(result: RunResult) -> list[str]:
    """The data set with its edition, and what an edition that is too small to rank is for."""
    data = result.dataset
    revision = f" @ {data.revision[:SHORT_HASH]}" if data.revision else ""
    note = edition_note(data.edition)
    return [
        f"data set {data.id}{revision}: edition {data.edition}, content {data.content_hash[:SHORT_HASH]}, "
        f"labels {data.level_of_theory}",
        *([note] if note else []),
    ]


def control_cell(task: TaskName, control_gaps: Mapping[TaskName, float]) -> Cell:
    """The gap of GFN1-xTB, if it is known."""
    return Cell(f"{control_gaps[task]:.2f}" if task in control_gaps else UNDEFINED)


def unknown_control(tasks: Iterable[TaskName], control_gaps: Mapping[TaskName, float]) -> list[str]:
    """How to get the gap of GFN1-xTB on tasks where it is not known."""
    unknown = [task for task in tasks if task not in control_gaps]
    return [f"gap of GFN1-xTB on {' '.join(unknown)} {_UNKNOWN_CONTROL}"] if unknown else []


def table_notes(table: FittedTable) -> list[str]:
    """The full names of shortened ones, and what is left out for lack of width."""
    lines = [f"{short} = {full}" for short, full in table.full_names.items()]
    if table.left_out:
        lines.append(f"left out, since the terminal is too narrow: {', '.join(table.left_out)}")
    return lines


def _columns(entries: Sequence[TableEntry], view: View) -> dict[str, Column]:
    several = len({entry.name for entry in entries}) > 1
    percent = f"{100 * entries[0].result.settings.confidence:.0f} %\ninterval"
    has_subsets = any(part in entry.task.splits for entry in entries for part in _SUBSETS)
    columns: dict[str, Column] = {
        "name": Column("model" if several else "task", "left", shortest=8 if several else None),
        "title": Column("", "left", left_out=8, about=_TITLES, joined=True),
        "id": Column("ID\nmeV/Å", style=ID_STYLE),
        "id_ends": Column(percent, left_out=4, about="intervals of the errors", joined=True),
        "ood": Column("OOD\nmeV/Å", style=OOD_STYLE),
        "ood_ends": Column(percent, left_out=4, about="intervals of the errors", joined=True),
        "near": Column("near\nmeV/Å", left_out=7, about=SUBSET_ERRORS, style=OOD_STYLE),
        "far": Column("far\nmeV/Å", left_out=7, about=SUBSET_ERRORS, style=OOD_STYLE),
        "gap": Column("gap\nOOD/ID"),
        "gap_ends": Column(percent, joined=True),
        "control": Column("gap of\nGFN1-xTB", left_out=2, about="gap of GFN1-xTB"),
        "energy_id": Column("E ID\nmeV", left_out=9, about=ENERGIES),
        "energy_ood": Column("E OOD\nmeV", left_out=9, about=ENERGIES),
        "score": Column("score\n0-100", left_out=3, about="score"),
        "failed": Column("fail"),
    }
    absent = {"title", "control"} if several else set()
    absent |= {"energy_id", "energy_ood", *_SUBSETS} if view.intervals else {"id_ends", "ood_ends", "gap_ends"}
    absent |= set() if has_subsets else set(_SUBSETS)
    absent |= set() if any(entry.task.n_failed for entry in entries) else {"failed"}
    return {key: column for key, column in columns.items() if key not in absent}


def _rows(
    entries: Sequence[TableEntry], control_gaps: Mapping[TaskName, float], view: View
) -> Iterator[Mapping[str, Cell] | str]:
    several = len({entry.name for entry in entries}) > 1
    last = None
    for entry in entries:
        task = entry.task.task
        title = title_of(task, entry.task.title)
        if several and task != last:
            known = f"{control_gaps[task]:.2f}" if task in control_gaps else _UNKNOWN_CONTROL
            yield f"{task} {title} (gap of GFN1-xTB {known})"
        last = task
        unfinished = f" ({UNFINISHED})" if entry.result.model.unfinished else ""
        names = {"name": Cell(entry.name, unfinished)}
        if not several:
            names = {"name": Cell(task), "title": Cell(title, unfinished), "control": control_cell(task, control_gaps)}
        yield names | _numbers(entry)
        if view.intervals:
            yield from (_subset(entry.task, part) for part in _SUBSETS if part in entry.task.splits)
        floor = entry.result.floor
        if floor is not None:
            ends = {"id": Cell(f"{floor.test_id / MILLI:.1f}"), "ood": Cell(f"{floor.test_ood / MILLI:.1f}")}
            yield {"name": Cell("  floor")} | ends


def _numbers(entry: TableEntry) -> dict[str, Cell]:
    task = entry.task
    cells = {
        "gap": ratio_cell(task.comparable_gap),
        "gap_ends": Cell(interval(task.comparable_gap, 1.0, 2)),
        "score": number_cell(task.score, 1.0, 1),
        "failed": Cell(str(task.n_failed)),
    }
    for key, part in _parts(task):
        metrics, n_failed = task.splits[part].metrics, task.n_failed_in(part)
        cells[key] = number_cell(metrics["force_mae"], MILLI, 1, n_failed)
        cells[f"{key}_ends"] = Cell("" if n_failed else interval(metrics["force_mae"], MILLI, 1))
        cells[f"energy_{key}"] = number_cell(metrics["centred_energy_mae"], MILLI, 1, n_failed)
    return cells


def _parts(task: TaskResult) -> Iterator[tuple[str, PartName]]:
    yield "id", "test_id"
    yield "ood", "test_ood"
    yield from ((part, part) for part in _SUBSETS if part in task.splits)


def _subset(task: TaskResult, part: PartName) -> dict[str, Cell]:
    force, n_failed = task.splits[part].metrics["force_mae"], task.n_failed_in(part)
    ends = "" if n_failed else interval(force, MILLI, 1)
    return {"name": Cell(f"  {part}"), "ood": number_cell(force, MILLI, 1, n_failed), "ood_ends": Cell(ends)}


def _legend(results: Sequence[RunResult], table: FittedTable, view: View) -> list[str]:
    has_subsets = any(part in task.splits for result in results for task in result.tasks.values() for part in _SUBSETS)
    energies = "" if view.intervals or ENERGIES in table.left_out else "; E: MAE of relative energies"
    subsets = ", near and far being parts of OOD" if has_subsets else ""
    order = "; smallest OOD error first" if len(results) > 1 else ""
    floor = "; floor: distance between the levels of theory" if any(result.floor for result in results) else ""
    lines = [
        f"ID, OOD: force MAE{subsets}{energies}{floor}{order}",
        SIGNS,
        f"{interval_meaning(results[0])}. To compare two models on the same molecules, use harness compare: its paired "
        f"intervals are narrower. {CARE}",
    ]
    more = [
        *([] if view.intervals else ["--intervals prints the intervals"]),
        *([] if view.provenance else ["--provenance hashes, batches, memory and errors on training frames"]),
    ]
    return [*lines, *(["; ".join(more)] if more else []), *table_notes(table)]


def _missing(entries: Sequence[TableEntry], table: FittedTable) -> list[str]:
    """Why numbers of the table or their intervals are missing."""

    def estimates(task: TaskResult) -> Iterator[Estimate]:
        for _, part in _parts(task):
            # Where frames failed, another note says so.
            if not task.n_failed_in(part):
                yield task.splits[part].metrics["force_mae"]
        if ENERGIES not in table.left_out:
            yield from (task.splits[part].metrics["centred_energy_mae"] for _, part in _parts(task))
        yield from (task.comparable_gap, task.score)

    tasks_of: dict[str, list[str]] = {}
    for entry in entries:
        tasks_of.setdefault(entry.name, []).append(entry.task.task)
    found = [(entry.name, entry.task.task, each) for entry in entries for each in estimates(entry.task)]
    return reason_lines(found, tasks_of, names=len(tasks_of) > 1)


def _few_clusters(results: Sequence[RunResult]) -> list[str]:
    """For tasks with no drawn fragments, or too few for an interval to suffice: the gap of each fragment, by model."""
    lines = []
    for name in in_order(task for result in results for task in result.tasks):
        of_task = [(result.model.id, result.tasks[name]) for result in results if name in result.tasks]
        # Drawn fragments are known of computed molecules alone, so a task that failed as a whole has none.
        of_task = [(model, task) for model, task in of_task if task.by_molecule]
        if not of_task:
            continue
        first = of_task[0][1]
        if first.clusters == "molecule":
            lines.append(f"{name} draws no fragments: its intervals are for other molecules drawn like these")
        elif len(first.by_fragment) < FEW_CLUSTERS:
            gaps = "; ".join(f"{model} {_gaps_by_fragment(task)}" for model, task in of_task)
            n = len(first.by_fragment)
            lines.append(f"few fragments for an interval: {name} draws {n}; gap of each over its own molecules: {gaps}")
    return lines


def _gaps_by_fragment(task: TaskResult) -> str:
    if task.comparable_gap.value is None:
        return UNDEFINED
    cells = (f"{each.fragment} {UNDEFINED if each.gap is None else decimal(each.gap, 2)}" for each in task.by_fragment)
    return " ".join(cells)
