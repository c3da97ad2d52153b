"""What one property of a network does to its ID and OOD error: a small panel for each property and task."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Final

from dataset_builders.core.palette import SPLITS
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import TaskName, in_order
from harness.report.panels import (
    DARK,
    LINES,
    MARKS,
    SMALL,
    TEXT,
    empty_figure,
    ends_of,
    faint_lines,
    force_axis,
    key_of_curves,
)
from harness.study.figure_groups import QUESTIONS, Question
from harness.study.summary import SPLITS as TEST_SPLITS
from harness.study.summary import Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE_WIDTH: Final = 34


@dataclass(frozen=True, slots=True)
class _Answer:
    """A question on one task, with the lines of the variants that were measured there."""

    question: Question
    task: TaskName
    lines: tuple[Line, ...]


def ablation_figure(lines: Sequence[Line]) -> "Figure | None":
    """The figure; `None` unless at least two variants of a property were measured on one task.

    Args:
        lines: Lines of all tasks.
    """
    answers = _answers(lines)
    if not answers:
        return None
    n_columns = min(3 if len(answers) > 4 else 2, len(answers))
    n_lines = -(-len(answers) // n_columns)
    figure = empty_figure(0.6 + 3.0 * n_columns, 0.7 + 2.4 * n_lines)
    panels = list(figure.subplots(n_lines, n_columns, squeeze=False, sharey=True).flat)
    for axes, answer in zip(panels, answers, strict=False):
        _draw(axes, answer)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low, 1.4 * high)
    for axes in panels[len(answers) :]:
        axes.set_visible(False)
    figure.supylabel("force MAE, meV/Å", fontsize=TEXT)
    key_of_curves(figure)
    return figure


def _answers(lines: Sequence[Line]) -> list[_Answer]:
    found = {(line.row, line.task): line for line in lines}
    answers = []
    for question in QUESTIONS:
        for task in in_order(line.task for line in lines):
            measured = tuple(found[row, task] for row in question.variants if (row, task) in found)
            if len(measured) > 1:
                answers.append(_Answer(question, task, measured))
    return answers


def _draw(axes: "Axes", answer: _Answer) -> None:
    places = range(len(answer.lines))
    task = fill(f"{answer.task}, {answer.lines[0].title}", _TITLE_WIDTH)
    room = 6.0 + 1.3 * SMALL * len(task.splitlines())
    axes.set_title(answer.question.title, fontsize=TEXT, fontweight="bold", loc="left", pad=room)
    text = axes.text(0.0, 1.03, task, transform=axes.transAxes, fontsize=SMALL, parse_math=False)
    text.set_in_layout(False)
    axes.set(yscale="log", xlim=(-0.6, len(answer.lines) - 0.5))
    axes.set_xticks(places, [answer.question.variants[line.row] for line in answer.lines])
    force_axis(axes.yaxis)
    axes.tick_params(labelsize=SMALL, labelleft=True)
    faint_lines(axes)
    for split in TEST_SPLITS:
        errors = [line.force_mae[split] for line in answer.lines]
        values = [(error.value or float("nan")) / MILLI for error in errors]
        axes.plot(places, values, color=SPLITS[split], linestyle=LINES[split], linewidth=1.3)
        for place, error, value in zip(places, errors, values, strict=True):
            axes.errorbar(
                place, value, yerr=ends_of(error), color=SPLITS[split], marker=MARKS[split], markersize=6, linewidth=1.5
            )
    for place, line in zip(places, answer.lines, strict=True):
        _gap_above(axes, place, line)


def _gap_above(axes: "Axes", place: int, line: Line) -> None:
    error = line.force_mae["test_ood"]
    if line.gap.value is None or error.value is None:
        return
    axes.annotate(
        f"gap {line.gap.value:.2f}" if place == 0 else f"{line.gap.value:.2f}",
        (place, (error.high or error.value) / MILLI),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=SMALL,
        color=DARK,
    )
