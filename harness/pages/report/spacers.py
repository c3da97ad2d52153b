"""Error against spacer length, with the lengths that training shows shaded."""

from collections.abc import Iterable, Sequence

from harness.pages.chart import Chart
from harness.pages.report.error_chart import (
    OF_SPLIT,
    ErrorPoint,
    by_spacer,
    error_point,
    positive,
    spacer_rows,
    specification,
)
from harness.pages.report.number_text import Cell, NumberTable, error_cell
from harness.pages.report.view import NO_ERROR, Section, TaskView

_NO_FRAGMENT = "H"
"""The bare end of an alkane, which is no fragment to learn."""


def spacer_section(view: TaskView) -> Section:
    """The section; without a chart where no error is above zero."""
    lengths, fragments = trained_lengths(view)
    shown = f"Training shows {fragments} at k = {_listed(lengths)} (shaded)." if lengths else ""
    title, own = "Error against spacer length", _points(view, of_control=False)
    if not own:
        return Section("spacer", title, missing=NO_ERROR)
    points = [*own, *_points(view, of_control=True)]
    spans = [(lengths[0], lengths[-1])] if lengths else []
    shades = [{"from": first - 0.5, "to": last + 0.5} for first, last in spans]
    chart = Chart(
        name=f"{view.key}-spacer",
        specification=specification(by_spacer(points, spans), points=spacer_rows(points), spans=shades),
        alternative=f"Force error of {view.name} on {view.task.task} by spacer length. {_spoken(points)}. {shown}",
        caption="Bars: 95 % intervals, where there are enough fragments for one."
        + (" Grey: GFN1-xTB on the same molecules." if view.beside else ""),
    )
    return Section("spacer", title, shown, (chart,), (_table(view),))


def trained_lengths(view: TaskView) -> tuple[list[int], str]:
    """The spacer lengths at which training shows the fragments of the OOD molecules, and what these are called.

    Where OOD molecules have fragments, bare alkanes of other lengths are left out: a fragment on a longer chain is new
    although the chain is not.
    """
    declared = view.declared
    wanted = {end for word in declared.ood_words() for end in (word.left, word.right)} - {_NO_FRAGMENT}
    trained = declared.train_words()
    with_fragment = sorted({word.spacer for word in trained if wanted & {word.left, word.right}})
    if with_fragment:
        return with_fragment, "these fragments"
    return sorted({word.spacer for word in trained}), "chains"


def _points(view: TaskView, *, of_control: bool) -> list[ErrorPoint]:
    task = view.beside if of_control else view.task
    if task is None:
        return []
    return positive(error_point(row.spacer, OF_SPLIT[row.split][of_control], row.force_mae) for row in task.by_spacer)


def _table(view: TaskView) -> NumberTable:
    other = {} if view.beside is None else {(row.split, row.spacer): row.force_mae for row in view.beside.by_spacer}
    rows = [
        (
            Cell(f"{OF_SPLIT[row.split][0]}, k = {row.spacer}"),
            Cell(str(row.n_molecules), float(row.n_molecules)),
            error_cell(row.force_mae),
            *([error_cell(other[row.split, row.spacer])] if (row.split, row.spacer) in other else []),
        )
        for row in view.task.by_spacer
    ]
    headers = ("frames", "molecules", f"{view.name}, meV/Å", *(["GFN1-xTB, meV/Å"] if other else []))
    return NumberTable("Force MAE by spacer length, with 95 % intervals", headers, tuple(rows))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _spoken(points: Iterable[ErrorPoint]) -> str:
    return "; ".join(f"{point.series} at {point.group}: {point.text}" for point in points) + " meV/Å"
