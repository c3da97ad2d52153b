"""Tables and figure of the trainings: OOD against ID error at each validation, and the power law of the two."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import DataError
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
from tests.benchmarks.convergence.fit import ERROR_RANGE, LATE_RANGE, PowerLaw, power_law
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
_LATE: Final = 0.75
"""Share of the steps after which the validation error should hardly change any more."""
_BAR_STEP: Final = 1.04
"""Factor between the places of bars, which would cover each other at the same ID error."""
_LOOKS: Final = ((BLUE, "o"), (VERMILION, "D"), (GREEN, "s"), (PURPLE, "^"), (ORANGE, "v"), (PINK, "P"))


@dataclass(frozen=True, slots=True)
class Training:
    """The checkpoints of a training.

    Attributes:
        row: Its name.
        task: Its task.
        steps: Steps at each checkpoint, ascending.
        epochs: Epochs of the whole training.
        validation: Validation error of the forces at each checkpoint, eV/Å.
        errors: ID and OOD error at each checkpoint.
        law: The power law.
        late_law: That of the end of the training; `None` if too few checkpoints are that close to the smallest error.
    """

    row: str
    task: str
    steps: tuple[int, ...]
    epochs: float
    validation: tuple[float, ...]
    errors: tuple[tuple[Effect, Effect], ...]
    law: PowerLaw
    late_law: PowerLaw | None

    @property
    def best(self) -> int:
        """Position of the checkpoint with the smallest validation error."""
        return int(np.argmin(self.validation))

    @property
    def late_change(self) -> float:
        """What the last quarter of the steps changed of the validation error, as a share."""
        return self.validation[-1] / self.validation[self.place_at(_LATE)] - 1.0

    @property
    def gap(self) -> Interval:
        """The gap of the best checkpoint."""
        known, ood = self.errors[self.best]
        gap = quotient(ood, known)
        return Interval(None, reason="the ID error is zero") if gap is None else interval_of(gap, "log")

    def place_at(self, share: float) -> int:
        """Position of the last checkpoint of this share of the steps."""
        return max(place for place, step in enumerate(self.steps) if step <= share * self.steps[-1])


def write_report(records: Path) -> None:
    """Writes the figure beside the records, and the page: its text from the template, with the tables."""
    found = list(read_records(records))
    text = TEMPLATE.read_text(encoding="utf-8")
    trainings = {quantity: trainings_of(found, quantity) for quantity in TARGETS}
    for quantity, each in trainings.items():
        text = with_table(text, quantity, table(each, quantity))
        text = with_table(text, f"course of {quantity}", course_table(each))
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
        training = Training(
            row=row,
            task=task,
            steps=tuple(each["step"] for each in own),
            epochs=own[-1]["epochs"],
            validation=tuple(each["validation_force_mae"] for each in own),
            errors=errors,
            law=power_law(errors, TARGETS[quantity]),
            late_law=_late_law(errors, TARGETS[quantity]),
        )
        found.append(training)
    return found


def _late_law(errors: Sequence[tuple[Effect, Effect]], target: float) -> PowerLaw | None:
    try:
        return power_law(errors, target, LATE_RANGE)
    except DataError:
        return None


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
        "last quarter",
        "ID",
        "OOD",
        "gap",
        f"exponent b, factor of {ERROR_RANGE:g}",
        f"gap at {target}",
        "deviation",
        f"exponent b, factor of {LATE_RANGE:g}",
        f"gap at {target}",
        "deviation",
    )
    rows = []
    for each in trainings:
        known, ood = each.errors[each.best]
        rows.append(
            (
                each.row,
                each.task,
                f"{each.epochs:.0f}",
                f"{100.0 * each.late_change:+.1f} %",
                f"{known.value / MILLI:.2f}",
                f"{ood.value / MILLI:.2f}",
                estimate_text(each.gap, digits=2),
                *_cells(each.law),
                *_cells(each.late_law),
            )
        )
    return markdown_table(header, rows, "right")


def course_table(trainings: Sequence[Training]) -> str:
    """Errors at the first checkpoint, after half of the steps and at the end, in Markdown."""
    rows = []
    for each in trainings:
        for place in (0, each.place_at(0.5), len(each.steps) - 1):
            known, ood = (side.value / MILLI for side in each.errors[place])
            rows.append(
                (each.row, each.task, f"{each.steps[place]:,}", f"{known:.3g}", f"{ood:.3g}", f"{ood / known:.2f}")
            )
    return markdown_table(("model", "task", "steps", "ID", "OOD", "gap"), rows, "right")


def _cells(law: PowerLaw | None) -> tuple[str, str, str]:
    if law is None:
        return "–", "–", "–"
    deviation = f"{100.0 * law.deviation:.1f} %"
    return estimate_text(law.exponent, digits=2), estimate_text(law.gap), deviation


def draw(trainings: Mapping[Quantity, Sequence[Training]]) -> "Figure":
    """A panel for forces and one for energies: OOD against ID error, with lines of equal gaps."""
    figure = empty_figure(11.0, 5.4)
    panels = figure.subplots(1, len(trainings))
    for axes, (quantity, own) in zip(panels, trainings.items(), strict=True):
        for index, training in enumerate(own):
            _curve(axes, training, TARGETS[quantity], index)
        _frame(axes, quantity, own)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=SMALL, frameon=False)
    return figure


def _curve(axes: "Axes", training: Training, target: float, index: int) -> None:
    colour, marker = _LOOKS[index % len(_LOOKS)]
    known, ood = (np.array([pair[side].value for pair in training.errors]) / MILLI for side in (0, 1))
    label = f"{training.row}, {training.task}"
    axes.plot(known, ood, color=colour, marker=marker, markersize=4, linestyle="none", label=label)
    for place, (law, style) in enumerate(((training.law, "--"), (training.late_law, ":")), start=2 * index):
        if law is not None and target < known.min() * MILLI:
            x = np.array([target / MILLI, known.min()])
            _extrapolation(axes, law, x, _BAR_STEP**-place, {"color": colour, "linestyle": style})


def _extrapolation(axes: "Axes", law: PowerLaw, x: FloatArray, shift: float, look: Mapping[str, str]) -> None:
    """The law over these ID errors, in meV/Å or meV, and a bar for the interval at or left of the first."""
    if law.exponent.value is None:
        return
    axes.plot(x, law.factor / MILLI * (x * MILLI) ** law.exponent.value, linewidth=1, **look)
    if law.gap.low is not None and law.gap.high is not None:
        ends = [law.gap.low * x[0], law.gap.high * x[0]]
        axes.plot([shift * x[0]] * 2, ends, color=look["color"], linewidth=2, alpha=0.6)


def _frame(axes: "Axes", quantity: Quantity, trainings: Sequence[Training]) -> None:
    axes.set(xscale="log", yscale="log")
    values = [side.value / MILLI for each in trainings for pair in each.errors for side in pair]
    bars = TARGETS[quantity] / MILLI * _BAR_STEP ** (-2 * len(trainings))
    left = min(bars, *(0.8 * each.errors[each.best][0].value / MILLI for each in trainings))
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
