"""Predicted against reference forces and relative energies, and the directions of forces."""

from typing import Any, Final, get_args

import numpy as np

from dataset_builders.core.palette import GREY, SPLITS
from harness.pages.chart import Chart
from harness.pages.report.density import Density
from harness.pages.report.error_chart import OF_SPLIT, SERIES, specification
from harness.pages.report.frame_errors import COSINE_BINS
from harness.pages.report.number_text import Cell, NumberTable, decimal, error_cell, plain_cell
from harness.pages.report.view import Section, TaskView
from harness.scoring.group_rows import TestSplit

_SPLITS: Final[tuple[TestSplit, ...]] = get_args(TestSplit)

_METRICS: Final = (
    ("force_mae", "force MAE, meV/Å", 0),
    ("force_rmse", "force RMSE, meV/Å", 0),
    ("force_magnitude_mae", "force magnitude MAE, meV/Å", 0),
    ("force_cosine", "mean cosine of forces", 4),
    ("force_error_fraction", "force MAE / that of zero forces", 4),
)


def force_section(view: TaskView) -> Section:
    """Parity of force components, and the cosines between predicted and reference forces."""
    charts = [_parity(view, split, "forces") for split in _SPLITS]
    return Section(
        "forces",
        "Forces: predicted against reference",
        "Every force component of every test frame, counted in bins; the stronger the colour, the more. A perfect "
        "model lies on the diagonal. Then the directions: the cosine of the angle between the predicted and the "
        "reference force of each atom.",
        tuple(chart for chart in (*charts, _cosines(view)) if chart),
        (_metric_table(view),),
    )


def energy_section(view: TaskView) -> Section:
    """Parity of energies relative to the mean of their molecule."""
    charts = [_parity(view, split, "energies") for split in _SPLITS]
    kept = tuple(chart for chart in charts if chart)
    title = "Relative energies: predicted against reference"
    if not kept:
        return Section(
            "energies", title, missing="No molecule has two computed frames, so there are no relative energies."
        )
    rows = [
        (
            Cell(OF_SPLIT[split][0]),
            error_cell(metrics["centred_energy_mae"]),
            plain_cell(metrics["centred_energy_spearman"], 3),
        )
        for split in _SPLITS
        for metrics in [view.task.splits[split].metrics]
    ]
    table = NumberTable("Relative energies", ("frames", "MAE, meV", "Spearman correlation"), tuple(rows))
    text = "Energies of the frames of a molecule relative to their mean, so that no zero of energy matters."
    return Section("energies", title, text, kept, (table,))


def _parity(view: TaskView, split: TestSplit, what: str) -> Chart | None:
    density: Density = getattr(view.frames.splits[split], what)
    if not density.n_pairs:
        return None
    series, unit = OF_SPLIT[split][0], "force component, eV/Å" if what == "forces" else "relative energy, eV"
    beyond = f" Predictions beyond the axes: {density.n_beyond:,}." if density.n_beyond else ""
    noun = "force components" if what == "forces" else "frames"
    return Chart(
        name=f"{view.key}-{what}-{series.lower()}",
        specification=specification(
            _density_chart(density, split, unit),
            bins=density.rows(),
            diagonal=[{"x": -density.limit, "y": -density.limit}, {"x": density.limit, "y": density.limit}],
        ),
        alternative=f"Density of predicted against reference {noun} of {view.name} on {series} frames of "
        f"{view.task.task}: {density.n_pairs:,} values, {_share_near(density):.1%} within two bins of the diagonal."
        f"{beyond}",
        caption=f"{series}: {density.n_pairs:,} {noun}.{beyond}",
    )


def _share_near(density: Density) -> float:
    offset = np.abs(np.subtract.outer(np.arange(len(density.counts)), np.arange(len(density.counts))))
    return float(density.counts[offset <= 2].sum()) / density.n_pairs


