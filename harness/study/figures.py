"""The figures of a report, each a function of its lines only: identical lines give identical bytes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import whole_file
from dataset_builders.tasks.regions import in_order
from harness.study.palette import STYLES, style_of
from harness.study.run_record import DistanceRecord, TestSplitName
from harness.study.summary import Line, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

GAP_FIGURE: Final = "gap.png"
SPACER_FIGURE: Final = "spacer.png"
DISTANCE_FIGURE: Final = "distance.png"

_EXACT: Final = 0.1 * MILLI
"""eV/Å; a row with a smaller ID error reproduces the labels and is not shown on a logarithmic axis."""

_GAPS_SHOWN: Final = (0.65, 2.2)
"""Minimum axis range, so that small deviations from 1 look small."""

_DASHES: Final[Mapping[TestSplitName, str]] = {"test_id": "-", "test_ood": "--"}

Draw = Callable[["Axes", Line, tuple[str, str]], None]


def draw_figures(lines: Sequence[Line], directory: Path) -> tuple[str, ...]:
    """Draws all figures into a folder.

    Args:
        lines: Lines of all tasks; the figures have one panel per task.
        directory: Folder; created if needed.

    Returns:
        Names of the files.
    """
    measurable = [line for line in lines if (line.force_mae["test_id"].value or 0.0) >= _EXACT]
    figures = {GAP_FIGURE: _gap_figure, SPACER_FIGURE: _spacer_figure, DISTANCE_FIGURE: _distance_figure}
    if not measurable:
        return ()
    for name, draw in figures.items():
        with whole_file(directory / name) as partial:
            # Without the version of matplotlib, which would change the bytes but not the image.
            draw(measurable).savefig(partial, format="png", dpi=150, metadata={"Software": None})
    return tuple(figures)


def _gap_figure(lines: Sequence[Line]) -> "Figure":
    def draw(axes: "Axes", line: Line, style: tuple[str, str]) -> None:
        colour, marker = style
        error, gap = line.force_mae["test_id"], line.gap
        if error.value is None or gap.value is None:
            return
        axes.errorbar(
            error.value / MILLI,
            gap.value,
            xerr=_ends(error, MILLI),
            yerr=_ends(gap, 1.0),
            color=colour,
            marker=marker,
            markersize=7,
            linewidth=1.0,
            linestyle="none",
        )
        if line.expected_gap.value is not None:
            axes.plot(error.value / MILLI, line.expected_gap.value, color=colour, marker="_", markersize=11)

    figure, panels = _panels(lines, draw, [_key("composition-matched gap", color="0.3", marker="_", markersize=11)])
    for axes in panels:
        axes.axhline(1.0, color="0.8", linewidth=0.8, zorder=0)
        axes.set(xscale="log", yscale="log", xlabel="ID force MAE, meV/Å", ylabel="gap, OOD / ID")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, _GAPS_SHOWN[0]), max(high, _GAPS_SHOWN[1]))
        _plain_ticks(axes.xaxis)
        _plain_ticks(axes.yaxis, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
    return figure


def _spacer_figure(lines: Sequence[Line]) -> "Figure":
    def draw(axes: "Axes", line: Line, style: tuple[str, str]) -> None:
        for split in _DASHES:
            found = sorted(
                (spacer, spread.value)
                for (of, spacer), spread in line.by_spacer.items()
                if of == split and spread.value
            )
            _plot(axes, [spacer for spacer, _ in found], [error for _, error in found], style, split)

    figure, panels = _panels(lines, draw, _split_keys())
    for axes in panels:
        axes.set(yscale="log", xlabel="spacer length, CH$_2$ groups", ylabel="force MAE, meV/Å")
        axes.set_xticks(sorted({spacer for line in lines for _, spacer in line.by_spacer}))
        _plain_ticks(axes.yaxis)
    return figure


def _distance_figure(lines: Sequence[Line]) -> "Figure":
    def draw(axes: "Axes", line: Line, style: tuple[str, str]) -> None:
        for split in _DASHES:
            places, errors = binned_errors([record.distances for record in line.records], split)
            _plot(axes, places, errors, style, split)

    figure, panels = _panels(lines, draw, _split_keys())
    for axes in panels:
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="distance to training / typical ID distance",
            ylabel="force error of an atom, meV/Å",
        )
        _plain_ticks(axes.xaxis)
        _plain_ticks(axes.yaxis)
    return figure


def _plot(
    axes: "Axes", places: Sequence[float], errors: Sequence[float], style: tuple[str, str], split: TestSplitName
) -> None:
    """Draws errors (eV/Å) of one split as a line with markers."""
    colour, marker = style
    axes.plot(
        places,
        [error / MILLI for error in errors],
        color=colour,
        marker=marker,
        markerfacecolor=_face(colour, split),
        markersize=5,
        linewidth=1.1,
        linestyle=_DASHES[split],
    )


def binned_errors(distances: Sequence[DistanceRecord], split: TestSplitName) -> tuple[list[float], list[float]]:
    """Midpoint and error of each bin, mean over seeds; bins without atoms of the split are omitted.

    Args:
        distances: Records of the seeds of one row on one task, which share their bins.
        split: Test split.
    """
    places, errors = [], []
    for number, middle in enumerate(distances[0].middles):
        found = [error for record in distances if (error := record.error[split][number]) is not None]
        if found:
            places.append(middle)
            errors.append(fmean(found))
    return places, errors


def _panels(lines: Sequence[Line], draw: Draw, keys: "Sequence[Line2D]") -> tuple["Figure", list["Axes"]]:
    """A figure with one panel per task, two per line, and one legend: rows, then keys to the other elements."""
    from matplotlib.figure import Figure

    titles = {line.task: line.title for line in lines}
    tasks = in_order(titles)
    n_columns = min(2, len(tasks))
    n_lines = -(-len(tasks) // n_columns)
    figure = Figure(figsize=(4.6 * n_columns + 0.4, 3.5 * n_lines + 0.7), layout="constrained")
    all_axes = list(figure.subplots(n_lines, n_columns, squeeze=False, sharex=True, sharey=True).flat)
    rows = list(dict.fromkeys(line.row for line in lines))
    others = {row: number for number, row in enumerate(row for row in rows if row not in STYLES)}
    styles = {row: style_of(row, others) for row in rows}
    for axes, task in zip(all_axes, tasks, strict=False):
        axes.set_title(f"{task}: {titles[task]}", fontsize=10)
        axes.tick_params(labelbottom=True, labelleft=True)
        axes.spines[["top", "right"]].set_visible(False)
        for line in lines:
            if line.task == task:
                draw(axes, line, styles[line.row])
    for axes in all_axes[len(tasks) :]:
        axes.set_visible(False)
    handles = [
        *(_key(row, color=colour, marker=marker) for row, (colour, marker) in styles.items()),
        *keys,
    ]
    n_in_line = min(3 if n_columns == 1 else 7, len(handles))
    figure.legend(handles=handles, loc="outside lower center", ncols=n_in_line, frameon=False, fontsize=9)
    return figure, all_axes[: len(tasks)]


def _split_keys() -> "list[Line2D]":
    """Legend of filled and open markers."""
    return [
        _key(
            "ID" if split == "test_id" else "OOD",
            color="0.3",
            marker="o",
            markerfacecolor=_face("0.3", split),
            linestyle=dash,
        )
        for split, dash in _DASHES.items()
    ]


def _key(label: str, **look: Any) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **{"linestyle": "none", **look})


def _face(colour: str, split: TestSplitName) -> str:
    return colour if split == "test_id" else "white"


def _ends(spread: Spread, unit: float) -> list[list[float]] | None:
    """Lengths of the error bars of a number below and above it."""
    if spread.value is None or spread.low is None or spread.high is None:
        return None
    return [[max(0.0, spread.value - spread.low) / unit], [max(0.0, spread.high - spread.value) / unit]]


def _plain_ticks(axis: "Axis", steps: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """Formats ticks of a logarithmic axis as 20, not 2x10^1."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
