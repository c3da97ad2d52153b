"""The charts of the leaderboard page: specifications without data, which the scripts of the page put in."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from dataset_builders.core.errors import MissingPackageError
from dataset_builders.tasks.regions import TaskName, title_of
from harness.pages.chart import Chart

ERRORS: Final = "errors"
"""Name of the chart of a model's errors."""

SHAPES: Final[Mapping[str, str]] = {
    "from-scratch": "circle",
    "fine-tuned": "diamond",
    "zero-shot": "triangle-up",
    "control": "cross",
    "other": "square",
}
"""Shape of a point by protocol; the page has one legend for all charts."""
_ID_TICKS: Final = [10.0**power * step for power in range(-2, 5) for step in (1, 2, 5)]
_FINE_TICKS: Final = [10.0**power * step for power in range(-2, 5) for step in (1, 1.5, 2, 3, 4, 5, 7)]
_GAP_TICKS: Final = [0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 3, 4, 5, 7, 10, 20, 50, 100]
_PANEL_HEIGHT: Final = 280


@cache
def gap_chart(task: TaskName, title: str | None = None) -> Chart:
    """Gap against ID error on one task, each with its interval; a point is a row of the table.

    Args:
        task: The task.
        title: Title that the data set declares for a custom task.

    Raises:
        MissingPackageError: If altair is not installed.
    """
    alt = _altair()
    points = {"name": "points"}
    x = alt.X("id:Q", title="ID force MAE, meV/Å", scale=_domain(alt, "x"), axis=_axis(alt, _ID_TICKS))
    y = alt.Y("gap:Q", title="gap, OOD / ID", scale=_domain(alt, "y"), axis=_axis(alt, _GAP_TICKS))
    colour = alt.Color("kind:N", legend=None, scale=_kinds(alt))
    faded = alt.condition("datum.picked || !anyPicked", alt.value(1), alt.value(0.25))
    base = alt.Chart(points)
    rules = [
        base.mark_rule(strokeWidth=1, opacity=0.55).encode(
            y=y, x="idLow:Q", x2="idHigh:Q", color=colour, opacity=faded
        ),
        base.mark_rule(strokeWidth=1, opacity=0.55).encode(
            x=x, y="gapLow:Q", y2="gapHigh:Q", color=colour, opacity=faded
        ),
    ]
    shape = alt.Shape("protocol:N", legend=None, scale=alt.Scale(domain=[*SHAPES], range=[*SHAPES.values()]))
    dots = base.mark_point(filled=True, size=85, cursor="pointer").encode(
        x=x, y=y, color=colour, shape=shape, opacity=faded, tooltip=_tooltip(alt)
    )
    names = base.mark_text(align="left", dx=6, dy=-9, fontSize=11, limit=150, cursor="pointer").encode(
        x=x, y=y, text="label:N", opacity=faded
    )
    specification = alt.layer(*_lines(alt), *rules, dots, names).properties(
        width="container", height=_PANEL_HEIGHT, title=f"{task}: {title_of(task, title)}"
    )
    specification = specification.add_params(
        *(
            alt.param(name=name, value=value)
            for name, value in (("xMin", 1), ("xMax", 1000), ("yMin", 0.5), ("yMax", 4))
        ),
        alt.param(name="anyPicked", value=False),
    )
    return Chart(
        f"gap-{task.replace('_', '-')}",
        specification.to_dict(validate=False),
        f"Gap against ID force error on {task}, both on logarithmic axes, one point for each model of the table with "
        "its 95 % intervals. The table above holds the same numbers.",
        "",
    )


@cache
def errors_chart() -> Chart:
    """ID and OOD force errors of one model on all tasks, with intervals.

    Raises:
        MissingPackageError: If altair is not installed.
    """
    alt = _altair()
    base = alt.Chart({"name": "points"})
    y = alt.Y("task:N", title=None, sort=None, axis=alt.Axis(labelLimit=230, domain=False, ticks=False))
    offset = alt.YOffset("split:N", sort=["ID", "OOD"])
    x = alt.X(
        "value:Q",
        title="force MAE, meV/Å",
        scale=alt.Scale(type="log", nice=False, padding=24),
        axis=_axis(alt, _FINE_TICKS),
    )
    colour = alt.Color(
        "split:N", title=None, scale=alt.Scale(domain=["ID", "OOD"], range=["var(--id)", "var(--ood)"]),
        legend=alt.Legend(orient="top"),
    )  # fmt: skip
    shape = alt.Shape("split:N", title=None, scale=alt.Scale(domain=["ID", "OOD"], range=["circle", "diamond"]))
    rules = base.mark_rule(strokeWidth=2).encode(y=y, yOffset=offset, x="low:Q", x2="high:Q", color=colour)
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        y=y, yOffset=offset, x=x, color=colour, shape=shape,
        tooltip=[alt.Tooltip("task:N"), alt.Tooltip("split:N"), alt.Tooltip("text:N", title="force MAE, meV/Å")],
    )  # fmt: skip
    specification = alt.layer(rules, dots).properties(width="container", height=alt.Step(18))
    return Chart(
        ERRORS,
        specification.to_dict(validate=False),
        "ID and OOD force errors of the model on each task with their 95 % intervals; a table holds the same numbers.",
        "Force errors on new conformers of the training molecules (ID) and on unseen combinations (OOD). Lines are "
        "95 % intervals, where there are any.",
    )


def gap_charts(tasks: Sequence[tuple[TaskName, str | None]]) -> list[Chart]:
    """One chart for each task."""
    return [gap_chart(task, title) for task, title in tasks]


def _altair() -> Any:
    try:
        import altair
    except ImportError as cause:
        raise MissingPackageError("altair", "pages", "a page with charts") from cause
    return altair


def _domain(alt: Any, axis: str) -> Any:
    low, high = (alt.ExprRef(f"{axis}{end}") for end in ("Min", "Max"))
    return alt.Scale(type="log", domainMin=low, domainMax=high, nice=False)


def _axis(alt: Any, ticks: Sequence[float]) -> Any:
    return alt.Axis(values=[*ticks], format="~g", labelOverlap=True)


def _kinds(alt: Any) -> Any:
    return alt.Scale(
        domain=["model", "community", "control"], range=["var(--model)", "var(--community)", "var(--physics)"]
    )


def _tooltip(alt: Any) -> list[Any]:
    return [
        alt.Tooltip("key:N", title="model"),
        alt.Tooltip("gapText:N", title="gap"),
        alt.Tooltip("idText:N", title="ID, meV/Å"),
        alt.Tooltip("oodText:N", title="OOD, meV/Å"),
        alt.Tooltip("protocol:N", title="protocol"),
    ]


def _lines(alt: Any) -> list[Any]:
    """No gap, and the gap of GFN1-xTB."""
    base = alt.Chart({"name": "lines"})
    line = base.mark_rule(strokeDash=[4, 4], color="var(--quiet)").encode(y=alt.Y("gap:Q", scale=_domain(alt, "y")))
    text = base.mark_text(align="left", dy=-6, dx=4, fontSize=11, color="var(--quiet)").encode(
        y="gap:Q", x=alt.value(0), text="text:N"
    )
    return [line, text]
