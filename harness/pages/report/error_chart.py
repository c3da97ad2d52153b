"""Errors with intervals as points, ID beside OOD: the kind of chart that most sections use.

Errors stand on a logarithmic axis, so equal ratios have equal lengths and a gap is a distance. An error of zero has no
place there; `positive` leaves it out, and the tables state it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from dataset_builders.core.palette import PHYSICS, SPLITS
from dataset_builders.core.units import MILLI
from harness.pages.report.axes import LINES, error_ticks, with_room
from harness.pages.report.number_text import error_cell, error_text
from harness.results.estimate import Estimate

Series = Literal["ID", "OOD", "GFN1-xTB, ID", "GFN1-xTB, OOD"]

SERIES: Final[Mapping[Series, tuple[str, str]]] = MappingProxyType(
    {
        "ID": (SPLITS["test_id"], "circle"),
        "OOD": (SPLITS["test_ood"], "diamond"),
        "GFN1-xTB, ID": (PHYSICS, "circle"),
        "GFN1-xTB, OOD": (PHYSICS, "diamond"),
    }
)
"""Colour and marker of each series: the colour says the split or physics, the marker says the split again."""

OF_SPLIT: Final[Mapping[str, tuple[Series, Series]]] = MappingProxyType(
    {"test_id": ("ID", "GFN1-xTB, ID"), "test_ood": ("OOD", "GFN1-xTB, OOD")}
)
"""Series of a model and of GFN1-xTB for each split."""

FORCE_AXIS: Final = "force MAE, meV/Å"


@dataclass(frozen=True, slots=True)
class ErrorPoint:
    """A point of a chart; errors in meV/Å.

    Attributes:
        group: Place on the axis of groups.
        series: Kind of point.
        value: The error.
        low: Lower end of its interval; equal to the value without one.
        high: Upper end, likewise.
        text: The error as printed.
        note: The error with its interval as printed, or without one.
    """

    group: str | int
    series: Series
    value: float
    low: float
    high: float
    text: str
    note: str


def error_point(group: str | int, series: Series, estimate: Estimate) -> ErrorPoint | None:
    """The point of a force error; `None` if the error is undefined."""
    if estimate.value is None:
        return None
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    value = estimate.value / MILLI
    note = f"{error_cell(estimate).text} meV/Å"
    return ErrorPoint(group, series, value, low / MILLI, high / MILLI, error_text(estimate.value), note)


def positive(points: Iterable[ErrorPoint | None]) -> list[ErrorPoint]:
    """The points that a logarithmic axis can show."""
    return [point for point in points if point is not None and point.low > 0.0]


def rows_of(points: Sequence[ErrorPoint]) -> list[dict[str, Any]]:
    """The points as rows of a chart."""
    return [asdict(point) for point in points]


def horizontal(points: Sequence[ErrorPoint], groups: Sequence[str], domain: tuple[float, float] | None = None) -> Any:
    """A chart with a row for each series of each group: its error with its interval, and the number.

    Args:
        points: The points.
        groups: Their groups, from top to bottom.
        domain: Ends of the axis, meV/Å; those of the points if `None`.

    Returns:
        An altair chart that reads the data `points`.
    """
    import altair as alt

    shown = shown_series(points)
    ends = domain or with_room(min(point.low for point in points), max(point.high for point in points))
    scale = alt.Scale(type="log", nice=False, domain=list(ends))
    x = alt.X("value:Q", title=FORCE_AXIS, scale=scale, axis=_error_axis(ends))
    y = alt.Y("group:N", title=None, sort=list(groups), axis=_group_axis())
    offset = alt.YOffset("series:N", sort=shown)
    base = alt.Chart(alt.NamedData("points")).encode(y=y, yOffset=offset)
    whiskers = base.mark_rule(strokeWidth=2.5).encode(
        x=alt.X("low:Q", title=FORCE_AXIS, scale=scale), x2="high:Q", color=_colour(shown)
    )
    marks = base.mark_point(filled=True, size=90, opacity=1.0).encode(
        x=x, color=_colour(shown), shape=_shape(shown), tooltip=_tooltip()
    )
    texts = base.mark_text(align="left", dx=7, fontSize=11).encode(x=alt.X("high:Q", scale=scale), text="text:N")
    step = max(16, round(15 * max(name.count("\n") + 1 for name in groups) / len(shown)))
    return (whiskers + marks + texts).properties(width="container", height={"step": step})


def dumbbells(points: Sequence[ErrorPoint], groups: Sequence[str]) -> Any:
    """A chart with one row for each group, all of its series in the row, for errors without intervals.

    Args:
        points: The points.
        groups: Their groups, from top to bottom.

    Returns:
        An altair chart that reads the data `points`.
    """
    import altair as alt

    shown = shown_series(points)
    ends = (min(point.value for point in points) / 1.2, max(point.value for point in points) * 1.2)
    x = alt.X(
        "value:Q",
        title=FORCE_AXIS,
        scale=alt.Scale(type="log", nice=False, domain=list(ends)),
        axis=_error_axis(ends),
    )
    y = alt.Y("group:N", title=None, sort=list(groups), axis=_group_axis())
    base = alt.Chart(alt.NamedData("points")).encode(x=x, y=y)
    lines = (
        base.transform_filter("datum.series == 'ID' || datum.series == 'OOD'")
        .mark_line(strokeWidth=1.5, color=PHYSICS, opacity=0.6)
        .encode(detail="group:N")
    )
    marks = base.mark_point(filled=True, size=90, opacity=1.0).encode(
        color=_colour(shown), shape=_shape(shown), tooltip=_tooltip()
    )
    return (lines + marks).properties(width="container", height={"step": 28})


def shown_series(points: Sequence[ErrorPoint]) -> list[Series]:
    """The series that have points, in their order."""
    return [series for series in SERIES if any(point.series == series for point in points)]


def by_spacer(points: Sequence[ErrorPoint], spans: Sequence[tuple[int, int]]) -> Any:
    """A chart of the error against the spacer length, with ranges shaded.

    Args:
        points: The points; their groups are spacer lengths.
        spans: First and last length of each shaded range.

    Returns:
        An altair chart that reads the data `points` and `spans`.
    """
    import altair as alt

    shown = shown_series(points)
    lengths = sorted({int(point.group) for point in points} | {end for span in spans for end in span})
    ends = [lengths[0] - 0.8, lengths[-1] + 0.8]
    limits = (min(point.low for point in points) / 1.15, max(point.high for point in points) * 1.15)
    x = alt.X(
        "at:Q",
        title="spacer length k, number of CH2 groups",
        scale=alt.Scale(domain=ends, nice=False),
        axis=alt.Axis(values=lengths, grid=False, format="d"),
    )
    y_scale = alt.Scale(type="log", nice=False, domain=list(limits))
    y = alt.Y("value:Q", title=FORCE_AXIS, scale=y_scale, axis=_error_axis(limits))
    shade = (
        alt.Chart(alt.NamedData("spans"))
        .mark_rect(color=SPLITS["train"], opacity=0.18)
        .encode(x=alt.X("from:Q", scale=alt.Scale(domain=ends, nice=False)), x2="to:Q")
    )
    base = alt.Chart(alt.NamedData("points"))
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(x=x, y=y, color=_colour(shown))
    whiskers = base.mark_rule(strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", scale=y_scale, title=FORCE_AXIS), y2="high:Q", color=_colour(shown)
    )
    marks = base.mark_point(filled=True, size=80, opacity=1.0).encode(
        x=x, y=y, color=_colour(shown), shape=_shape(shown), tooltip=_tooltip()
    )
    return (shade + lines + whiskers + marks).properties(width="container", height=300)


def spacer_rows(points: Sequence[ErrorPoint]) -> list[dict[str, Any]]:
    """The points as rows; series stand a little beside each other, so that no interval hides another."""
    shown = shown_series(points)
    shift = {series: 0.16 * (place - (len(shown) - 1) / 2.0) for place, series in enumerate(shown)}
    return [{**asdict(point), "at": int(point.group) + shift[point.series]} for point in points]


def specification(chart: Any, **data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The specification of an altair chart with the data that it names."""
    document: dict[str, Any] = chart.to_dict(validate=False)
    document["datasets"] = {name: list(rows) for name, rows in data.items()}
    return document


def _error_axis(ends: tuple[float, float]) -> Any:
    import altair as alt

    return alt.Axis(values=error_ticks(ends), format="~g", labelOverlap=True)


def _group_axis() -> Any:
    import altair as alt

    return alt.Axis(labelExpr=LINES, labelLimit=0, ticks=False, domain=False)


def _colour(shown: Sequence[Series]) -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(shown), range=[SERIES[series][0] for series in shown])
    return alt.Color("series:N", scale=scale, title=None, legend=_legend())


def _shape(shown: Sequence[Series]) -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(shown), range=[SERIES[series][1] for series in shown])
    return alt.Shape("series:N", scale=scale, title=None, legend=_legend())


def _legend() -> Any:
    import altair as alt

    return alt.Legend(orient="top", direction="horizontal", columns=2, offset=3, symbolOpacity=1.0, symbolStrokeWidth=0)


def _tooltip() -> list[Any]:
    import altair as alt

    return [
        alt.Tooltip("group:N", title=" "),
        alt.Tooltip("series:N", title="frames"),
        alt.Tooltip("note:N", title="force MAE"),
    ]