def _density_chart(density: Density, split: str, unit: str) -> Any:
    import altair as alt

    domain = [-density.limit, density.limit]
    scale = alt.Scale(domain=domain, nice=False)
    bins = (
        alt.Chart(alt.NamedData("bins"))
        .transform_calculate(x2=f"datum.x + {density.bin_width!r}", y2=f"datum.y + {density.bin_width!r}")
        .mark_rect(color=SPLITS[split], stroke=None)
        .encode(
            x=alt.X("x:Q", title=f"reference {unit}", scale=scale),
            x2="x2:Q",
            y=alt.Y("y:Q", title=f"predicted {unit}", scale=scale),
            y2="y2:Q",
            opacity=alt.Opacity(
                "n:Q",
                scale=alt.Scale(type="log", range=[0.18, 1.0]),
                legend=alt.Legend(title="in a bin", orient="bottom", values=_decades(density), symbolType="square"),
            ),
            tooltip=[alt.Tooltip("n:Q", title="in this bin", format=",")],
        )
    )
    line = (
        alt.Chart(alt.NamedData("diagonal"))
        .mark_line(color=GREY, strokeDash=[4, 3], strokeWidth=1)
        .encode(x=alt.X("x:Q", scale=scale), y=alt.Y("y:Q", scale=scale))
    )
    return (bins + line).properties(width=280, height=280)


def _decades(density: Density) -> list[int]:
    largest = int(density.counts.max(initial=1))
    return [10**power for power in range(len(str(largest)))]


def _cosines(view: TaskView) -> Chart | None:
    """The distribution of cosines; `None` where no atom has two forces with a direction."""
    rows, said = [], []
    width = 2.0 / COSINE_BINS
    for split in _SPLITS:
        errors, series = view.frames.splits[split], OF_SPLIT[split][0]
        total = int(errors.cosines.sum())
        shares = errors.cosines / max(total, 1)
        rows += [
            {"series": series, "from": round(-1.0 + place * width, 6), "share": float(share)}
            for place, share in enumerate(shares)
            if share > 0.0
        ]
        said.append(f"{series}: {shares[-1]:.2%} of {total:,} atoms above {1.0 - width:g}")
        if errors.n_without_direction:
            said[-1] += f", {errors.n_without_direction:,} atoms left out, whose force is too short for a direction"
    if not rows:
        return None
    return Chart(
        name=f"{view.key}-cosines",
        specification=specification(_cosine_chart(rows), bins=rows),
        alternative=f"Distribution of the cosine between predicted and reference forces of {view.name}. "
        f"{'; '.join(said)}.",
        caption=f"Share of atoms in each bin of the cosine, logarithmic. {'; '.join(said)}.",
    )


def _cosine_chart(rows: list[dict[str, Any]]) -> Any:
    import altair as alt

    series = [OF_SPLIT[split][0] for split in _SPLITS]
    colour = alt.Scale(domain=series, range=[SERIES[name][0] for name in series])
    shape = alt.Scale(domain=series, range=[SERIES[name][1] for name in series])
    legend = alt.Legend(orient="top", title=None)
    domain = (min(row["share"] for row in rows) / 2.0, 1.0)
    base = (
        alt.Chart(alt.NamedData("bins"))
        .transform_calculate(at=f"datum.from + {1.0 / COSINE_BINS}")
        .encode(
            x=alt.X("at:Q", title="cosine of the angle between the forces", scale=alt.Scale(domain=[-1, 1])),
            y=alt.Y(
                "share:Q",
                title="share of atoms",
                scale=alt.Scale(type="log", domain=list(domain), nice=False),
                axis=alt.Axis(format="~%", values=[10.0**power for power in range(-9, 1) if 10.0**power >= domain[0]]),
            ),
            color=alt.Color("series:N", scale=colour, legend=legend),
        )
    )
    line = base.mark_line(interpolate="step", strokeWidth=1.5)
    marks = base.mark_point(filled=True, size=36, opacity=1).encode(
        shape=alt.Shape("series:N", scale=shape, legend=legend),
        tooltip=[
            alt.Tooltip("series:N", title="frames"),
            alt.Tooltip("at:Q", title="cosine", format=".3f"),
            alt.Tooltip("share:Q", title="share", format=".3%"),
        ],
    )
    return (line + marks).properties(width="container", height=290)


def _metric_table(view: TaskView) -> NumberTable:
    rows = []
    for name, label, digits in _METRICS:
        estimates = [view.task.splits[split].metrics[name] for split in _SPLITS]
        cells = [plain_cell(each, digits) if digits else error_cell(each) for each in estimates]
        rows.append((Cell(label), *cells))
    left_out = [view.task.splits[split].metrics["force_cosine_left_out"] for split in _SPLITS]
    shares = [Cell("–" if each.value is None else decimal(100.0 * each.value, 2), each.value) for each in left_out]
    rows.append((Cell("atoms without a direction, %"), *shares))
    return NumberTable("Forces, with 95 % intervals", ("metric", "ID", "OOD"), tuple(rows))
