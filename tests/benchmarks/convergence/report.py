"""Tables and figure of the trainings: OOD against ID error at each validation, and the power law of the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from dataset_builders.core.markdown import markdown_table
from dataset_builders.core.palette import BLUE, GREEN, ORANGE, PINK, PURPLE, VERMILION
from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import write_text_whole
from harness.report.panels import DARK, FAINT, SMALL, TEXT, empty_figure, force_axis, save
from harness.scoring.clusters import Clusters
from harness.scoring.influences import Effect, MoleculeSums, quotient, ratio_effect
from harness.scoring.intervals import Interval, interval_of
from harness.scoring.joining import TestSplit
from model_cards.cards.result_tables import estimate_text
from tests.benchmarks.convergence.fit import PowerLaw, power_law
from tests.benchmarks.marked_tables import with_table
from tests.benchmarks.recorded_runs import read_records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAGE: Final = Path(__file__).parents[3] / "docs" / "convergence.md"
TEMPLATE: Final = Path(__file__).with_name("page.md")
TARGETS: Final[Mapping["Quantity", float]] = {"forces": 2.0 * MILLI, "energies": 0.1 * MILLI}
"""ID errors to which the power laws are extrapolated, eV/Å and eV per atom; that of forces is near the smallest ID
errors of arXiv 2605.08988."""

Quantity = Literal["forces", "energies"]

_COLUMNS: Final[Mapping[Quantity, tuple[int, int]]] = {"forces": (3, 2), "energies": (5, 4)}
"""Places of error and weight in a record of a molecule."""
_UNITS: Final[Mapping[Quantity, str]] = {"forces": "force MAE, meV/Å", "energies": "energy MAE, meV per atom"}
_GAPS: Final = (1, 2, 5, 10)
_LOOKS: Final = ((BLUE, "o"), (VERMILION, "D"), (GREEN, "s"), (PURPLE, "^"), (ORANGE, "v"), (PINK, "P"))


@dataclass(frozen=True, slots=True)
class Training:
    """The checkpoints of a training.

    Attributes:
        row: Its name.
        task: Its task.
        epochs: Epochs at each checkpoint, ascending.
        errors: ID and OOD error at each checkpoint.
        best: Position of the checkpoint with the smallest validation error.
        law: The power law.
    """

    row: str
    task: str
    epochs: tuple[float, ...]
    errors: tuple[tuple[Effect, Effect], ...]
    best: int
    law: PowerLaw

    @property
    def gap(self) -> Interval:
        """The gap of the best checkpoint."""
        known, ood = self.errors[self.best]
        gap = quotient(ood, known)
        return Interval(None, reason="the ID error is zero") if gap is None else interval_of(gap, "log")


def write_report(records: Path) -> None:
    """Writes the figure beside the records, and the page: its text from the template, with the tables."""
    found = list(read_records(records))
    text = TEMPLATE.read_text(encoding="utf-8")
    trainings = {quantity: trainings_of(found, quantity) for quantity in TARGETS}
    for quantity, each in trainings.items():
        text = with_table(text, quantity, table(each, quantity))
    figure = draw(trainings)
    for ending in ("png", "svg"):
        save(figure, records.parent / f"convergence.{ending}")
    write_text_whole(PAGE, text)


def trainings_of(records: Sequence[Mapping[str, Any]], quantity: Quantity) -> list[Training]:
    """The trainings in the order of their first record."""
    found = []
    for row, task in dict.fromkeys((each["row"], each["task"]) for each in records):
        own = sorted(
            (each for each in records if (each["row"], each["task"]) == (row, task)), key=lambda each: each["step"]
        )
        errors = tuple((_error(each, "test_id", quantity), _error(each, "test_ood", quantity)) for each in own)
        best = int(np.argmin([each["validation_force_mae"] for each in own]))
        law = power_law(errors, TARGETS[quantity])
        found.append(Training(row, task, tuple(each["epochs"] for each in own), errors, best, law))
    return found


def _error(record: Mapping[str, Any], split: TestSplit, quantity: Quantity) -> Effect:
    value, weight = _COLUMNS[quantity]
    weights = np.array([float(each[weight]) for each in record[split]])
    sums = MoleculeSums(weights * np.array([each[value] for each in record[split]]), weights, "no molecules")
    effect = ratio_effect(sums, Clusters(split, "fragment", tuple(tuple(each[1]) for each in record[split])))
    assert effect is not None
    return effect


def table(trainings: Sequence[Training], quantity: Quantity) -> str:
    """The trainings in Markdown."""
    target = f"{TARGETS[quantity] / MILLI:g} {_UNITS[quantity].partition(', ')[2]}"
    header = (
        "model",
        "task",
        "epochs",
        "ID",
        "OOD",
        "gap",
        "exponent b",
        f"gap at an ID error of {target}",
        "checkpoints",
        "deviation",
    )
    rows = []
    for each in trainings:
        known, ood = each.errors[each.best]
        rows.append(
            (
                each.row,
                each.task,
                f"{each.epochs[-1]:.0f}",
                f"{known.value / MILLI:.2f}",
                f"{ood.value / MILLI:.2f}",
                estimate_text(each.gap, digits=2),
                estimate_text(each.law.exponent, digits=2),
                estimate_text(each.law.gap),
                f"{each.law.n_points}",
                f"{100.0 * each.law.deviation:.1f} %",
            )
        )
    return markdown_table(header, rows, "right")


def draw(trainings: Mapping[Quantity, Sequence[Training]]) -> "Figure":
    """A panel for forces and one for energies: OOD against ID error, with lines of equal gaps."""
    figure = empty_figure(11.0, 5.4)
    panels = figure.subplots(1, len(trainings))
    for axes, (quantity, own) in zip(panels, trainings.items(), strict=True):
        for index, training in enumerate(own):
            _curve(axes, training, TARGETS[quantity], *_LOOKS[index % len(_LOOKS)])
        _frame(axes, quantity, own)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def _curve(axes: "Axes", training: Training, target: float, colour: str, marker: str) -> None:
    known, ood = (np.array([pair[side].value for pair in training.errors]) / MILLI for side in (0, 1))
    label = f"{training.row}, {training.task}"
    axes.plot(known, ood, color=colour, marker=marker, markersize=4, linestyle="none", label=label)
    x = np.array([target / MILLI, known.min()])
    law = training.law
    if law.exponent.value is None or x[0] >= x[1]:
        return
    y = law.factor / MILLI * (x * MILLI) ** law.exponent.value
    axes.plot(x, y, color=colour, linestyle="--", linewidth=1)
    if law.gap.low is not None and law.gap.high is not None:
        axes.plot([x[0], x[0]], [law.gap.low * x[0], law.gap.high * x[0]], color=colour, linewidth=2, alpha=0.6)


def _frame(axes: "Axes", quantity: Quantity, trainings: Sequence[Training]) -> None:
    axes.set(xscale="log", yscale="log")
    values = [side.value / MILLI for each in trainings for pair in each.errors for side in pair]
    left = min(TARGETS[quantity] / MILLI, *(each.errors[each.best][0].value / MILLI for each in trainings)) * 0.8
    right = max(values) * 1.2
    for gap in _GAPS:
        axes.plot([left, right], [gap * left, gap * right], color=FAINT, linewidth=1, zorder=0)
        # At the upper end, away from the lines that go to the target at the lower left.
        place = {"xytext": (-5, -3), "textcoords": "offset points", "ha": "right", "va": "top"}
        axes.annotate(f"gap {gap}", (right / gap, right), fontsize=SMALL, color=DARK, **place)
    axes.set_xlim(left, right)
    axes.set_ylim(left, right)
    for axis in (axes.xaxis, axes.yaxis):
        force_axis(axis)
    axes.set_xlabel(f"ID {_UNITS[quantity]}", fontsize=TEXT)
    axes.set_ylabel(f"OOD {_UNITS[quantity]}", fontsize=TEXT)
    axes.tick_params(labelsize=SMALL)
