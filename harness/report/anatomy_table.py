"""The anatomy of gaps as a table: factors that multiply to the gap, and errors by end-to-end contact."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import in_order
from harness.report.table import FULL_WIDTH, MAX_MODEL_WIDTH, MIN_TASK_WIDTH, UNDEFINED, with_interval
from harness.results.anatomy_record import Anatomy, ContactResult
from harness.results.estimate import Estimate
from harness.results.result import NO_ANATOMY, RunResult, TaskResult

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

JOINT: Final = "*"
"""Marks a factor that stands for unseen parts and combination together."""

_FACTORS: Final = ("gap\nOOD / ID", "compo-\nsition", "con-\nformers", "unseen\nparts", "combi-\nnation")
_HOW_TO_READ: Final = (
    "gap = composition x conformers x unseen parts x combination, of the force MAE: which atoms the OOD molecules "
    "have; rotamers that training does not show; torsion types and element pairs that training does not show; what "
    "remains (docs/anatomy.md). The factors of models that were not trained on these molecules, such as GFN1-xTB, show "
    "how far the molecules differ in themselves"
)


def anatomy_report(results: Sequence[RunResult], width: int = FULL_WIDTH) -> "RenderableType":
    """The factors of each gap, sorted by task, with errors by end-to-end contact where molecules have two fragments.

    Args:
        results: One or more results on one data set.
        width: Columns of the terminal; below `FULL_WIDTH`, models are printed under the tasks.

    Returns:
        A renderable for rich.
    """
    from rich.console import Group
    from rich.text import Text

    rows = _rows(results)
    compact = width < FULL_WIDTH
    table = _table(_FACTORS, compact=compact)
    for model, task in rows:
        _add(table, (task.task, model, *_cells(task)), compact=compact)
    parts: list[RenderableType] = [table]
    touching = [(model, task) for model, task in rows if task.by_contact]
    if touching:
        contacts = _table(("OOD force MAE, meV/Å\nends within 5 Å", "\napart"), compact=compact)
        for model, task in touching:
            _add(contacts, (task.task, model, *_contact_cells(task.by_contact)), compact=compact)
        parts.append(contacts)
    return Group(*parts, *(Text(line) for line in notes(results)))


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
    names = in_order(name for result in results for name in result.tasks)
    return [(result.model.id, result.tasks[name]) for name in names for result in results if name in result.tasks]


def _table(headers: Sequence[str], *, compact: bool) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, highlight=False)
    if compact:
        table.add_column("task\nmodel", overflow="fold", max_width=MAX_MODEL_WIDTH)
    else:
        table.add_column("task", overflow="fold", min_width=MIN_TASK_WIDTH)
        table.add_column("model", overflow="fold", min_width=8, max_width=MAX_MODEL_WIDTH)
    for header in headers:
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _add(table: "Table", cells: Sequence[str], *, compact: bool) -> None:
    from rich.text import Text  # not str, which a console may read as markup

    task, model, *numbers = cells
    names = [f"{task}\n{model}"] if compact else [task, model]
    table.add_row(*(Text(cell) for cell in (*names, *numbers)))


def _cells(task: TaskResult) -> list[str]:
    found = task.anatomy
    gap = with_interval(task.comparable_gap, 1.0, 2)
    if found is None:
        return [gap, *[UNDEFINED] * (len(_FACTORS) - 1)]
    rest = (
        ["", _factor(found.remaining) if found.remaining.value is None else _marked(found.remaining)]
        if _is_joint(found)
        else [_factor(found.unseen_parts), _factor(found.combination)]
    )
    return [gap, _factor(found.composition), _factor(found.conformers), *rest]


def _factor(estimate: Estimate) -> str:
    return with_interval(estimate, 1.0, 2)


def _marked(estimate: Estimate) -> str:
    first, *rest = _factor(estimate).split("\n")
    return "\n".join([first + JOINT, *rest])


def _contact_cells(rows: Sequence[ContactResult]) -> list[str]:
    of_ood = {row.contact: row for row in rows if row.split == "test_ood"}
    return [
        f"{with_interval(row.force_mae, MILLI, 1)}\n{row.n_frames} frames" if row is not None else UNDEFINED
        for row in (of_ood.get("contact"), of_ood.get("apart"))
    ]


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
            reasons.append(f"{name.replace('_', ' ')}: {factor.reason}")
    return reasons
