"""The result table: errors and gaps beside the values that put them into context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.editions import edition_note
from dataset_builders.tasks.regions import TaskName, in_order, title_of
from harness.networks.finished import UNFINISHED
from harness.report.control_gaps import CONTROL
from harness.report.cost_line import cost_lines
from harness.report.leak_cautions import cautions_of_evidence, errors_on_train, gaps_of_controls
from harness.report.level_cautions import evidence_for_level, level_cautions, overlap_lines
from harness.results.result import Estimate, FloorRecord, ModelRecord, PartName, RunResult, TaskResult
from harness.scoring.intervals import FEW_CLUSTERS

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

UNDEFINED: Final = "–"
MARK: Final = "*"
"""Marks a number of a split with failed frames; their count is printed below the table."""
_UNKNOWN_CONTROL: Final = f"run\n--model\n{CONTROL}"
MAX_MODEL_WIDTH: Final = 14
MIN_TASK_WIDTH: Final = 6
MAX_TASK_WIDTH: Final = 20
"""Columns of the longest title of the four tasks; longer titles of other tasks are wrapped."""
_SUBSETS: Final[tuple[PartName, ...]] = ("near", "far")
_SPLITS: Final[Mapping[PartName, str]] = {"test_id": "ID", "test_ood": "OOD"}

FULL_WIDTH: Final = 100
"""Maximum width of the table in columns."""
_LEFT_OUT: Final = f"relative energies: in a terminal of {FULL_WIDTH} columns, and in result.json"


@dataclass(frozen=True, slots=True)
class _Layout:
    """Whether the table shows several models, and whether it must fit a narrow terminal."""

    several: bool
    compact: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table: one task of one model."""

    result: RunResult
    task: TaskResult


def console() -> "Console":
    """The terminal at its own width, or at the width of the full table if there is no terminal."""
    from rich.console import Console

    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=FULL_WIDTH)


def report(
    results: Sequence[RunResult], control_gaps: Mapping[TaskName, float], width: int = FULL_WIDTH
) -> "RenderableType":
    """One table of all results, a row for each model and task, sorted by task, with notes on data and intervals.

    Args:
        results: One or more results on one data set.
        control_gaps: Gap of GFN1-xTB by task, where it is known.
        width: Columns of the terminal. Below `FULL_WIDTH`, models are printed under the tasks and relative energies
            are left out, so that the table fits into 80 columns.

    Returns:
        A renderable for rich.
    """
    from rich.console import Group
    from rich.text import Text  # not str, which a console may read as markup

    names = in_order(name for result in results for name in result.tasks)
    rows = [_Row(result, result.tasks[name]) for name in names for result in results if name in result.tasks]
    layout = _Layout(several=len(results) > 1, compact=width < FULL_WIDTH)
    table = _empty_table(layout)
    for row in rows:
        _add_task(table, row, control_gaps, layout)
    left_out = [_LEFT_OUT] if layout.compact else []
    return Group(table, *(Text(line) for line in (*left_out, *footer(results, control_gaps))))


def footer(results: Sequence[RunResult], control_gaps: Mapping[TaskName, float] | None = None) -> list[str]:
    """Notes on the numbers: data set, models, levels of theory, intervals, failures, and cautions."""
    lines = [*data_lines(results[0]), *_few_clusters(results)]
    controls = gaps_of_controls(results, control_gaps or {})
    for result in results:
        lines.append(_model_line(result))
        lines.extend(cost_lines(result))
        on_train = errors_on_train(result)
        lines.extend([] if on_train is None else [on_train])
        lines.extend(cautions(result))
        lines.extend(f"caution: {each}" for each in cautions_of_evidence(result, controls))
    return lines


def _few_clusters(results: Sequence[RunResult]) -> list[str]:
    """For tasks with no drawn fragments, or too few for an interval to suffice: the gap of each fragment, by model."""
    lines = []
    for name in in_order(task for result in results for task in result.tasks):
        of_task = [(result.model.id, result.tasks[name]) for result in results if name in result.tasks]
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
    cells = (f"{each.fragment} {UNDEFINED if each.gap is None else f'{each.gap:.2f}'}" for each in task.by_fragment)
    return " ".join(cells)


