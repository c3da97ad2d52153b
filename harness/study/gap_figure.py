"""ID and OOD error of each row on each task as a pair of points, with the part that composition explains."""

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Final

from dataset_builders.core.palette import LIGHT_GREY, PHYSICS, SPLITS
from dataset_builders.core.units import MILLI
from dataset_builders.tasks.regions import in_order
from harness.report.control_gaps import CONTROL
from harness.study.figure_groups import label_of
from harness.study.panels import (
    DARK,
    FAINT,
    MARKS,
    SMALL,
    TEXT,
    empty_figure,
    ends_of,
    force_axis,
    key,
    plain_look,
    split_key,
)
from harness.study.summary import SPLITS as TEST_SPLITS
from harness.study.summary import Line, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE_WIDTH: Final = 32
_EXPLAINED: Final = "explained by the composition of the OOD molecules"


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
            _draw(axes, of_task, rows)
        else:
            axes.set_visible(False)
    figure.legend(
        handles=[
            split_key("test_id"),
            split_key("test_ood"),
            key(_EXPLAINED, color=LIGHT_GREY, linestyle="-", linewidth=6),
        ],
        loc="outside lower center",
        ncols=2 if n_columns == 1 else 3,
        frameon=False,
        fontsize=SMALL,
    )
    return figure


def _draw(axes: "Axes", of_task: dict[str, Line], rows: Sequence[str]) -> None:
    line = next(iter(of_task.values()))
    plain_look(axes, _title(line))
    axes.set(xscale="log", ylim=(len(rows) - 0.4, -0.75))
    axes.set_xlabel("force MAE, meV/Å", fontsize=TEXT)
    axes.set_yticks(range(len(rows)), [label_of(row) for row in rows], fontsize=TEXT)
    axes.tick_params(axis="x", labelbottom=True)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    force_axis(axes.xaxis)
    axes.text(1.02, 1.01, "gap, OOD / ID", transform=axes.transAxes, fontsize=SMALL, color=DARK, va="bottom")
    for place, row in enumerate(rows):
        if row == CONTROL:
            axes.axhspan(place - 0.5, place + 0.45, color="#F2F2F2", zorder=0)
        gap = _pair(axes, of_task[row], place) if row in of_task else "not measured"
        axes.text(1.02, place, gap, transform=axes.get_yaxis_transform(), fontsize=SMALL, va="center", color=DARK)


def _title(line: Line) -> str:
    return fill(f"{line.task}: {line.title}", _TITLE_WIDTH)


def _pair(axes: "Axes", line: Line, place: int) -> str:
    """Draws a row and returns the text of its gap."""
    known, unseen = (line.force_mae[split] for split in TEST_SPLITS)
    if known.value is None or unseen.value is None:
        return "–"
    axes.plot([known.value / MILLI, unseen.value / MILLI], [place] * 2, color=PHYSICS, linewidth=1.2, zorder=1)
    if line.expected_gap.value is not None:
        explained = known.value * line.expected_gap.value
        axes.plot([known.value / MILLI, explained / MILLI], [place] * 2, color=LIGHT_GREY, linewidth=7, zorder=2)
    for split in TEST_SPLITS:
        error = line.force_mae[split]
        axes.errorbar(
            (error.value or 0.0) / MILLI,
            place,
            xerr=ends_of(error),
            color=SPLITS[split],
            marker=MARKS[split],
            markersize=7,
            linewidth=1.6,
            zorder=3,
        )
    return _gap_text(line.gap)


def _gap_text(gap: Spread) -> str:
    if gap.value is None:
        return "–"
    ends = "" if gap.low is None or gap.high is None else f" ({gap.low:.2f}–{gap.high:.2f})"
    return f"{gap.value:.2f}{ends}"
