"""The anatomy of gaps as a table: factors that multiply to the gap, and errors by end-to-end contact."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dataset_builders.core import terminal
from dataset_builders.core.terminal_table import Cell, Column, Row, fitted_table
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import title_of
from harness.report.signs import NO_INTERVAL, OOD_STYLE, UNDEFINED, interval, number_cell, ratio_cell, reason_lines
from harness.report.table import entries_of, table_notes
from harness.report.view import View
from harness.results.anatomy_record import Anatomy, ContactResult
from harness.results.estimate import Estimate
from harness.results.result import NO_ANATOMY, RunResult, TaskResult

if TYPE_CHECKING:
    from rich.console import RenderableType

JOINT: Final = "*"
"""Marks a factor that stands for unseen parts and combination together."""

_EMPTY: Final = Cell("")
_FACTORS: Final[Mapping[str, Column]] = {
    "gap": Column("gap\nOOD/ID", left_out=1, about="gap"),
    "composition": Column("compo-\nsition"),
    "conformers": Column("con-\nformers"),
    "unseen_parts": Column("unseen\nparts"),
    "combination": Column("combi-\nnation"),
}
_CONTACTS: Final[Mapping[str, Column]] = {
    "contact": Column("in contact\nmeV/Å", style=OOD_STYLE),
    "contact_frames": Column("frames"),
    "apart": Column("apart\nmeV/Å", style=OOD_STYLE),
    "apart_frames": Column("frames"),
}
_INTERVAL: Final = "  interval"
_HOW_TO_READ: Final = (
    "gap = composition x conformers x unseen parts x combination, of the force MAE: which atoms the OOD molecules "
    "have; rotamers that training does not show; torsion types and element pairs that training does not show; what "
    "remains (docs/anatomy.md). The factors of models that were not trained on these molecules, such as GFN1-xTB, show "
    "how far the molecules differ in themselves. >1, <1: the interval of the factor lies above or below 1"
)
_HOW_TO_READ_CONTACTS: Final = (
    "force MAE on OOD frames whose two end fragments are within 5 Å of each other, and on the others"
)


def anatomy_report(results: Sequence[RunResult], view: View | None = None) -> "RenderableType":
    """The factors of each gap, grouped by task, with errors by end-to-end contact where molecules have two fragments.

    Args:
        results: One or more results on one data set.
        view: What to show; the default if `None`.

    Returns:
        A renderable for rich.
    """
    from rich.console import Group

    view = view or View()
    rows = _rows(results)
    factors = [(name, task, _factor_cells(task)) for name, task in rows]
    parts = [*_table(_FACTORS, factors, view, _factor_ends), "", *terminal.notes(notes(results), view.width)]
    touching = [(name, task, _contact_cells(task)) for name, task in rows if task.by_contact]
    if touching:
        parts += ["", *_table(_CONTACTS, touching, view, _contact_ends), ""]
        parts += terminal.notes([_HOW_TO_READ_CONTACTS, *_contact_reasons(touching)], view.width)
    return Group(*parts)


def notes(results: Sequence[RunResult]) -> list[str]:
    """What the factors mean, and why some have no value or no interval; each reason once, with its tasks."""
    rows = _rows(results)
    joint = {task.task for _, task in rows if task.anatomy is not None and _is_joint(task.anatomy)}
    lines = [_HOW_TO_READ] if any(task.anatomy is not None for _, task in rows) else []
    lines += [f"{JOINT} unseen parts and combination together"] if joint else []
    reasons: dict[str, dict[str, None]] = {}
    for _, task in rows:
        for reason in _reasons(task):
            reasons.setdefault(reason, {})[task.task] = None
    return [*lines, *(f"{' '.join(tasks)}: {reason}" for reason, tasks in reasons.items())]


def _rows(results: Sequence[RunResult]) -> list[tuple[str, TaskResult]]:
    return [(entry.name, entry.task) for entry in entries_of(results)]


def _table(
    columns: Mapping[str, Column],
    entries: Sequence[tuple[str, TaskResult, Mapping[str, Cell]]],
    view: View,
    ends_of: Callable[[TaskResult], Mapping[str, Cell]],
) -> "list[RenderableType]":
    """Rows grouped by task; on demand, with a row of intervals below each."""
    rows: list[Row] = []
    last = None
    for name, task, cells in entries:
        if task.task != last:
            rows.append(f"{task.task} {title_of(task.task, task.title)}")
        last = task.task
        rows.append([Cell(name), *(cells.get(key, _EMPTY) for key in columns)])
        if view.intervals:
            ends = ends_of(task)
            rows.append([Cell(_INTERVAL, style="dim"), *(ends.get(key, _EMPTY) for key in columns)])
    found = fitted_table([Column("model", "left", shortest=8), *columns.values()], rows, view.width)
    return [*found.texts(), *terminal.notes(table_notes(found), view.width)]


def _factor_cells(task: TaskResult) -> dict[str, Cell]:
    cells = {"gap": ratio_cell(task.comparable_gap)}
    found = task.anatomy
    if found is None:
        return cells | {key: Cell(UNDEFINED) for key in _FACTORS if key != "gap"}
    cells |= {"composition": _factor(found.composition), "conformers": _factor(found.conformers)}
    if not _is_joint(found):
        return cells | {"unseen_parts": _factor(found.unseen_parts), "combination": _factor(found.combination)}
    rest = _factor(found.remaining)
    is_defined = found.remaining.value is not None
    return cells | {"combination": Cell(rest.text, JOINT + rest.sign) if is_defined else rest}


def _factor_ends(task: TaskResult) -> dict[str, Cell]:
    found = task.anatomy
    estimates = {"gap": task.comparable_gap}
    if found is not None:
        estimates |= {"composition": found.composition, "conformers": found.conformers}
        rest = {"unseen_parts": found.unseen_parts, "combination": found.combination}
        estimates |= {"combination": found.remaining} if _is_joint(found) else rest
    return {key: Cell(interval(each, 1.0, 2)) for key, each in estimates.items()}


def _factor(estimate: Estimate) -> Cell:
    return ratio_cell(estimate)


def _contact_cells(task: TaskResult) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for key, of_ood in _by_contact(task):
        cells |= {key: number_cell(of_ood.force_mae, MILLI, 1), f"{key}_frames": Cell(f"{of_ood.n_frames:,}")}
    return {key: cells.get(key, Cell(UNDEFINED)) for key in _CONTACTS}


def _contact_ends(task: TaskResult) -> dict[str, Cell]:
    return {key: Cell(interval(each.force_mae, MILLI, 1)) for key, each in _by_contact(task)}


def _contact_reasons(entries: Sequence[tuple[str, TaskResult, Mapping[str, Cell]]]) -> list[str]:
    found = [(name, task.task, each.force_mae) for name, task, _ in entries for _, each in _by_contact(task)]
    tasks_of: dict[str, list[str]] = {}
    for name, task, _ in entries:
        tasks_of.setdefault(name, []).append(task.task)
    return reason_lines(found, tasks_of)


def _by_contact(task: TaskResult) -> Iterator[tuple[str, ContactResult]]:
    return ((row.contact, row) for row in task.by_contact if row.split == "test_ood")


def _is_joint(anatomy: Anatomy) -> bool:
    """Whether unseen parts and combination cannot be separated."""
    return anatomy.combination.value is None


def _reasons(task: TaskResult) -> list[str]:
    """Why factors have no value or no interval."""
    found = task.anatomy
    if found is None:
        return [NO_ANATOMY]
    if not found.factors:
        return [f"no factors: {found.composition.reason}"]
    reasons = []
    if found.conformers.value is None:
        reasons.append(f"no factor of conformers, which is part of the last factors: {found.conformers.reason}")
    if _is_joint(found):
        reasons.append(f"{JOINT} {found.combination.reason}")
    for name, factor in found.factors.items():
        if factor.reason is not None:
            sign = "" if factor.value is None else f"{NO_INTERVAL} "
            reasons.append(f"{sign}{name.replace('_', ' ')}: {factor.reason}")
    return reasons
