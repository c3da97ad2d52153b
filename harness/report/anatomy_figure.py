"""The anatomy of gaps as one figure: a stacked bar for each model, a panel for each task."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from dataset_builders.core.palette import GREEN, LIGHT_GREY, ORANGE, PINK, SKY
from dataset_builders.core.terminal_table import short_names
from dataset_builders.core.whole_file import whole_file
from dataset_builders.tasks.regions import TaskName, in_order, title_of
from harness.results.result import RunResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOOK: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {
        "composition": ("composition", LIGHT_GREY, ""),
        "conformers": ("conformers", SKY, "///"),
        "unseen_parts": ("unseen parts", ORANGE, "..."),
        "combination": ("combination", GREEN, ""),
        "remaining": ("unseen parts and combination, not separable", PINK, "xx"),
    }
)
"""Label, colour and hatching of each factor; hatching tells them apart in print. Blue and vermilion mean ID and OOD."""

_NAME_WIDTH: Final = 24
"""Characters of a name of a model; a longer one, such as a path, would leave no room for the bars."""
_TICKS: Final = (0.5, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)


@dataclass(frozen=True, slots=True)
class GapFactors:
    """The bar of one model on one task.

    Attributes:
        task: Name of the task.
        title: Title of the task.
        model: Name of the model.
        factors: Factors that multiply to the gap, by name.
        ends: Ends of the interval of the gap; `None` without one.
    """

    task: TaskName
    title: str
    model: str
    factors: Mapping[str, float]
    ends: tuple[float, float] | None


def bars_of(results: Sequence[RunResult]) -> list[GapFactors]:
    """The bars of all results that have an anatomy."""
    bars = []
    for result in results:
        for name, task in result.tasks.items():
            factors = {} if task.anatomy is None else task.anatomy.factors
            values = {factor: each.value for factor, each in factors.items() if each.value is not None}
            if values:
                low, high = task.gap.low, task.gap.high
                ends = None if low is None or high is None else (low, high)
                bars.append(GapFactors(name, title_of(name, task.title), result.model.id, values, ends))
    return bars


def draw_anatomy(bars: Sequence[GapFactors], path: Path) -> None:
    """Draws the figure into a PNG file: identical bars give identical bytes.

    Lengths are logarithms, so the parts of a bar add up to the gap; a factor below 1 points to the left. Long
    names of models are shortened in their middle.

    Args:
        bars: One or more bars; models keep their order.
        path: File to write.
    """
    with whole_file(path) as partial:
        _figure(bars).savefig(partial, format="png", dpi=150, metadata={"Software": None})


def _figure(bars: Sequence[GapFactors]) -> "Figure":
    from matplotlib.figure import Figure

    tasks = in_order(bar.task for bar in bars)
    of_task = {task: [bar for bar in bars if bar.task == task] for task in tasks}
    n_columns = min(2, len(tasks))
    lines = [tasks[start : start + n_columns] for start in range(0, len(tasks), n_columns)]
    heights = [max(len(of_task[task]) for task in line) for line in lines]
    figure = Figure(figsize=(4.4 * n_columns + 0.8, 0.3 * sum(heights) + 0.95 * len(lines) + 0.7), layout="constrained")
    axes = figure.subplots(
        len(lines), n_columns, squeeze=False, sharex=True, height_ratios=[each + 1 for each in heights]
    )
    names = short_names([bar.model for bar in bars], _NAME_WIDTH)
    for line, panels in zip(lines, axes, strict=True):
        for place, panel in enumerate(panels):
            if place < len(line):
                _draw(panel, of_task[line[place]], names)
            else:
                panel.set_visible(False)
    _scale(axes[0][0])
    _legend(figure, {name for bar in bars for name in bar.factors})
    return figure


def _draw(axes: "Axes", bars: Sequence[GapFactors], names: Mapping[str, str]) -> None:
    # Otherwise a bar that starts where another ends would lie at the very border.
    axes.use_sticky_edges = False
    for row, bar in enumerate(bars):
        ends = {True: 0.0, False: 0.0}
        for name, (_, colour, hatch) in _LOOK.items():
            length = math.log(bar.factors.get(name, 1.0))
            axes.barh(
                row,
                length,
                left=ends[length > 0.0],
                height=0.72,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                linewidth=0.5,
            )
            ends[length > 0.0] += length
        gap = sum(math.log(each) for each in bar.factors.values())
        reach = None if bar.ends is None else [[gap - math.log(bar.ends[0])], [math.log(bar.ends[1]) - gap]]
        axes.errorbar(gap, row, xerr=reach, color="black", marker="D", markersize=4, linewidth=1.0, capsize=2)
    axes.axvline(0.0, color="0.3", linewidth=0.8)
    axes.set_yticks(range(len(bars)), [names[bar.model] for bar in bars], fontsize=9)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_title(f"{bars[0].task}: {bars[0].title}", fontsize=10, loc="left")
    axes.tick_params(axis="x", labelbottom=True, labelsize=9)
    axes.set_xlabel("factor of the gap, OOD / ID (logarithmic)", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _scale(axes: "Axes") -> None:
    low, high = axes.get_xlim()
    shown = [tick for tick in _TICKS if low <= math.log(tick) <= high]
    # Ticks nearer than a twelfth of the axis would overlap; 1 is always shown.
    kept = [1.0]
    for tick in sorted(shown, key=lambda each: abs(math.log(each))):
        if all(abs(math.log(tick / other)) > (high - low) / 12.0 for other in kept):
            kept.append(tick)
    axes.set_xticks([math.log(tick) for tick in kept], [f"{tick:g}" for tick in kept])


def _legend(figure: "Figure", names: set[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label)
        for name, (label, colour, hatch) in _LOOK.items()
        if name in names
    ]
    handles.append(Line2D([], [], color="black", marker="D", markersize=4, linewidth=1.0, label="gap, 95 % interval"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