def data_lines(result: RunResult) -> list[str]:
    """The data set of a table, and the meaning of its intervals."""
    return [
        *dataset_lines(result),
        f"below each number: {100 * result.settings.confidence:.0f} % interval for other fragments and molecules "
        "drawn like these, at the same spacers (by fragment, ID and OOD together). To compare two models on the same "
        "molecules, use harness compare: its paired intervals are narrower. Read a gap together with its ID error: a "
        "model that learned little has a gap near 1",
    ]


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


def _empty_table(layout: _Layout) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, highlight=False)
    if layout.compact:
        table.add_column("task\nmodel" if layout.several else "task", overflow="fold", max_width=MAX_MODEL_WIDTH)
    else:
        table.add_column("task", overflow="fold", min_width=MIN_TASK_WIDTH, max_width=MAX_TASK_WIDTH)
    if layout.several and not layout.compact:
        table.add_column("model", overflow="fold", min_width=8, max_width=MAX_MODEL_WIDTH)
    headers = ["ID force\nMAE, meV/Å", "OOD force\nMAE, meV/Å", "gap\nOOD / ID", "gap of\nGFN1-xTB", "score\n0-100"]
    if not layout.compact:
        headers.append("rel. energy\nMAE ID / OOD\nmeV")
    for header in (*headers, "fail"):
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _add_task(table: "Table", row: _Row, control_gaps: Mapping[TaskName, float], layout: _Layout) -> None:
    task, splits = row.task, row.task.splits
    id_energy, ood_energy = (splits[split].metrics["centred_energy_mae"] for split in ("test_id", "test_ood"))
    n_failed = {name: task.n_failed_in(name) for name in splits}
    floor = row.result.floor
    numbers = [
        _of_split(splits["test_id"].metrics["force_mae"], n_failed["test_id"]) + _floor(floor, "test_id"),
        _of_split(splits["test_ood"].metrics["force_mae"], n_failed["test_ood"]) + _floor(floor, "test_ood"),
        with_interval(task.comparable_gap, 1.0, 2),
        f"{control_gaps[task.task]:.2f}" if task.task in control_gaps else _UNKNOWN_CONTROL,
        _number(task.score, 1.0, 1),
    ]
    energy = f"{_marked(id_energy, n_failed['test_id'])} / {_marked(ood_energy, n_failed['test_ood'])}"
    _add_row(table, layout, _names(row, layout), [*numbers, energy, str(task.n_failed)])
    for name in _SUBSETS:
        if name in splits:
            metrics = splits[name].metrics
            energy = f"{UNDEFINED} / {_marked(metrics['centred_energy_mae'], n_failed[name])}"
            force = _of_split(metrics["force_mae"], n_failed[name])
            names = [f"  {name}"] + [""] * (len(_names(row, layout)) - 1)
            _add_row(table, layout, names, ["", force, "", "", "", energy, ""])


def _names(row: _Row, layout: _Layout) -> list[str]:
    """The cells to the left of the numbers."""
    task, model = row.task.task, row.result.model.id + (f"\n{UNFINISHED}" if row.result.model.unfinished else "")
    if not layout.several:
        title = title_of(task, row.task.title)
        return [f"{task}\n{title}" + (f"\n{UNFINISHED}" if row.result.model.unfinished else "")]
    return [f"{task}\n{model}"] if layout.compact else [task, model]


def _add_row(table: "Table", layout: _Layout, names: Sequence[str], numbers: Sequence[str]) -> None:
    """Adds a row; the last number but one is the relative energy error."""
    from rich.text import Text  # not str, which a console may read as markup

    shown = [*numbers[:-2], numbers[-1]] if layout.compact else numbers
    table.add_row(*(Text(cell) for cell in (*names, *shown)))


def _of_split(estimate: Estimate, n_failed: int) -> str:
    """A force error in meV/Å, and below it its interval or the number of failed frames of its split."""
    return f"{_marked(estimate, n_failed)}\n{n_failed} failed" if n_failed else with_interval(estimate, MILLI, 1)


