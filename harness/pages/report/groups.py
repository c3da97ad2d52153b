"""Errors on near and far molecules, and on frames whose two ends touch."""

from dataclasses import asdict

from harness.pages.chart import Chart
from harness.pages.report.error_chart import ErrorPoint, Series, error_point, horizontal, positive, specification
from harness.pages.report.number_text import Cell, NumberTable, error_cell
from harness.pages.report.view import NO_ERROR, Section, TaskView
from harness.results.estimate import Estimate
from harness.results.result import TaskResult

_NAMES = {"near": "near", "far": "far", "contact": "ends in contact", "apart": "ends apart"}

_NEAR = (
    "Training has every environment of a far OOD molecule up to three bonds from a heavy atom, and lacks some of a "
    "near one; the words are about shared environments, not about distances in space. "
)
_CONTACT = "Contact: any atoms of the two end fragments within 5 Å of each other."


def group_section(view: TaskView) -> Section:
    """The section; without a chart where the task has neither subsets nor molecules with two fragments."""
    title, groups = "Near, far and contact", group_errors(view.task)
    if len(groups) == 1:
        return Section(
            "groups",
            title,
            missing="Left out: this task has no near and far subsets, and its molecules have no two end fragments that "
            "could touch.",
        )
    beside = {} if view.beside is None else group_errors(view.beside)
    own = _points(groups, "OOD")
    points = [*own, *_points(beside, "GFN1-xTB, OOD")]
    text = (_NEAR if "near" in groups or "far" in groups else "") + (
        _CONTACT if len(groups) > 3 or "ends apart" in groups else ""
    )
    rows = [
        (
            Cell(name),
            Cell(f"{count:,}", float(count)),
            error_cell(error),
            *([error_cell(beside[name][0])] if name in beside else []),
        )
        for name, (error, count) in groups.items()
    ]
    headers = ("OOD frames", "number", f"{view.name}, meV/Å", *(["GFN1-xTB, meV/Å"] if beside else []))
    table = NumberTable("OOD force MAE with 95 % intervals", headers, tuple(rows))
    if not own:
        return Section("groups", title, f"{text} {NO_ERROR}", (), (table,))
    chart = Chart(
        name=f"{view.key}-groups",
        specification=specification(horizontal(points, list(groups)), points=[asdict(point) for point in points]),
        alternative=f"OOD force error of {view.name} by group: "
        + "; ".join(f"{name} {error_cell(error).text}" for name, (error, _) in groups.items())
        + " meV/Å.",
        caption="OOD force MAE with 95 % intervals.",
    )
    return Section("groups", title, text, (chart,), (table,))


def group_errors(task: TaskResult) -> dict[str, tuple[Estimate, int]]:
    """OOD error and number of frames of each group that the task has."""
    ood = task.splits["test_ood"]
    found = {"all OOD": (ood.metrics["force_mae"], ood.n_frames)}
    for name in ("near", "far"):
        if name in task.splits:
            part = task.splits[name]
            found[_NAMES[name]] = (part.metrics["force_mae"], part.n_frames)
    for row in task.by_contact:
        if row.split == "test_ood":
            found[_NAMES[row.contact]] = (row.force_mae, row.n_frames)
    return found


def _points(groups: dict[str, tuple[Estimate, int]], series: Series) -> list[ErrorPoint]:
    return positive(error_point(name, series, error) for name, (error, _) in groups.items())
