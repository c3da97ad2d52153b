"""Table and figure of the comparison: the OOD error of every series, pooled over the models that test its pairs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
        ood: OOD force MAE, eV/Å.
        against_first: The same, divided by that of the first point of the series, on the same molecules.
    """

    series: SeriesName
    row: str
    position: float
    n_molecules: tuple[int, ...]
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
            yield Point(series, row, position, counts, ratio_interval(*pooled), against)


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
    header = ("series", "model", "at", "training molecules", "OOD force MAE, meV/Å", "against the first")
    rows = [
        (
            TITLES[each.series],
            each.row,
            f"{each.position:g}",
            " or ".join(map(str, each.n_molecules)),
            estimate_text(each.ood, 1.0 / MILLI),
            UNDEFINED if each.against_first is None else estimate_text(each.against_first, digits=2),
        )
        for each in points
    ]
    return markdown_table(header, rows, "right")


def draw(points: Sequence[Point]) -> Any:
    """A panel for each series, a line for each row; one scale of errors."""
    figure = empty_figure(11.0, 3.4)
    panels = figure.subplots(1, len(TITLES), sharey=True)
    rows = list(dict.fromkeys(each.row for each in points))
    for axes, (series, title) in zip(panels, TITLES.items(), strict=True):
        for index, row in enumerate(rows):
            own = [each for each in points if (each.series, each.row) == (series, row)]
            if not own:
                continue
            values = np.array([each.ood.value for each in own]) / MILLI
            ends = np.array([(each.ood.low or each.ood.value, each.ood.high or each.ood.value) for each in own]) / MILLI
            axes.errorbar(
                [each.position for each in own],
                values,
                yerr=np.abs(ends.T - values),
                color=SPLITS["test_ood"],
                marker=_MARKS[index % len(_MARKS)],
                linestyle=_LINES[index % len(_LINES)],
                capsize=2,
                label=row,
            )
        if series == "frames":
            axes.set_xscale("log")
        positions = sorted({each.position for each in points if each.series == series})
        axes.set_xticks(positions, [f"{position:g}" for position in positions])
        axes.minorticks_off()
        axes.set_title(title, fontsize=SMALL, color=DARK)
        faint_lines(axes)
        axes.set_yscale("log")
    force_axis(panels[0].yaxis)
    panels[0].set_ylabel("OOD force MAE, meV/Å", fontsize=SMALL)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(rows), fontsize=SMALL, frameon=False)
    return figure
