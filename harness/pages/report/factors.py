"""Anatomy of the gap: the factors that multiply to it, step by step."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from dataset_builders.core.palette import GREEN, VERMILION
from harness.pages.chart import Chart
from harness.pages.report.axes import ratio_ticks, with_room
from harness.pages.report.error_chart import specification
from harness.pages.report.number_text import Cell, NumberTable, decimal, ratio_cell
from harness.pages.report.view import Section, TaskView
from harness.results.anatomy_record import Anatomy
from harness.results.estimate import Estimate
from harness.results.result import NO_ANATOMY, TaskResult

_MEANING: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "composition": ("composition", "which atoms the OOD molecules have"),
        "conformers": ("conformers", "rotamers that training does not show"),
        "unseen_parts": ("unseen parts", "torsion types and element pairs that training does not show"),
        "combination": ("combination", "what remains: known parts, newly combined"),
        "remaining": ("unseen parts and combination", "not separable here"),
    }
)
"""Label and meaning of each factor."""


def factor_section(view: TaskView) -> Section:
    """The section; without a chart where the gap could not be divided."""
    title, found = "What the gap is made of", view.task.anatomy
    if found is None or not found.factors:
        reason = NO_ANATOMY if found is None else found.composition.reason
        return Section("factors", title, missing=f"The gap could not be divided: {reason}.")
    steps = _steps(found.factors)
    whole = view.task.comparable_gap
    chart = Chart(
        name=f"{view.key}-factors",
        specification=specification(_waterfall(steps), steps=steps),
        alternative=f"The gap of {view.name} on {view.task.task} as a product: "
        + " times ".join(
            f"{_MEANING[name][0]} {decimal(each.value or 1.0, 2)}" for name, each in found.factors.items()
        ),
        caption="Each bar begins where the one above it ends; the factors multiply to the gap.",
    )
    text = "The OOD error is reached from the ID error in steps, and each factor is the ratio of two steps."
    table = NumberTable(
        "Factors of the gap with 95 % intervals",
        ("factor", "what it is", view.name, *(["GFN1-xTB"] if view.beside else [])),
        (
            *(
                (Cell(_MEANING[name][0]), Cell(_MEANING[name][1]), ratio_cell(each, "×"), *_beside(view, name))
                for name, each in found.factors.items()
            ),
            (Cell("gap"), Cell("OOD error divided by ID error"), ratio_cell(whole), *_gap_beside(view)),
        ),
    )
    return Section("factors", title, " ".join([text, *_reasons(found)]), (chart,), (table,))


def _reasons(found: Anatomy) -> list[str]:
    """Why factors have no value or no interval, as sentences."""
    reasons = {
        label: each.reason
        for name, (label, _) in _MEANING.items()
        if name != "remaining" and (each := getattr(found, name)).reason is not None
    }
    return [f"{label[0].upper()}{label[1:]}: {reason}." for label, reason in reasons.items()]


def _beside(view: TaskView, name: str) -> list[Cell]:
    if view.beside is None:
        return []
    return [ratio_cell(_factor(view.beside, name), "×")]


def _factor(task: TaskResult, name: str) -> Estimate:
    if task.anatomy is None:
        return Estimate(value=None, low=None, high=None, unit="1", reason=NO_ANATOMY)
    found: Estimate = getattr(task.anatomy, name)
    return found


def _gap_beside(view: TaskView) -> list[Cell]:
    return [] if view.beside is None else [ratio_cell(view.beside.comparable_gap)]


def _steps(factors: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    rows, before = [], 1.0
    for name, estimate in factors.items():
        value = estimate.value or 1.0
        rows.append(_step(_MEANING[name][0], before, before * value, f"×{decimal(value, 2)}"))
        before *= value
    return [*rows, _step("gap", 1.0, before, decimal(before, 2))]


def _step(label: str, start: float, end: float, text: str) -> dict[str, Any]:
    return {"label": label, "start": start, "end": end, "right": max(start, end), "text": text}


def _waterfall(steps: list[dict[str, Any]]) -> Any:
    import altair as alt

    ends = [row[side] for row in steps for side in ("start", "end")]
    domain = with_room(min(ends), max(ends))
    scale = alt.Scale(type="log", domain=list(domain), nice=False)
    axis = alt.Axis(values=ratio_ticks(domain), format="~g", labelOverlap=True)
    order = [row["label"] for row in steps]
    base = alt.Chart(alt.NamedData("steps")).encode(
        y=alt.Y("label:N", sort=order, title=None, axis=alt.Axis(labelLimit=190, ticks=False, domain=False))
    )
    colour = alt.condition("datum.label == 'gap'", alt.value(VERMILION), alt.value(GREEN))
    bars = base.mark_bar(height=16, cornerRadius=2).encode(
        x=alt.X("start:Q", scale=scale, title="multiple of the ID error", axis=axis), x2="end:Q", color=colour
    )
    texts = base.mark_text(align="left", dx=5, fontSize=12).encode(x=alt.X("right:Q", scale=scale), text="text:N")
    line = alt.Chart(alt.NamedData("steps")).mark_rule(strokeDash=[4, 3], color="#767676").encode(x=alt.datum(1.0))
    return (line + bars + texts).properties(width="container", height={"step": 30})
