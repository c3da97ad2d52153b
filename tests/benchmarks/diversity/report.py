"""Table and figure of the comparison: the OOD error of every series, pooled over the models that test its pairs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dataset_builders.core.markdown import markdown_table
from dataset_builders.core.palette import SPLITS
from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import write_text_whole
from harness.report.panels import DARK, SMALL, empty_figure, faint_lines, force_axis, save
from harness.scoring.clusters import Clusters
from harness.scoring.influences import MoleculeSums
from harness.scoring.intervals import Interval, quotient_interval, ratio_interval
from model_cards.cards.result_tables import UNDEFINED, estimate_text
from tests.benchmarks.diversity.series import SeriesName, TrainingSet, training_sets
from tests.benchmarks.marked_tables import with_table
from tests.benchmarks.recorded_runs import read_records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES: Final[Mapping[SeriesName, str]] = {
    "frames": "more frames",
    "molecules": "more molecules (lengths)",
    "fragments": "more fragments",
    "pairs": "more pairs of fragments, %",
}
PAGE: Final = Path(__file__).parents[3] / "docs" / "diversity.md"
TEMPLATE: Final = Path(__file__).with_name("page.md")
_MARKS: Final = ("D", "o", "s", "^")
_LINES: Final = ("-", "--", ":", "-.")


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a series.

    Attributes:
        series: Its series.
        row: Architecture and length of the training.
        position: Number of frames, molecules or fragments, or share of pairs in percent.
        n_molecules: Training molecules, of each model that counts.
        known: ID force MAE, the mean over the models, eV/Å.
        ood: OOD force MAE, eV/Å.
        against_first: The same, divided by that of the first point of the series, on the same molecules.
    """

    series: SeriesName
    row: str
    position: float
    n_molecules: tuple[int, ...]
    known: float
    ood: Interval
    against_first: Interval | None


def write_report(records: Path) -> None:
    """Writes the figure beside the records, and the page: its text from the template, with the table."""
    points = [point for series in TITLES for point in points_of(series, list(read_records(records)))]
    figure = draw(points)
    for ending in ("png", "svg"):
        save(figure, records.parent / f"diversity.{ending}")
    write_text_whole(PAGE, with_table(TEMPLATE.read_text(encoding="utf-8"), "diversity", table(points)))


def points_of(series: SeriesName, records: Sequence[Mapping[str, Any]]) -> Iterator[Point]:
    """The points of a series for each row that has all of its runs."""
    by_run = {(record["row"], record["name"]): record for record in records}
    at: dict[float, list[TrainingSet]] = {}
    for each in training_sets():
        for name, position in each.points:
            if name == series:
                at.setdefault(position, []).append(each)
    for row in dict.fromkeys(record["row"] for record in records):
        if not all((row, each.name) in by_run for sets in at.values() for each in sets):
            continue
        first: tuple[MoleculeSums, Clusters] | None = None
        for position in sorted(at):
            tested = [(by_run[row, each.name], each) for each in at[position]]
            pooled = _pooled(molecule for record, each in tested for molecule in _tested(record, each))
            against = None if first is None else quotient_interval(pooled, first)
            first = first or pooled
            counts = tuple(sorted({record["n_molecules"] for record, _ in tested}))
            known = fmean(record["id_force_mae"] for record, _ in tested)
            yield Point(series, row, position, counts, known, ratio_interval(*pooled), against)


def _tested(record: Mapping[str, Any], each: TrainingSet) -> Iterator[tuple[str, int, float]]:
    """Molecule, number of atoms and force MAE of the OOD molecules of a run that count."""
    wanted = {frozenset(pair) for pair in each.pairs}
    for molecule_id, _, n_atoms, error in record["ood"]:
        left, _, right = molecule_id.split("-")
        if frozenset((left, right)) in wanted:
            yield molecule_id, n_atoms, error


def _pooled(molecules: Iterable[tuple[str, int, float]]) -> tuple[MoleculeSums, Clusters]:
    """Sums over molecules, in one order, with their two fragments as clusters."""
    found = sorted(molecules)
    components = np.array([3.0 * n_atoms for _, n_atoms, _ in found])
    errors = np.array([error for _, _, error in found])
    ends = tuple(tuple(sorted(name.split("-")[::2])) for name, _, _ in found)
    return MoleculeSums(errors * components, components, "no molecules"), Clusters("test_ood", "fragment", ends)


def table(points: Sequence[Point]) -> str:
    """The points in Markdown."""
    header = ("series", "model", "at", "training molecules", "ID", "OOD", "OOD / ID", "against the first")
    rows = [
        (
            TITLES[each.series],
            each.row,
            f"{each.position:g}",
            " or ".join(map(str, each.n_molecules)),
            f"{each.known / MILLI:.1f}",
            estimate_text(each.ood, 1.0 / MILLI),
            UNDEFINED if each.ood.value is None else f"{each.ood.value / each.known:.2f}",
            UNDEFINED if each.against_first is None else estimate_text(each.against_first, digits=2),
        )
        for each in points
    ]
    return markdown_table(header, rows, "right")


def draw(points: Sequence[Point]) -> "Figure":
    """A column for each series, a line for each row: the OOD error, and below it the same divided by the first."""
    figure = empty_figure(11.0, 5.6)
    panels = figure.subplots(2, len(TITLES), sharex="col", sharey="row")
    rows = list(dict.fromkeys(each.row for each in points))
    for (above, below), (series, title) in zip(panels.T, TITLES.items(), strict=True):
        for index, row in enumerate(rows):
            own = [each for each in points if (each.series, each.row) == (series, row)]
            look = {"marker": _MARKS[index % len(_MARKS)], "linestyle": _LINES[index % len(_LINES)], "label": row}
            places = [each.position for each in own]
            _line(above, places, [each.ood for each in own], MILLI, look)
            _line(below, places, [each.against_first or Interval(1.0) for each in own], 1.0, look)
        if series == "frames":
            above.set_xscale("log")
        positions = sorted({each.position for each in points if each.series == series})
        below.set_xticks(positions, [f"{position:g}" for position in positions])
        above.set_title(title, fontsize=SMALL, color=DARK)
        for axes in (above, below):
            axes.minorticks_off()
            axes.set_yscale("log")
            faint_lines(axes)
    for axes, label in zip(panels[:, 0], ("OOD force MAE, meV/Å", "divided by the first of the series"), strict=True):
        force_axis(axes.yaxis, (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0))
        axes.set_ylabel(label, fontsize=SMALL)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(rows), fontsize=SMALL, frameon=False)
    return figure


def _line(
    axes: "Axes", places: Sequence[float], numbers: Sequence[Interval], unit: float, look: Mapping[str, str]
) -> None:
    """A line with the ends of the intervals; a number without an interval has none."""
    values = np.array([each.value for each in numbers], dtype=np.float64) / unit
    ends = np.array([(each.low or each.value, each.high or each.value) for each in numbers], dtype=np.float64) / unit
    axes.errorbar(places, values, yerr=np.abs(ends.T - values), color=SPLITS["test_ood"], capsize=2, **look)
