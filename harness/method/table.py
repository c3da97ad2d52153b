"""The table of a method: for each task the mean over seeds and their spread, and the overall score."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dataset_builders.core.terminal import notes
from dataset_builders.core.terminal_table import Cell, Column, FittedTable, fitted_table
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TASKS, TaskName, in_order, title_of
from harness.method.document import MeanResult, MethodMember, MethodResult, Spread
from harness.report.cost_line import cost_lines
from harness.report.leak_cautions import cautions_of_evidence, errors_on_train, gaps_of_controls
from harness.report.level_cautions import evidence_for_level
from harness.report.model_cautions import cautions
from harness.report.model_lines import protocol_of, short_lines
from harness.report.precision_line import precision_lines
from harness.report.signs import ID_STYLE, OOD_STYLE, interval, number_cell, ratio_cell, reason_lines
from harness.report.table import (
    CARE,
    SIGNS,
    SUBSET_ERRORS,
    control_cell,
    dataset_lines,
    interval_meaning,
    table_notes,
    unknown_control,
)
from harness.report.view import View
from harness.results.result import Estimate, TaskResult

if TYPE_CHECKING:
    from rich.console import RenderableType

_COLUMNS: Final[Mapping[str, Column]] = {
    "task": Column("task", "left"),
    "title": Column("", "left", left_out=8, about="titles of the tasks", joined=True),
    "seeds": Column("seeds"),
    "id": Column("ID\nmeV/Å", style=ID_STYLE),
    "ood": Column("OOD\nmeV/Å", style=OOD_STYLE),
    "near": Column("near\nmeV/Å", style=OOD_STYLE, left_out=7, about=SUBSET_ERRORS),
    "far": Column("far\nmeV/Å", style=OOD_STYLE, left_out=7, about=SUBSET_ERRORS),
    "gap": Column("gap\nOOD/ID"),
    "control": Column("gap of\nGFN1-xTB", left_out=2, about="gap of GFN1-xTB"),
    "score": Column("score\n0-100", left_out=1, about="score"),
    "failed": Column("fail"),
}
_EMPTY: Final = Cell("")
_Number = tuple[Estimate, Spread, float, int]
"""A mean, the spread of the seeds, unit, and number of decimals."""
_SUBSETS: Final = ("near", "far")
_SPREAD: Final = "±: sample standard deviation of the seeds; a task of one seed has none"
_MAX_LISTED: Final = 12


def method_table(
    method: MethodResult, control_gaps: Mapping[TaskName, float], view: View | None = None
) -> "RenderableType":
    """The table, a line for each task, and its basis.

    Args:
        method: The result.
        control_gaps: Gap of GFN1-xTB by task, if known.
        view: What to show; the default if `None`.

    Returns:
        A renderable for rich.
    """
    from rich.console import Group

    view, result = view or View(), method.result
    has_failures = any(task.n_failed for task in result.tasks.values())
    has_subsets = not view.intervals and any(p in task.splits for task in result.tasks.values() for p in _SUBSETS)
    absent = {*([] if has_failures else ["failed"]), *([] if has_subsets else _SUBSETS)}
    columns = {key: column for key, column in _COLUMNS.items() if key not in absent}
    rows = [cells for name in in_order(result.tasks) for cells in _rows_of(result, name, control_gaps, view)]
    if result.overall_score is not None:
        score = Cell(f"{result.overall_score:.1f}", _spread(result.overall, 1.0, 1))
        rows.append({"task": Cell("mean"), "score": score})
    cells = [[row.get(key, _EMPTY) for key in columns] for row in rows]
    table = fitted_table(list(columns.values()), cells, view.width)
    legend, below = _legend(result, table, view), _footer(method, control_gaps, view)
    return Group(*table.texts(), "", *notes(legend, view.width), "", *notes(below, view.width))


def missing_tasks(result: MeanResult) -> tuple[TaskName, ...]:
    """Those of the four tasks for which a method has no model."""
    return tuple(name for name in TASKS if name not in result.tasks)


def _rows_of(
    result: MeanResult, name: TaskName, control_gaps: Mapping[TaskName, float], view: View
) -> Iterator[dict[str, Cell]]:
    task, numbers = result.tasks[name], result.seeds[name].numbers
    shown: dict[str, _Number] = {
        "id": (_force(task, "test_id"), numbers["id_force_mae"], MILLI, 1),
        "ood": (_force(task, "test_ood"), numbers["ood_force_mae"], MILLI, 1),
        "gap": (task.comparable_gap, numbers["gap"], 1.0, 2),
        "score": (task.score, numbers["score"], 1.0, 1),
    }
    for part in _SUBSETS:
        if part in task.splits:
            shown[part] = (_force(task, part), numbers[f"{part}_force_mae"], MILLI, 1)
    yield {
        "task": Cell(name),
        "title": Cell(title_of(name, task.title)),
        "seeds": Cell(str(len(result.seeds[name].seeds))),
        "control": control_cell(name, control_gaps),
        "failed": Cell(str(task.n_failed)),
        **{key: _cell(*each) for key, each in shown.items()},
    }
    if view.intervals:
        ends = {key: interval(estimate, unit, digits) for key, (estimate, _, unit, digits) in shown.items()}
        yield {key: Cell(text, style="dim") for key, text in ends.items()}
        for part in _SUBSETS:
            if part in shown:
                yield {"task": Cell(f"  {part}"), "ood": _cell(*shown[part])}
                yield {"ood": Cell(ends[part], style="dim")}


def _force(task: TaskResult, part: str) -> Estimate:
    return next(split.metrics["force_mae"] for name, split in task.splits.items() if name == part)


def _cell(estimate: Estimate, spread: Spread, unit: float, digits: int) -> Cell:
    """A mean with the spread of the seeds."""
    cell = ratio_cell(estimate) if digits > 1 else number_cell(estimate, unit, digits)
    return cell if estimate.value is None else Cell(cell.text, _spread(spread, unit, digits) + cell.sign, cell.style)


def _spread(spread: Spread | None, unit: float, digits: int) -> str:
    deviation = None if spread is None else spread.standard_deviation
    return "" if deviation is None else f" ± {deviation / unit:.{digits}f}"


def _legend(result: MeanResult, table: FittedTable, view: View) -> list[str]:
    found = [
        (result.model.id, name, each)
        for name, task in result.tasks.items()
        for each in (*(_force(task, part) for part in task.splits), task.comparable_gap, task.score)
    ]
    return [
        "ID, OOD, near, far: force MAE, mean over the seeds of a task; the gap is the ratio of the mean errors. "
        + _SPREAD,
        SIGNS,
        f"{interval_meaning(result)}. {CARE}",
        *([] if view.intervals else ["--intervals prints the intervals"]),
        *table_notes(table),
        *reason_lines(found, {result.model.id: list(result.tasks)}, names=False),
    ]


def _footer(method: MethodResult, control_gaps: Mapping[TaskName, float], view: View) -> list[str]:
    result = method.result
    lines = [
        *dataset_lines(result),
        *unknown_control(result.tasks, control_gaps),
        *_model(result, view),
        *_uneven(result),
        *_mixed(method),
        *cautions(result),
    ]
    evidence = cautions_of_evidence(result, gaps_of_controls([result], control_gaps))
    return lines + [f"caution: {each}" for each in evidence]


def _model(result: MeanResult, view: View) -> list[str]:
    model = result.model
    if not view.provenance:
        missing = [] if result.overall_score is not None else [_overall(result)]
        return [*short_lines(result, model.id, view.width), *missing]
    on_train = errors_on_train(result)
    return [
        f"method {model.id} ({model.family}), protocol {protocol_of(model)}, level of theory "
        f"{model.level_of_theory or 'unknown'}{evidence_for_level(model)}, {model.dtype} on {model.device}; "
        f"{_overall(result)}",
        *cost_lines(result),
        *precision_lines(model),
        *([] if on_train is None else [on_train]),
    ]


def _overall(result: MeanResult) -> str:
    if result.overall_score is not None:
        return f"overall score {result.overall_score:.1f}, the mean of the four tasks"
    missing = missing_tasks(result)
    if missing:
        return f"no overall score, which is the mean of all four tasks: no model of {' '.join(missing)}"
    return "no overall score, since a task has no score"


def _uneven(result: MeanResult) -> list[str]:
    counts = {name: len(seeds.seeds) for name, seeds in result.seeds.items()}
    if len(set(counts.values())) == 1:
        return []
    return [f"seeds differ between the tasks: {', '.join(f'{name} {count}' for name, count in counts.items())}"]


def _mixed(method: MethodResult) -> list[str]:
    """The family of each model, if there are several families."""
    by_family: dict[str, list[MethodMember]] = {}
    for member in method.members:
        by_family.setdefault(member.family, []).append(member)
    lines = [f"the base models differ: {method.result.model.base}"] if " + " in (method.result.model.base or "") else []
    if len(by_family) > 1:
        listed = "; ".join(f"{family}: {_listed([m.place for m in of])}" for family, of in by_family.items())
        lines.append(f"its models belong to several families: {listed}")
    return lines


def _listed(places: Sequence[str]) -> str:
    more = len(places) - _MAX_LISTED
    return ", ".join(places[:_MAX_LISTED]) + (f" and {more} more" if more > 0 else "")
