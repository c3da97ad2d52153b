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
    """A chart with a line for each group, its error to the right.

    Args:
        points: The points.
        groups: Their groups, from top to bottom.
        domain: Ends of the axis, meV/Å; those of the points if `None`.

    Returns:
        An altair chart that reads the data `points`.
    """
    import altair as alt

    shown = [series for series in SERIES if any(point.series == series for point in points)]
    scale = alt.Scale(type="log", nice=False, **({"domain": list(domain)} if domain else {"padding": 24}))
    ticks = ticks_of(domain or (min(point.low for point in points), max(point.high for point in points)))
    x = alt.X("value:Q", title=FORCE_AXIS, scale=scale, axis=alt.Axis(values=ticks, format="~g", labelOverlap=True))
    y = alt.Y("group:N", title=None, sort=list(groups), axis=alt.Axis(labelLimit=170, ticks=False, domain=False))
    offset = alt.YOffset("series:N", sort=shown)
    base = alt.Chart(alt.NamedData("points")).encode(y=y, yOffset=offset)
    whiskers = base.mark_rule(strokeWidth=2.5).encode(
        x=alt.X("low:Q", title=FORCE_AXIS, scale=scale), x2="high:Q", color=_colour(shown, legend=False)
    )
    marks = base.mark_point(filled=True, size=90, opacity=1.0).encode(
        x=x, color=_colour(shown), shape=_shape(shown), tooltip=_tooltip()
    )
    texts = base.mark_text(align="left", dx=7, fontSize=11).encode(x=alt.X("high:Q", scale=scale), text="text:N")
    return (whiskers + marks + texts).properties(width="container", height={"step": 18 if len(shown) > 2 else 20})


def by_spacer(points: Sequence[ErrorPoint], spans: Sequence[tuple[int, int]]) -> Any:
    """A chart of the error against the spacer length, with ranges shaded.

    Args:
        points: The points; their groups are spacer lengths.
        spans: First and last length of each shaded range.

    Returns:
        An altair chart that reads the data `points` and `spans`.
    """
    import altair as alt

    shown = [series for series in SERIES if any(point.series == series for point in points)]
    lengths = sorted({int(point.group) for point in points} | {end for span in spans for end in span})
    ends = [lengths[0] - 0.8, lengths[-1] + 0.8]
    ticks = ticks_of((min(point.low for point in points), max(point.high for point in points)))
    x = alt.X(
        "at:Q",
        title="spacer length k, number of CH2 groups",
        scale=alt.Scale(domain=ends, nice=False),
        axis=alt.Axis(values=lengths, grid=False, format="d"),
    )
    y_scale = alt.Scale(type="log", nice=False, padding=12)
    y = alt.Y("value:Q", title=FORCE_AXIS, scale=y_scale, axis=alt.Axis(values=ticks, format="~g"))
    shade = (
        alt.Chart(alt.NamedData("spans"))
        .mark_rect(color=SPLITS["train"], opacity=0.18)
        .encode(x=alt.X("from:Q", scale=alt.Scale(domain=ends, nice=False)), x2="to:Q")
    )
    base = alt.Chart(alt.NamedData("points"))
    lines = base.mark_line(strokeWidth=1.2, opacity=0.6).encode(x=x, y=y, color=_colour(shown, legend=False))
    whiskers = base.mark_rule(strokeWidth=2).encode(
        x=x, y=alt.Y("low:Q", scale=y_scale, title=FORCE_AXIS), y2="high:Q", color=_colour(shown, legend=False)
    )
    marks = base.mark_point(filled=True, size=80, opacity=1.0).encode(
        x=x, y=y, color=_colour(shown), shape=_shape(shown), tooltip=_tooltip()
    )
    return (shade + lines + whiskers + marks).properties(width="container", height=300)


def spacer_rows(points: Sequence[ErrorPoint]) -> list[dict[str, Any]]:
    """The points as rows; series stand a little beside each other, so that no interval hides another."""
    shown = [series for series in SERIES if any(point.series == series for point in points)]
    shift = {series: 0.16 * (place - (len(shown) - 1) / 2.0) for place, series in enumerate(shown)}
    return [{**asdict(point), "at": int(point.group) + shift[point.series]} for point in points]


def specification(chart: Any, **data: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The specification of an altair chart with the data that it names."""
    document: dict[str, Any] = chart.to_dict()
    document["datasets"] = {name: list(rows) for name, rows in data.items()}
    return document


def ticks_of(ends: tuple[float, float]) -> list[float]:
    """Round numbers 1, 2, 5 per decade that lie between two positive numbers, or around them."""
    steps = [float(f"{step}e{power}") for power in range(-9, 10) for step in (1, 2, 5)]
    inside = [step for step in steps if ends[0] / 2.5 <= step <= ends[1] * 2.5]
    return inside[:: max(1, len(inside) // 9)]


def _colour(shown: Sequence[Series], *, legend: bool = True) -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(shown), range=[SERIES[series][0] for series in shown])
    return alt.Color("series:N", scale=scale, title=None, legend=_legend() if legend else None)


def _shape(shown: Sequence[Series]) -> Any:
    import altair as alt

    scale = alt.Scale(domain=list(shown), range=[SERIES[series][1] for series in shown])
    return alt.Shape("series:N", scale=scale, title=None, legend=_legend())


def _legend() -> Any:
    import altair as alt

    return alt.Legend(orient="top", direction="horizontal", columns=2, symbolOpacity=1.0, symbolStrokeWidth=0)


def _tooltip() -> list[Any]:
    import altair as alt

    return [
        alt.Tooltip("group:N", title=" "),
        alt.Tooltip("series:N", title="frames"),
        alt.Tooltip("note:N", title="force MAE"),
    ]
