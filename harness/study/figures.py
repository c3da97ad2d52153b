"""The figures of a report, each a function of its lines only: identical lines give identical bytes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.report.panels import save
from harness.study.ablation_figure import ablation_figure
from harness.study.curve_figure import curve_figure
from harness.study.figure_groups import measurable, models, numbered, references
from harness.study.gap_figure import gap_figure
from harness.study.summary import Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GAP_FIGURE: Final = "gap.png"
"""The headline: the gaps of the models, beside GFN1-xTB."""
GAP_DRAWING: Final = "gap.svg"
"""The headline again, for papers and talks."""
REFERENCES_FIGURE: Final = "references.png"
ABLATIONS_FIGURE: Final = "ablations.png"
SPACER_FIGURE: Final = "spacer.png"
DISTANCE_FIGURE: Final = "distance.png"


def draw_figures(lines: Sequence[Line], directory: Path) -> tuple[str, ...]:
    """Draws all figures into a folder.

    Args:
        lines: Lines of all tasks.
        directory: Folder; created if needed.

    Returns:
        Names of the files.
    """
    names = []
    for name, figure in _figures(measurable(lines)):
        save(figure, directory / name)
        names.append(name)
        if name == GAP_FIGURE:
            save(figure, directory / GAP_DRAWING)
            names.append(GAP_DRAWING)
    return tuple(names)


def _figures(lines: Sequence[Line]) -> "Iterator[tuple[str, Figure]]":
    for number, rows in enumerate(models(lines), start=1):
        yield numbered(GAP_FIGURE, number), gap_figure(lines, rows)
        yield numbered(SPACER_FIGURE, number), curve_figure(lines, rows, "spacer")
        yield numbered(DISTANCE_FIGURE, number), curve_figure(lines, rows, "distance")
    for number, rows in enumerate(references(lines), start=1):
        yield numbered(REFERENCES_FIGURE, number), gap_figure(lines, rows)
    figure = ablation_figure(lines)
    if figure is not None:
        yield ABLATIONS_FIGURE, figure
