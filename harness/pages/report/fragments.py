"""Errors of each fragment, and of each pair of fragments as a map."""

from dataclasses import asdict
from typing import Any, Final

from dataset_builders.core.units import MILLI
from harness.pages.chart import Chart
from harness.pages.report.error_chart import ErrorPoint, Series, dumbbells, specification
from harness.pages.report.number_text import UNDEFINED, Cell, NumberTable, decimal, error_cell, error_text
from harness.pages.report.view import NO_ERROR, Section, TaskView
from harness.results.result import FragmentResult, PairResult, TaskResult

_MOST_SHOWN: Final = 40
"""Most groups in a chart; a table holds the others."""


def fragment_section(view: TaskView) -> Section:
    """Errors over the molecules of each drawn fragment."""
    kind = "molecule" if view.task.clusters == "molecule" else "fragment"
    title = f"Which {kind}s"
    if not view.task.by_fragment:
        return Section("fragments", title, missing="This task draws no fragments or molecules that could be compared.")
    rows = sorted(view.task.by_fragment, key=lambda row: (-(row.ood_force_mae or 0.0), row.fragment))
    groups = [row.fragment for row in rows][:_MOST_SHOWN]
    own = _points(view.task, groups, ("ID", "OOD"))
    points = [*own, *_of_control(view, groups)]
    table = NumberTable(
        f"Force MAE over the molecules of each {kind}, meV/Å",
        (kind, "ID", "OOD", "gap"),
        tuple(_row(row) for row in rows),
    )
    text = (
        f"Error over all molecules with a {kind}; a pair counts for both of its fragments. These values stand behind "
        "every interval of the page, and have none themselves."
        if kind == "fragment"
        else "Error of each molecule that the task draws."
    )
    more = f" The {len(rows) - len(groups)} with the smallest errors are in the table alone." * (
        len(rows) > len(groups)
    )
    if not own:
        return Section("fragments", title, f"{text} {NO_ERROR}", (), (table,))
    chart = Chart(
        name=f"{view.key}-{kind}s",
        specification=specification(dumbbells(points, groups), points=[asdict(point) for point in points]),
        alternative=f"Force error of {view.name} by {kind}, largest first: "
        + "; ".join(
            f"{row.fragment} {_text(row.id_force_mae)} ID, {_text(row.ood_force_mae)} OOD" for row in rows[:12]
        ),
        caption=f"Largest OOD error first.{more}",
    )
    return Section("fragments", title, text, (chart,), (table,))


def pair_section(view: TaskView) -> Section:
    """The map of fragment pairs, where OOD molecules have two different fragments."""
    title = "Which pairs of fragments"
    found = [row for row in view.task.by_pair if row.split == "test_ood" and "H" not in (row.left, row.right)]
    if not any(row.left != row.right for row in found):
        return Section(
            "pairs",
            title,
            missing="No map of pairs: no OOD molecule of this task has two different fragments, so the errors of "
            "single fragments above say it all.",
        )
    names = sorted({name for row in found for name in (row.left, row.right)})
    cells = [cell for row in found for cell in _map_cells(row)]
    chart = Chart(
        name=f"{view.key}-pairs",
        specification=specification(_map(names, cells), cells=cells),
        alternative=f"OOD force error of {view.name} for each pair of fragments: "
        + "; ".join(f"{row.left} and {row.right} {_text(row.force_mae.value)}" for row in found),
        caption="OOD force MAE in meV/Å of the molecules with a pair, whichever end each fragment has. Empty: no such "
        "OOD molecule.",
    )
    table = NumberTable(
        "OOD force MAE by pair of fragments, meV/Å",
        ("pair", "molecules", "force MAE"),
        tuple(
            (
                Cell(f"{row.left} + {row.right}"),
                Cell(str(row.n_molecules), float(row.n_molecules)),
                error_cell(row.force_mae),
            )
            for row in sorted(found, key=lambda row: -(row.force_mae.value or 0.0))
        ),
    )
    return Section("pairs", title, _shown_apart(view, found), (chart,), (table,))


def _shown_apart(view: TaskView, found: list[PairResult]) -> str:
    """What training shows of the pairs."""
    trained = [{word.left, word.right} for word in view.declared.train_words()]
    every = {name for ends in trained for name in ends}
    if all({row.left, row.right} <= every for row in found) and not any(
        {row.left, row.right} <= ends for row in found for ends in trained
    ):
        return "Training shows each of these fragments, and none of these pairs."
    return "The pairs of fragments of the OOD molecules."


def _points(task: TaskResult, groups: list[str], series: tuple[Series, Series]) -> list[ErrorPoint]:
    return [
        ErrorPoint(
            row.fragment,
            name,
            value / MILLI,
            value / MILLI,
            value / MILLI,
            error_text(value),
            f"{error_text(value)} meV/Å",
        )
        for row in task.by_fragment
        if row.fragment in groups
        for name, value in zip(series, (row.id_force_mae, row.ood_force_mae), strict=True)
        if value
    ]


def _of_control(view: TaskView, groups: list[str]) -> list[ErrorPoint]:
    return [] if view.beside is None else _points(view.beside, groups, ("GFN1-xTB, ID", "GFN1-xTB, OOD"))


def _row(row: FragmentResult) -> tuple[Cell, ...]:
    errors = [
        Cell(UNDEFINED) if each is None else Cell(error_text(each), each)
        for each in (row.id_force_mae, row.ood_force_mae)
    ]
    return Cell(row.fragment), *errors, Cell(UNDEFINED) if row.gap is None else Cell(decimal(row.gap, 2), row.gap)


def _text(error: float | None) -> str:
    return UNDEFINED if error is None else error_text(error)


def _map_cells(row: PairResult) -> list[dict[str, Any]]:
    """A pair in both orders, since the ends of a molecule have none."""
    value = row.force_mae.value
    if value is None:
        return []
    orders = dict.fromkeys([(row.left, row.right), (row.right, row.left)])
    note = f"{error_cell(row.force_mae).text} meV/Å, {row.n_molecules} molecules"
    return [{"x": x, "y": y, "value": value / MILLI, "text": error_text(value), "note": note} for x, y in orders]


def _map(names: list[str], cells: list[dict[str, Any]]) -> Any:
    import altair as alt

    largest = max((cell["value"] for cell in cells), default=1.0) or 1.0
    base = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X("x:N", sort=names, title=None, axis=alt.Axis(labelAngle=0, orient="top", ticks=False, domain=False)),
        y=alt.Y("y:N", sort=names, title=None, axis=alt.Axis(ticks=False, domain=False)),
    )
    scale = alt.Scale(domain=[0.0, largest], range=["#FBE9DC", "#D55E00", "#7A2E00"])
    tiles = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("value:Q", scale=scale, legend=None),
        tooltip=[alt.Tooltip("x:N", title="pair"), alt.Tooltip("y:N", title="and"), alt.Tooltip("note:N", title="OOD")],
    )
    colour = alt.condition(f"datum.value > {0.45 * largest}", alt.value("white"), alt.value("#1b1f24"))
    texts = base.mark_text(fontSize=12).encode(text="text:N", color=colour)
    return (tiles + texts).properties(width="container", height=max(180, 44 * len(names)))
