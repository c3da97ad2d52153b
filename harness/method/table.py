"""The table of a method: for each task the mean over seeds and their spread, and the overall score."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TASKS, TaskName, in_order, title_of
from harness.method.document import MeanResult, MethodMember, MethodResult, Spread
from harness.report.cost_line import cost_lines
from harness.report.leak_cautions import cautions_of_evidence, errors_on_train, gaps_of_controls
from harness.report.level_cautions import evidence_for_level
from harness.report.table import FULL_WIDTH, UNDEFINED, cautions, data_lines, protocol_of
from harness.results.result import Estimate, TaskResult

if TYPE_CHECKING:
    from rich.console import RenderableType

_HEADERS: Final = (
    "seeds",
    "ID force\nMAE, meV/Å",
    "OOD force\nMAE, meV/Å",
    "gap\nOOD / ID",
    "gap of\nGFN1-\nxTB",
    "score\n0-100",
    "fail",
)
_SUBSETS: Final = ("near", "far")
_SPREAD: Final = "±: sample standard deviation of the seeds; a task of one seed has none"
_MAX_LISTED: Final = 12
_LONGEST_WORD: Final = len("duplication")
"""Longest word in the titles of the four tasks."""


def method_table(
    method: MethodResult, control_gaps: Mapping[TaskName, float], width: int = FULL_WIDTH
) -> "RenderableType":
    """The table and its basis.

    Args:
        method: The result.
        control_gaps: Gap of GFN1-xTB by task, if known.
        width: Columns of the terminal. Below `FULL_WIDTH`, spreads are printed under their numbers, so that the table
            fits into 80 columns.

    Returns:
        A renderable for rich.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text  # Not str, which a console may parse as markup.

    result = method.result
    before = " " if width >= FULL_WIDTH else "\n"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, highlight=False)
    table.add_column("task", overflow="fold", min_width=_LONGEST_WORD)
    for header in _HEADERS:
        table.add_column(header, justify="right", no_wrap=True)
    for name in in_order(result.tasks):
        for cells in _rows_of(result, name, control_gaps):
            table.add_row(*(Text(cell.replace(" ±", f"{before}±")) for cell in cells))
    score = UNDEFINED if result.overall_score is None else _with_spread(result.overall_score, result.overall, 1.0, 1)
    overall = ("overall", "", "", "", "", "", score, "")
    table.add_row(*(Text(cell.replace(" ±", f"{before}±")) for cell in overall))
    return Group(table, *(Text(line) for line in _footer(method, control_gaps)))


def missing_tasks(result: MeanResult) -> tuple[TaskName, ...]:
    """Those of the four tasks for which a method has no model."""
    return tuple(name for name in TASKS if name not in result.tasks)


def _rows_of(result: MeanResult, name: TaskName, control_gaps: Mapping[TaskName, float]) -> Iterator[tuple[str, ...]]:
    task, seeds = result.tasks[name], result.seeds[name]
    numbers = seeds.numbers
    yield (
        f"{name}\n{title_of(name, task.title)}",
        str(len(seeds.seeds)),
        _cell(task.splits["test_id"].metrics["force_mae"], numbers["id_force_mae"], MILLI, 1),
        _cell(task.splits["test_ood"].metrics["force_mae"], numbers["ood_force_mae"], MILLI, 1),
        _cell(task.comparable_gap, numbers["gap"], 1.0, 2),
        f"{control_gaps[name]:.2f}" if name in control_gaps else UNDEFINED,
        _cell(task.score, numbers["score"], 1.0, 1),
        str(task.n_failed),
    )
    for part in _SUBSETS:
        if part in task.splits:
            force = _cell(_force(task, part), numbers[f"{part}_force_mae"], MILLI, 1)
            yield (f"  {part}", "", "", force, "", "", "", "")


def _force(task: TaskResult, part: str) -> Estimate:
    return next(split.metrics["force_mae"] for name, split in task.splits.items() if name == part)


def _cell(estimate: Estimate, spread: Spread, unit: float, digits: int) -> str:
    """A mean with the spread of the seeds; its interval below."""
    if estimate.value is None:
        return UNDEFINED
    value = _with_spread(estimate.value, spread, unit, digits)
    if estimate.low is None or estimate.high is None:
        return value
    return f"{value}\n{estimate.low / unit:.{digits}f}–{estimate.high / unit:.{digits}f}"


def _with_spread(value: float, spread: Spread | None, unit: float, digits: int) -> str:
    deviation = None if spread is None else spread.standard_deviation
    return f"{value / unit:.{digits}f}" + ("" if deviation is None else f" ± {deviation / unit:.{digits}f}")


def _footer(method: MethodResult, control_gaps: Mapping[TaskName, float]) -> list[str]:
    result = method.result
    model = result.model
    on_train = errors_on_train(result)
    lines = [
        *data_lines(result),
        "numbers are means over the seeds of a task; the gap is the ratio of the mean errors. " + _SPREAD,
        f"method {model.id} ({model.family}), {protocol_of(model)}, level of theory "
        f"{model.level_of_theory or 'unknown'}{evidence_for_level(model)}, {model.dtype} on {model.device}; "
        f"{_overall(result)}",
        *cost_lines(result),
        *_uneven(result),
        *_mixed(method),
        *([] if on_train is None else [on_train]),
        *cautions(result),
    ]
    evidence = cautions_of_evidence(result, gaps_of_controls([result], control_gaps))
    return lines + [f"caution: {each}" for each in evidence]


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