def _floor(floor: FloorRecord | None, split: Literal["test_id", "test_ood"]) -> str:
    """A line with the distance between the levels of theory of model and labels; empty where they are the same."""
    if floor is None:
        return ""
    return f"\nfloor {(floor.test_id if split == 'test_id' else floor.test_ood) / MILLI:.1f}"


def _marked(estimate: Estimate, n_failed: int) -> str:
    """An error in thousandths, marked if failed frames are left out."""
    return _number(estimate, MILLI, 1) + (MARK if n_failed and estimate.value is not None else "")


def with_interval(estimate: Estimate, unit: float, digits: int) -> str:
    """A number, and below it its interval, in multiples of `unit`."""
    if estimate.low is None or estimate.high is None:
        return _number(estimate, unit, digits)
    low, high = estimate.low / unit, estimate.high / unit
    return f"{_number(estimate, unit, digits)}\n{low:.{digits}f}–{high:.{digits}f}"


def _number(estimate: Estimate, unit: float, digits: int) -> str:
    return UNDEFINED if estimate.value is None else f"{estimate.value / unit:.{digits}f}"


def _failures_by_split(result: RunResult) -> list[str]:
    """For each marked number, how many of the frames are left out."""
    return [
        f"{MARK} {name} {_SPLITS[split]} of {result.model.id}: {n_failed} of {n_failed + task.splits[split].n_frames} "
        "frames failed; the number covers the others only and has no interval, gap or rank"
        for name, task in result.tasks.items()
        for split in _SPLITS
        if (n_failed := task.n_failed_in(split))
    ]


def _open_shifts(result: RunResult) -> list[str]:
    """Why a task with training frames has no energy per atom: they do not fix the zero of energy of a molecule."""
    found = [
        (name, task.splits["test_ood"].metrics["energy_mae_per_atom"])
        for name, task in result.tasks.items()
        if task.reference_shift is not None
    ]
    return [
        f"caution: the energy per atom on {name} is undefined for {result.model.id}: {each.reason}"
        for name, each in found
        if each.value is None
    ]


def _model_line(result: RunResult) -> str:
    model = result.model
    files = ", ".join(f"{name} {sha256[:SHORT_HASH]}" for name, sha256 in sorted(model.files.items()))
    parts = [
        f"{model.id} ({model.family})",
        *([f"commit {model.revision[:SHORT_HASH]}"] if model.revision else []),
        protocol_of(model),
        *([f"training not finished ({model.unfinished})"] if model.unfinished else []),
        f"level of theory {model.level_of_theory or 'unknown'}{evidence_for_level(model)}",
        f"{model.dtype} on {model.device}",
        *([files] if files else []),
        f"code {result.environment.code_hash[:SHORT_HASH]}",
    ]
    score = "" if result.overall_score is None else f"; overall score {result.overall_score:.1f}"
    return "model " + ", ".join(parts) + score


def protocol_of(model: ModelRecord) -> str:
    """The protocol, and the evidence for it."""
    said = f"protocol {model.protocol}" + (f" on {model.trained_on}" if model.trained_on else "")
    said += f" of {model.base}" if model.base else ""
    if model.training == "proved":
        return f"{said}, proved by its checkpoint"
    where = f", as stated by {model.stated_by}" if model.stated_by else ""
    return said + where + (f" ({model.unchecked})" if model.unchecked else "")


def cautions(result: RunResult) -> list[str]:
    """What a reader of this model's numbers needs to know."""
    model = result.model
    lines = [*level_cautions(result), *overlap_lines(model)]
    if model.question:
        lines.append(f"question: {model.question}")
    failed = sum(task.n_failed for task in result.tasks.values())
    if failed:
        lines.append(
            f"caution: {failed} structures failed and are not in the averages; a task with failures has no score"
        )
        lines.extend(_failures_by_split(result))
    lines.extend(_open_shifts(result))
    if model.unfinished:
        lines.append(
            f"caution: the training of {model.id} was stopped early ({model.unfinished}); its numbers are not those of "
            "a finished model"
        )
    if model.conservative is False:
        lines.append(f"caution: the forces of {model.id} are not the derivative of its energy")
    lines.extend(f"caution: {each}" for each in model.cautions)
    return lines
