"""ID and OOD error of each row on each task, a panel for each task."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Final

from dataset_builders.tasks.regions import in_order
from harness.report.control_gaps import CONTROL
from harness.report.error_pairs import ErrorPair, draw_pairs, pair_keys
from harness.report.panels import SMALL, empty_figure
from harness.study.figure_groups import label_of
from harness.study.summary import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLE_WIDTH: Final = 32


def gap_figure(lines: Sequence[Line], rows: Sequence[str]) -> "Figure":
    """A panel for each task, a line for each row.

    Args:
        lines: Lines of all tasks; those of other rows are left out.
        rows: Rows from top to bottom.
    """
    shown = [line for line in lines if line.row in rows]
    tasks = in_order(line.task for line in shown)
    n_columns = min(2, len(tasks))
    n_lines = -(-len(tasks) // n_columns)
    most = max(len(_title(line).splitlines()) for line in shown)
    figure = empty_figure(2.0 + 3.7 * n_columns, 0.5 + n_lines * (0.85 + 0.2 * most + 0.3 * len(rows)))
    panels = figure.subplots(n_lines, n_columns, squeeze=False, sharex=True, sharey=True).flat
    for place, axes in enumerate(panels):
        if place < len(tasks):
            of_task = {line.row: line for line in shown if line.task == tasks[place]}
            pairs = [_pair(of_task[row]) if row in of_task else label_of(row) for row in rows]
            draw_pairs(axes, _title(next(iter(of_task.values()))), pairs)
        else:
            axes.set_visible(False)
    figure.legend(
        handles=pair_keys(with_explained=True),
        loc="outside lower center",
        ncols=2 if n_columns == 1 else 3,
        frameon=False,
        fontsize=SMALL,
    )
    return figure


def _title(line: Line) -> str:
    return fill(f"{line.task}: {line.title}", _TITLE_WIDTH)


def _pair(line: Line) -> ErrorPair:
    return ErrorPair(
        label=label_of(line.row),
        known=line.force_mae["test_id"],
        unseen=line.force_mae["test_ood"],
        gap=line.gap,
        explained=line.expected_gap.value,
        is_control=line.row == CONTROL,
    )
